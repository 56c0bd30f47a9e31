/* SPDX-License-Identifier: MIT */
/*
 * table_impl - what table.c and the table types share. Nobody else includes
 * it, but for postmap(1) and tests.
 */
#ifndef LIB_TABLE_TABLE_IMPL_H
#define LIB_TABLE_TABLE_IMPL_H

#include <sys/stat.h>

#include "lib/table/table.h"

struct table_type {
	const char *name;
	bool pattern; /* keys are matched, not folded, not looked up in parts */
	/* Open t->name; false: table_fail() was called. */
	bool (*open)(struct table *t);
	/* key is folded as the flags ask. value is empty at the call. */
	enum table_status (*get)(struct table *t, struct span key,
				 struct buf *value, struct why *why);
	/* The following may be NULL. */
	void (*close)(struct table *t);
	bool (*put)(struct table *t, struct span key, struct span value,
		    struct why *why);
	enum table_status (*del)(struct table *t, struct span key,
				 struct why *why);
	enum table_status (*next)(struct table *t, bool first, struct buf *key,
				  struct buf *value, struct why *why);
};

struct table {
	const struct table_type *type; /* NULL: unknown type */
	char *spec;
	char *name; /* spec behind "type:" */
	char *label;
	unsigned flags;
	unsigned refs; /* equal tables are opened once */
	char *error;
	void *data;   /* of the type */
	int watch_fd; /* the file that was read, or -1 */
	char *watch_path;
	struct stat seen;   /* of watch_fd when it was read */
	struct buf folded;  /* scratch for keys */
	struct table *next; /* all open tables */
};

/* Remember why the table cannot be opened. Always false. */
bool table_fail(struct table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Watch an open file (takes fd over). */
void table_watch(struct table *t, int fd, const char *path);
/* Has the watched file changed in place or been replaced? */
bool table_watch_changed(const struct table *t);
/* key folded for a fixed table as t->flags ask; valid until the next call. */
struct span table_fold(struct table *t, struct span key);
/* RETRY with the text that remote clients may see; the log gets the rest. */
enum table_status table_retry(struct why *why);
/* The warning for a database that is older than its source (both open files
 * or paths; source may not exist). */
void table_warn_stale(const char *source, const char *path,
		      const struct stat *db);
/* -F: decode in place; false: malformed (logged). */
bool table_decode_base64(struct table *t, struct span key, struct buf *value);

extern const struct table_type table_type_hash, table_type_btree,
    table_type_lmdb, table_type_texthash, table_type_regexp, table_type_pcre,
    table_type_cidr, table_type_static, table_type_inline, table_type_unix,
    table_type_environ, table_type_fail, table_type_proxy, table_type_tcp,
    table_type_socketmap, table_type_union, table_type_pipe, table_type_random;

#endif
