/* SPDX-License-Identifier: MIT */
/*
 * mbox - append one message to a mailbox file, as the user who runs this.
 *
 * Locks by mailbox_delivery_lock: dotlock (a file PATH.lock) before the file
 * is opened, then fcntl or flock; each is tried deliver_lock_attempts times.
 * When writing fails the file is cut back to its old length. When this
 * returns true the message is on disk.
 *
 * Our lock file says who holds it and how long the mailbox was before: when
 * the holder was killed in the middle of a delivery, whoever comes next takes
 * the lock over at once and cuts off what that delivery had appended, which
 * nobody had heard to be delivered. Other programs' lock files are removed
 * when they are older than stale_lock_time.
 */
#ifndef LIB_DELIVER_MBOX_H
#define LIB_DELIVER_MBOX_H

#include "lib/deliver/copy.h"
#include "lib/deliver/dotlock.h"
#include "lib/dsn/why.h"

enum {
	MBOX_LOCK_FCNTL = 1 << 0,
	MBOX_LOCK_FLOCK = 1 << 1,
	MBOX_LOCK_DOT = 1 << 2,
};

struct mbox_request {
	const char *path;
	struct copy_source source;
	struct span head; /* "From " line and headers to put in front */
	unsigned locks;   /* MBOX_LOCK_* */
	int attempts;
	int64_t delay;        /* microseconds between two attempts */
	int64_t stale;        /* microseconds: age of a dead lock file */
	bool lenient_dotlock; /* PATH.lock cannot be made: go on without */
	int64_t owner;        /* uid that the file must have; -1: any */
	/* Does anybody still wait for the answer? Asked when the message is
	 * on disk and still locked: if not, it is taken back. NULL: yes. */
	bool (*wanted)(void);
};

/* From mailbox_delivery_lock: "fcntl, dotlock". false: an unknown method. */
bool mbox_parse_locks(const char *text, unsigned *locks);

/*
 * false: why holds what went wrong, without any "cannot update mailbox x" in
 * front. warning gets a line for the log, or stays empty.
 */
bool mbox_append(const struct mbox_request *req, struct buf *warning,
		 struct why *why);

/*
 * Only the locks, as mbox_append() takes them, for a program that works on
 * the mailbox meanwhile; a file that is not there is made. Of the request,
 * path, locks, attempts, delay and stale count. The descriptor that holds the
 * locks, or -1: why. The caller closes it, then calls dotlock_release().
 */
int mbox_lock(const struct mbox_request *req, struct dotlock *dot,
	      struct why *why);

#endif
