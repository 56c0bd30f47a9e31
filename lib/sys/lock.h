/* SPDX-License-Identifier: MIT */
/*
 * lock - fcntl(), flock() and dot locks, as mailbox readers use them
 * (mailbox_delivery_lock), and for pid files.
 */
#ifndef LIB_SYS_LOCK_H
#define LIB_SYS_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	LOCK_BY_FCNTL = 1 << 0,
	LOCK_BY_FLOCK = 1 << 1,
	LOCK_BY_DOT = 1 << 2,
};

struct lock_policy {
	unsigned methods;
	int attempts;  /* deliver_lock_attempts; at least one is made */
	int64_t delay; /* microseconds between them: deliver_lock_delay */
	int64_t stale; /* microseconds: a dot lock that old is removed */
};

/* "fcntl, dotlock" to LOCK_BY_*; false: a word is unknown. */
bool lock_parse_methods(const char *list, unsigned *methods);

/* fcntl and flock locks on the whole file, as methods says, without waiting
 * beyond the policy. EAGAIN: somebody else has it. */
bool lock_fd(int fd, bool exclusive, const struct lock_policy *p);
/* One attempt with one method. */
bool lock_fd_now(int fd, bool exclusive, unsigned method);
void lock_fd_release(int fd, unsigned methods);
/* The process that holds a conflicting fcntl lock; 0: nobody. */
pid_t lock_fd_holder(int fd);

/* Create path.lock. EEXIST: somebody else has it. */
bool lock_dot_take(const char *path, const struct lock_policy *p);
void lock_dot_release(const char *path);

#endif
