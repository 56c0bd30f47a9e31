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
	TABLE_FOLD_FIXED = 1 << 0, /* fold keys of fixed-string tables */
	TABLE_FOLD_REGEX = 1 << 1, /* match patterns without case */
	TABLE_NO_PROXY = 1 << 2,   /* open proxy:x as x in this process */
	TABLE_NO_REGSUB = 1 << 3,  /* refuse $1 in results (alias security) */
	TABLE_FULL_KEY = 1 << 4,   /* never look up partial keys */
	TABLE_UTF8 = 1 << 5,       /* smtputf8_enable: fold and check UTF-8 */
	TABLE_WRITE = 1 << 6,      /* btree, hash, lmdb: table_put() and
				      table_delete(); created when missing.
				      One process writes, nobody else reads */
	TABLE_QUIET = 1 << 7,      /* commands: table_error() is enough */
	TABLE_BASE64 = 1 << 8,     /* values are base64, answer decoded */
	TABLE_KEY_NUL = 1 << 9,    /* Berkeley DB and LMDB: only keys with, */
	TABLE_KEY_PLAIN = 1 << 10, /* or only without a final NUL */
};

struct table;

/*
 * Open. A table that cannot be opened is still returned: it answers RETRY
 * with the reason, after one error in the log, so that a broken table defers
 * mail instead of stopping a service. An unknown type likewise.
 */
struct table *table_open(const char *spec, unsigned flags);
/* This process is the lookup daemon: TABLE_NO_PROXY for all that it opens,
 * also from within lists. */
void table_proxy_direct(void);
void table_free(struct table *t);
const char *table_spec(const struct table *t);
/* The types that table_open() knows, by number; NULL at the end. */
const char *table_type_name(size_t i);
/* NULL, or why it could not be opened. */
const char *table_error(const struct table *t);
/* "hash:/etc/postfix/virtual.db": as messages name it. */
const char *table_label(const struct table *t);
/* Match by pattern (regexp, pcre, cidr): partial keys make no sense. */
bool table_is_pattern(const struct table *t);
enum table_status table_get(struct table *t, struct span key, struct buf *value,
			    struct why *why);
/* Has the file changed since it was opened? Costs one stat. LMDB tables and
 * those opened with TABLE_WRITE never do. */
bool table_changed(struct table *t);
/* TABLE_WRITE. false: why. An existing key gets the new value. */
bool table_put(struct table *t, struct span key, struct span value,
	       struct why *why);
/* TABLE_WRITE. FOUND: there was one, it is gone. */
enum table_status table_delete(struct table *t, struct span key,
			       struct why *why);
/*
 * Walk through the entries in the table's order: first restarts. ABSENT is
 * the end. The entry just returned may be deleted. Types that have no
 * sequence answer RETRY.
 */
bool table_has_sequence(const struct table *t);
enum table_status table_next(struct table *t, bool first, struct buf *key,
			     struct buf *value, struct why *why);

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

#endif
