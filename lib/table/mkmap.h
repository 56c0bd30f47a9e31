/* SPDX-License-Identifier: MIT */
/*
 * mkmap - create and change database files: hash:, btree:, lmdb:
 * (postmap(1)).
 *
 * Berkeley DB files are built beside the old one and renamed over it, so that
 * readers see the old table or the new one. Where that cannot be (the folder
 * is not ours to write), the file is written in place under an exclusive
 * lock. LMDB changes are one transaction.
 */
#ifndef LIB_TABLE_MKMAP_H
#define LIB_TABLE_MKMAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/span.h"

enum {
	MKMAP_UPDATE = 1 << 0,   /* keep the entries that are there */
	MKMAP_REPLACE = 1 << 1,  /* a later entry with the same key wins */
	MKMAP_IGNORE = 1 << 2,   /* no warning about one; the first wins */
	MKMAP_EXISTING = 1 << 3, /* the file must exist */
	MKMAP_PLAIN = 1 << 4,    /* no NUL behind keys and values */
	MKMAP_NUL = 1 << 5,      /* look only at keys with one (deletion) */
};

struct mkmap;

/* Does the type have files that can be made? */
bool mkmap_supported(const char *type);
/* name without suffix; mode for a new file. NULL: *error (free()). */
struct mkmap *mkmap_open(const char *type, const char *name, unsigned flags,
			 mode_t mode, char **error);
/* Duplicates are warned about. false: I/O error, mkmap_commit() tells. nul:
 * 0 never stores a NUL. */
bool mkmap_put(struct mkmap *m, struct span key, struct span value, bool nul);
/* 1 deleted, 0 no such key, -1 error. */
int mkmap_delete(struct mkmap *m, struct span key);
/* Make the changes visible; m is gone. false: *error (free()), nothing was
 * changed (but in place, see above). */
bool mkmap_commit(struct mkmap *m, char **error);
void mkmap_abort(struct mkmap *m);

#endif
