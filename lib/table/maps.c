/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/table/table.h"

enum { KEY_SHOWN = 100 }; /* bytes of a key in a message */

struct maps {
	char *name;
	struct table **v;
	size_t n;
};

struct maps *
maps_open(const char *name, const char *list, unsigned flags)
{
	struct maps *m = mem_alloc(sizeof(*m));
	struct strvec specs = STRVEC_INIT;

	m->name = mem_strdup(name);
	strvec_split(&specs, span_of(list), ", \t\r\n", true);
	m->v = mem_calloc(specs.n + 1, sizeof(*m->v));
	for (size_t i = 0; i < specs.n; i++)
		m->v[m->n++] = table_open(specs.v[i], flags);
	strvec_free(&specs);
	return m;
}

void
maps_free(struct maps *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		table_free(m->v[i]);
	free(m->v);
	free(m->name);
	free(m);
}

bool
maps_is_empty(const struct maps *m)
{
	return !m || m->n == 0;
}

static enum table_status
find(struct maps *m, struct span key, bool partial, struct buf *value,
     struct why *why)
{
	int shown = (int)(key.len < KEY_SHOWN ? key.len : KEY_SHOWN);

	buf_reset(value);
	/* No table can hold the empty key, and some complain about it. */
	if (!m || key.len == 0)
		return TABLE_ABSENT;
	for (size_t i = 0; i < m->n; i++) {
		struct table *t = m->v[i];
		enum table_status status;

		if (partial && table_is_pattern(t))
			continue;
		status = table_get(t, key, value, why);
		if (status == TABLE_ABSENT)
			continue;
		if (status == TABLE_RETRY) {
			log_warn("%s lookup error for \"%.*s\"", table_spec(t),
				 shown, key.data);
		} else if (value->len == 0) {
			log_warn("%s lookup of %.*s returns an empty string "
				 "result",
				 table_spec(t), shown, key.data);
			log_warn("%s should return NO RESULT in case of "
				 "NOT FOUND",
				 table_spec(t));
			why_set(why, "4.3.0", "Temporary lookup failure");
			status = TABLE_RETRY;
		}
		return status;
	}
	return TABLE_ABSENT;
}

enum table_status
maps_get(struct maps *m, struct span key, struct buf *value, struct why *why)
{
	return find(m, key, false, value, why);
}

enum table_status
maps_get_partial(struct maps *m, struct span key, struct buf *value,
		 struct why *why)
{
	return find(m, key, true, value, why);
}
