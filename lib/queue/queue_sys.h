/* SPDX-License-Identifier: MIT */
/*
 * queue_sys - the system calls by which the queue changes the disk.
 *
 * All of lib/queue writes, syncs, renames and removes through these, so that
 * a test can stop or fail the process before any one of them.
 */
#ifndef LIB_QUEUE_QUEUE_SYS_H
#define LIB_QUEUE_QUEUE_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum queue_sys_op {
	QUEUE_SYS_CREATE,
	QUEUE_SYS_WRITE,
	QUEUE_SYS_SYNC,
	QUEUE_SYS_RENAME,
	QUEUE_SYS_UNLINK,
	QUEUE_SYS_TRUNCATE,
};

/* For tests: called before each operation; not 0 is the errno to fail with.
 * NULL in production. */
extern int (*queue_sys_hook)(enum queue_sys_op op);

/* O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC; -1: errno. */
int queue_sys_create(const char *path, mode_t mode);
/* All of iov (which it changes), restarted after signals; false: errno. */
bool queue_sys_writev(int fd, struct iovec *iov, int n, int64_t offset);
bool queue_sys_write(int fd, const void *data, size_t len, int64_t offset);
bool queue_sys_datasync(int fd);
/* A write that is durable when it returns, in one system call where the
 * kernel has one. */
bool queue_sys_write_durable(int fd, const void *data, size_t len,
			     int64_t offset);
bool queue_sys_writev_durable(int fd, struct iovec *iov, int n,
			      int64_t offset);
/* Make the names in a directory durable. true also where the directory may
 * not be read (maildrop, for those who submit). */
bool queue_sys_sync_dir(const char *path);
/* The same for the directory that path is in. */
bool queue_sys_sync_parent(const char *path);
bool queue_sys_rename(const char *from, const char *to);
bool queue_sys_unlink(const char *path);
bool queue_sys_truncate(int fd, int64_t length);
/* Create the directories that path lies in, up to the queue's own. */
bool queue_sys_make_parents(const char *path);
/* A number that nobody outside can guess, never 0. */
uint64_t queue_sys_random(void);

#endif
