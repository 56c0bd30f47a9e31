/* SPDX-License-Identifier: MIT */
/* table_bdb - what table_bdb.c and mkmap_bdb.c share. */
#ifndef LIB_TABLE_TABLE_BDB_H
#define LIB_TABLE_TABLE_BDB_H

#include <db.h>
#include <stddef.h>

enum { BDB_HASH_ELEMENTS = 4096 }; /* expected, when a hash is created */

/* 0, or an error of errno (positive) or Berkeley DB (negative). cache in
 * bytes, 0 for the library's choice. */
int bdb_open_file(DB **out, const char *path, DBTYPE type, u_int32_t flags,
		  size_t cache, int mode);

#endif
