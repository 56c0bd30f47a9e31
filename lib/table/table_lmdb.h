/* SPDX-License-Identifier: MIT */
/* table_lmdb - what table_lmdb.c and mkmap_lmdb.c share. Errors are those of
 * LMDB, which include errno's. */
#ifndef LIB_TABLE_TABLE_LMDB_H
#define LIB_TABLE_TABLE_LMDB_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* size of the map in bytes. */
int lmdb_open_env(MDB_env **out, const char *path, unsigned flags, size_t size,
		  mode_t mode);
/* lmdb_map_size, in bytes. */
size_t lmdb_map_size(void);
/* F_RDLCK, F_WRLCK, F_UNLCK on the whole file; waits. */
bool lmdb_lock(MDB_env *env, short type);
/* Start a transaction, with the lock held. */
int lmdb_begin(MDB_env *env, unsigned flags, MDB_txn **txn);
/* Twice the map size; no transaction may be open. */
int lmdb_grow(MDB_env *env);

#endif
