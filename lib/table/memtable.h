/* SPDX-License-Identifier: MIT */
/* memtable - keys and values in memory: texthash:, inline:. */
#ifndef LIB_TABLE_MEMTABLE_H
#define LIB_TABLE_MEMTABLE_H

#include "lib/table/table.h"

/* Add an entry (key folded already); an existing one stays unless replace.
 * Was it new? */
bool memtable_add(struct table *t, struct span key, struct span value,
		  bool replace);
enum table_status memtable_get(struct table *t, struct span key,
			       struct buf *value, struct why *why);
enum table_status memtable_next(struct table *t, bool first, struct buf *key,
				struct buf *value, struct why *why);
void memtable_close(struct table *t);

#endif
