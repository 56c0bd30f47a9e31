/* SPDX-License-Identifier: MIT */
#include "lib/conf/conf_cleanup.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/mastercf.h"
#include "lib/conf/params.h"

/* "name=value" of settings that others use as well. */
static struct strvec shared;

static bool
uses(const struct conf_param *p, const char *program)
{
	struct span rest = span_of(p->used), word;

	while (span_next_token(&rest, " ", &word))
		if (span_equal_cstr(word, program))
			return true;
	return false;
}

/* true: it went to over. */
static bool
take_setting(const char *setting, const char *program, struct strvec *over)
{
	const char *eq = strchr(setting, '=');
	struct span name;
	int param;

	if (!eq)
		return false;
	name = span_trim(span_make(setting, (size_t)(eq - setting)));
	param = conf_param_find(name);
	if (param < 0 || !uses(&conf_params[param], "cleanup"))
		return false;
	if (uses(&conf_params[param], program)) {
		strvec_add(&shared, setting);
		return false;
	}
	strvec_add(over, setting);
	return true;
}

bool
conf_cleanup_load(const char *program, struct strvec *over)
{
	struct mastercf m = {0};
	struct strvec errors = STRVEC_INIT;
	struct buf path = BUF_INIT;
	const struct master_service *s;
	bool changed = false;

	strvec_free(&shared);
	buf_printf(&path, "%s/master.cf", conf_directory());
	/* What is wrong with the file, master says. */
	mastercf_read(buf_cstr(&path), &m, &errors);
	s = mastercf_find(&m, conf->cleanup_service_name, MASTER_UNIX);
	if (s && strcmp(s->command, "cleanup") == 0)
		for (size_t i = 0; i + 1 < s->n_options; i++)
			if (strcmp(s->argv.v[i], "-o") == 0 &&
			    take_setting(s->argv.v[i + 1], program, over))
				changed = true;
	mastercf_free(&m);
	strvec_free(&errors);
	buf_free(&path);
	return changed;
}

const char *
conf_cleanup_setting(const char *name, const char *value)
{
	static struct strvec kept; /* few: one for each table that is opened */
	size_t len = strlen(name);
	const char *found = NULL;
	struct buf out = BUF_INIT;

	for (size_t i = 0; i < shared.n; i++) {
		const char *eq = strchr(shared.v[i], '=');
		struct span key = span_trim(
		    span_make(shared.v[i], (size_t)(eq - shared.v[i])));

		if (key.len == len && memcmp(key.data, name, len) == 0)
			found = eq + 1;
	}
	if (!found)
		return value;
	conf_expand(found, &out);
	strvec_add(&kept, buf_cstr(&out));
	buf_free(&out);
	return kept.v[kept.n - 1];
}
