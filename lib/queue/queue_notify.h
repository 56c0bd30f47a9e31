/* SPDX-License-Identifier: MIT */
/*
 * queue_notify - tell qmgr, over its socket in public/, that a message was
 * committed.
 *
 * Only a hint: the message is safe without it, and a later scan finds what
 * qmgr was not told. So it never waits for a busy qmgr, and does not insist
 * on an absent one.
 */
#ifndef LIB_QUEUE_QUEUE_NOTIFY_H
#define LIB_QUEUE_QUEUE_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/ipc/ipc.h"

struct queue_notify {
	struct ipc link;
	bool connected;
	int64_t next_try; /* io_monotonic() */
};

/*
 * Talk to the queue manager of this queue (queue_service_name); the working
 * directory is the queue. false: errno says why.
 */
bool queue_manager_connect(struct ipc *c, int timeout);

void queue_notify_init(struct queue_notify *n);
void queue_notify_close(struct queue_notify *n);
/* errno is kept. */
void queue_notify_enqueued(struct queue_notify *n, const char *id,
			   const char *segment, int64_t offset, int64_t length);

#endif
