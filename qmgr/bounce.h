/* SPDX-License-Identifier: MIT */
/* bounce - what the modules of bounce(8) share. */
#ifndef QMGR_BOUNCE_H
#define QMGR_BOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/dsn/why.h"
#include "lib/ipc/proto.h"

struct bounce_rcpt {
	int64_t index; /* within the original */
	char *address; /* internal form */
	char *orig_to; /* the same; "" when equal */
	char *dsn_orcpt;
	int notify; /* NOTIFY_* or 0 */
	struct why why;
};

/* One notice to write. Strings are never NULL. */
struct bounce_request {
	int kind; /* enum bounce_kind */
	char *queue_id;
	int fd; /* of the original's file; read with pread() only */
	int64_t content_offset, content_length;
	uint64_t file; /* of the original's image, for receipts */
	int64_t offset;
	int64_t arrival, retry_until; /* microseconds since the epoch */
	unsigned flags;               /* ENVELOPE_* of the original */
	int dsn_ret;
	char *sender;    /* of the original, internal form */
	char *recipient; /* of the notice, internal form */
	char *encoding, *envid;
	struct bounce_rcpt *rcpts;
	size_t n_rcpts, cap_rcpts;
};

/*
 * Write the notice and put it into the queue. true: it is on disk, id has its
 * queue id; or there is none to write, id is empty. false: why (4.x).
 */
bool bounce_write(const struct bounce_request *req, struct buf *id,
		  struct why *why);
/* The line about a notice that was written. */
void bounce_log(const struct bounce_request *req, const struct buf *id);

#endif
