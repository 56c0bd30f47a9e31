/* SPDX-License-Identifier: MIT */
/*
 * table - lookup tables "type:name" (DATABASE_README).
 *
 * A look-up is FOUND, ABSENT or RETRY. RETRY always sets why and must never
 * be taken for ABSENT.
 *
 * Tables are opened before jail(); look-ups work after it. A file-backed
 * table that changed on disk is noticed by table_changed().
 */
#ifndef LIB_TABLE_TABLE_H
#define LIB_TABLE_TABLE_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/dsn/why.h"

enum table_status {
	TABLE_FOUND,
	TABLE_ABSENT,
	TABLE_RETRY,
};

enum {
	TABLE_FOLD_FIXED = 1 << 0,  /* fold keys of fixed-string tables */
	TABLE_FOLD_REGEX = 1 << 1,  /* match patterns without case */
	TABLE_NO_PROXY = 1 << 2,    /* open proxy:x as x in this process */
	TABLE_NO_REGSUB = 1 << 3,   /* refuse $1 in results (alias security) */
	TABLE_FULL_KEY = 1 << 4,    /* never look up partial keys */
	TABLE_UTF8 = 1 << 5,	    /* smtputf8_enable: fold and check UTF-8 */
};

struct table;

/*
 * Open. A table that cannot be opened is still returned: it answers RETRY
 * with the reason, after one error in the log, so that a broken table defers
 * mail instead of stopping a service. An unknown type likewise.
 */
struct table *table_open(const char *spec, unsigned flags);
void table_free(struct table *t);
const char *table_spec(const struct table *t);
/* Match by pattern (regexp, pcre, cidr): partial keys make no sense. */
bool table_is_pattern(const struct table *t);
enum table_status table_get(struct table *t, struct span key,
			    struct buf *value, struct why *why);
/* Has the file changed since it was opened? Costs one stat. */
bool table_changed(struct table *t);

/* ---- a list of tables, in order: "hash:/a, pcre:/b" ---- */

struct maps;

/* name is the parameter, for messages. "" gives an empty list. */
struct maps *maps_open(const char *name, const char *list, unsigned flags);
void maps_free(struct maps *m);
bool maps_is_empty(const struct maps *m);
/* First FOUND or RETRY wins. why is prefixed with nothing. */
enum table_status maps_get(struct maps *m, struct span key, struct buf *value,
			   struct why *why);
/* The same, skipping pattern tables (for partial keys). */
enum table_status maps_get_partial(struct maps *m, struct span key,
				   struct buf *value, struct why *why);
/* Any table opened by this process changed (stats each at most once a
 * second)? Sessions ask between two clients. */
bool maps_any_changed(void);

/* ---- registration, for the files of lib/table/ ---- */

struct table_ops {
	enum table_status (*get)(struct table *t, struct span key,
				 struct buf *value, struct why *why);
	void (*close)(struct table *t);
};

#endif
