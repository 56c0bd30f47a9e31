/* SPDX-License-Identifier: MIT */
/* mkmap_impl - what mkmap.c and its drivers share. */
#ifndef LIB_TABLE_MKMAP_IMPL_H
#define LIB_TABLE_MKMAP_IMPL_H

#include "lib/base/buf.h"
#include "lib/table/mkmap.h"

struct mkmap_driver {
	const char *type;
	/* false: *error. */
	bool (*open)(struct mkmap *m, const char *name, mode_t mode,
		     char **error);
	/* Keys and values with the NUL that belongs to them. 0 done, 1 the key
	 * exists, -1 error (m->error is set). */
	int (*put)(struct mkmap *m, struct span key, struct span value,
		   bool replace);
	int (*del)(struct mkmap *m, struct span key);
	bool (*commit)(struct mkmap *m);
	void (*abort)(struct mkmap *m);
};

struct mkmap {
	const struct mkmap_driver *driver;
	unsigned flags;
	char *label; /* in the warning about duplicates */
	char *path;
	char *error; /* the first one */
	void *data;
	struct buf key, value; /* scratch */
};

/* Keep the first error. Always -1. */
int mkmap_fail(struct mkmap *m, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

extern const struct mkmap_driver mkmap_driver_hash, mkmap_driver_btree,
    mkmap_driver_lmdb;

#endif
