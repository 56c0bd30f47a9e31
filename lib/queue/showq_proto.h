/* SPDX-License-Identifier: MIT */
/*
 * showq_proto - what is said on public/showq: Postfix's protocol, which
 * queue exporters read too, to the byte.
 *
 * Everything is text that ends with NUL. First "protocol"
 * "mail_queue_list_protocol" and an empty text; per message name and value of
 * queue_name, queue_id, time, size, forced_expire, sender, then per recipient
 * of recipient and reason, and an empty text; an empty text ends the list.
 */
#ifndef LIB_QUEUE_SHOWQ_PROTO_H
#define LIB_QUEUE_SHOWQ_PROTO_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/queue/queue.h"

/* ---- to write ---- */

void showq_put_greeting(struct buf *out);
/* active: it is being delivered. Recipients that are done are left out. */
void showq_put_message(struct buf *out, const struct queue_listing *l,
		       bool active);
void showq_put_end(struct buf *out);

/* ---- to read ---- */

struct showq_message {
	struct buf queue_name;
	struct buf id;
	int64_t time; /* seconds */
	int64_t size; /* bytes */
	bool expire;
	struct buf sender;                 /* external form */
	struct strvec recipients, reasons; /* as many; reasons may be "" */
};

struct showq_reader {
	int fd;      /* -1: only what is in data */
	int timeout; /* seconds to wait for more */
	struct buf data;
	size_t at;
	bool greeted;
};

enum showq_status {
	SHOWQ_MESSAGE,
	SHOWQ_END,
	SHOWQ_ERROR, /* cut off, timed out, or not this protocol */
};

/* m is replaced; start with zero bytes. */
enum showq_status showq_next(struct showq_reader *r, struct showq_message *m);
void showq_message_free(struct showq_message *m);

#endif
