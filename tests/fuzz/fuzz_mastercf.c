/* SPDX-License-Identifier: MIT */
/* master.cf: what is accepted is complete, what is not has a message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/conf/mastercf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
drop(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	(void)line;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mastercf m;
	struct strvec errors = STRVEC_INIT;
	bool ok;

	log_set_sink(drop);
	ok = mastercf_parse("master.cf", span_make((const char *)data, size),
			    &m, &errors);
	if (ok != (errors.n == 0))
		abort();
	for (size_t i = 0; i < m.n; i++) {
		const struct master_service *s = &m.v[i];

		if (s->field->n != MASTER_FIELDS || !s->name || !s->command ||
		    s->n_options > s->argv.n || s->line < 1 ||
		    !mastercf_find(&m, s->name, s->type))
			abort();
	}
	mastercf_free(&m);
	strvec_free(&errors);
	return 0;
}
