/* SPDX-License-Identifier: MIT */
#include "lib/table/memtable.h"

#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/table/table_impl.h"

struct memtable {
	struct htab *entries; /* to char * */
	size_t pos;           /* of the walk */
};

bool
memtable_add(struct table *t, struct span key, struct span value, bool replace)
{
	struct memtable *m = t->data;

	if (!m) {
		m = t->data = mem_alloc(sizeof(*m));
		m->entries = htab_new();
	}
	if (htab_get(m->entries, key)) {
		if (replace)
			free(htab_put(m->entries, key,
				      mem_strndup(value.data, value.len)));
		return false;
	}
	htab_put(m->entries, key, mem_strndup(value.data, value.len));
	return true;
}

enum table_status
memtable_get(struct table *t, struct span key, struct buf *value,
	     struct why *why)
{
	const struct memtable *m = t->data;
	const char *found = m ? htab_get(m->entries, key) : NULL;

	(void)why;
	if (!found)
		return TABLE_ABSENT;
	buf_set_cstr(value, found);
	return TABLE_FOUND;
}

enum table_status
memtable_next(struct table *t, bool first, struct buf *key, struct buf *value,
	      struct why *why)
{
	struct memtable *m = t->data;
	struct span k;
	void *v;

	(void)why;
	if (!m)
		return TABLE_ABSENT;
	if (first)
		m->pos = 0;
	if (!htab_next(m->entries, &m->pos, &k, &v))
		return TABLE_ABSENT;
	buf_set(key, k);
	buf_set_cstr(value, v);
	return TABLE_FOUND;
}

void
memtable_close(struct table *t)
{
	struct memtable *m = t->data;

	htab_free(m->entries, free);
	free(m);
	t->data = NULL;
}
