/* SPDX-License-Identifier: MIT */
/* fs - files that others may have tampered with, and replacing a file so that
 * a power loss leaves the old or the new one. Failure: errno. */
#ifndef LIB_SYS_FS_H
#define LIB_SYS_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/* mkdir -p. Directories that exist keep their modes. */
bool fs_mkdirs(const char *path, mode_t mode);

/*
 * Open a regular file, not through a symbolic link at its end, with one hard
 * link, owned by owner ((uid_t)-1: anybody). flags as of open(); with O_CREAT
 * the new file gets mode. -1: errno, and *reason (static text) says what is
 * wrong with it when errno cannot ("file has 2 hard links").
 */
int fs_open_safe(const char *path, int flags, mode_t mode, uid_t owner,
		 const char **reason);

/* fsync the directory that path is in. */
bool fs_sync_parent(const char *path);

/*
 * Replace path by a file of these bytes and mode: written beside it, synced,
 * renamed, directory synced. The owner of an old file is kept when possible.
 */
bool fs_replace(const char *path, const void *data, size_t len, mode_t mode);

#endif
