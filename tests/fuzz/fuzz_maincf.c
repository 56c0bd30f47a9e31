/* SPDX-License-Identifier: MIT */
/* main.cf: reading, and expanding every value. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/conf/dict.h"
#include "lib/conf/expand.h"
#include "lib/conf/value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
drop(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	(void)line;
}

static void
try_entry(struct dict *d, const struct maincf_entry *e)
{
	struct buf out = BUF_INIT;
	struct buf error = BUF_INIT;
	int param = conf_param_find(span_of(e->name));
	union conf_value v;

	if (dict_expand(d, e->value, &out, &error)) {
		if (out.len > 2 * EXPAND_LENGTH_MAX)
			abort();
	} else if (error.len == 0) {
		abort();
	}
	if (param >= 0 && conf_params[param].type < CONF_STR)
		conf_value_parse(&conf_params[param], buf_cstr(&out), &v,
				 &error);
	buf_free(&out);
	buf_free(&error);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dict d = {.config_dir = "/nonexistent", .program = "fuzz"};
	struct strvec errors = STRVEC_INIT;
	size_t n;

	if (size > 4096)
		return 0;
	log_set_sink(drop);
	maincf_parse(&d.main, "main.cf", span_make((const char *)data, size),
		     &errors, &errors);
	n = d.main.n < 8 ? d.main.n : 8;
	for (size_t i = 0; i < n; i++)
		try_entry(&d, &d.main.v[i]);
	strvec_free(&errors);
	dict_free(&d);
	return 0;
}
