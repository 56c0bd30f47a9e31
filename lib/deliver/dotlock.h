/* SPDX-License-Identifier: MIT */
/*
 * dotlock - the lock file PATH.lock of a mailbox, with a note in it by which
 * a delivery that was killed can be undone (mbox.h).
 */
#ifndef LIB_DELIVER_DOTLOCK_H
#define LIB_DELIVER_DOTLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

struct dotlock {
	char *path; /* of the lock file; NULL: not held */
	int fd;
};

#define DOTLOCK_INIT     \
	{                \
		NULL, -1 \
	}

/*
 * Take the lock of mailbox. attempts, delay and stale as in mbox.h. When the
 * file is of a dead process of ours, that one's append is undone. false:
 * errno (EEXIST: somebody else has it).
 */
bool dotlock_take(struct dotlock *l, const char *mailbox, int attempts,
		  int64_t delay, int64_t stale);
/*
 * Note that fd, a mailbox of size bytes, is about to get text that starts
 * with head.
 */
void dotlock_note(struct dotlock *l, int fd, int64_t size, struct span head);
/* Remove the lock file, when it is still ours. */
void dotlock_release(struct dotlock *l);

#endif
