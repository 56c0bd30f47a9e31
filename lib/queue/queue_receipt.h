/* SPDX-License-Identifier: MIT */
/*
 * queue_receipt - what was delivered, on record by whoever delivered it.
 *
 * From the moment a next host, a mailbox or the sender of a notice has a
 * message until the owner's journal says so, a crash makes a second copy. So
 * the delivering process writes a receipt itself, one durable write, before
 * it does anything else; then it reports. The owner gives it the room: a slot
 * of RECEIPT_SLOT bytes in a file of the owner's, journal/receipts-NUMBER,
 * used as a ring. The owner syncs the journal every few milliseconds, so that
 * what the ring overwrites is in the journal long since.
 *
 * A receipt is a fact that stays true: "recipient index of that image has
 * it". The next owner reads the files of its predecessors and puts what they
 * say into the journal or the message's file. The file's open description is
 * locked (flock), and the lock lives as long as somebody has the descriptor:
 * a file that is locked may still get receipts.
 *
 * A record, RECEIPT_BYTES, little endian:
 *
 *	 0 queue id, padded with NUL	40 u32 recipient   44 u32 zero
 *	48 u64 number of the segment (0: the message is a file of its own)
 *	56 u64 offset of the image	64 u64 XXH3 of the 64 bytes before
 */
#ifndef LIB_QUEUE_QUEUE_RECEIPT_H
#define LIB_QUEUE_QUEUE_RECEIPT_H

#include "lib/queue/queue.h"

enum {
	RECEIPT_BYTES = 72,
	RECEIPT_SLOT = 8192,
	RECEIPTS_IN_SLOT = RECEIPT_SLOT / RECEIPT_BYTES,
	RECEIPT_SLOTS_MAX = 4096,
};

struct receipt {
	char id[QUEUE_ID_MAX];
	uint32_t index;
	uint64_t file;
	int64_t offset;
};

void receipt_encode(const struct receipt *r, char out[RECEIPT_BYTES]);
/* false: not a receipt, or a torn one. Never trusts in. */
bool receipt_decode(const char in[RECEIPT_BYTES], struct receipt *r);

/* ---- who delivers ---- */

/* A slot that the owner gave; fd -1: none, and nothing is written. */
struct receipt_slot {
	int fd;
	int64_t base;
	size_t next; /* record of the ring */
};

#define RECEIPT_SLOT_NONE \
	{                 \
		.fd = -1  \
	}

/* Take over fd; a slot that it had is given up. */
void receipt_slot_take(struct receipt_slot *s, int fd, int64_t base);
void receipt_slot_close(struct receipt_slot *s);
/*
 * Write n receipts; of more than a slot holds, the first. durable: they outlive
 * a power loss, too, not only this process and the owner. What cannot be
 * written is left out without a word: the report to the owner says it too.
 */
void receipt_write(struct receipt_slot *s, const struct receipt *v, size_t n,
		   bool durable);

/* ---- the owner ---- */

/* A free slot (its byte offset), or -1: the disk has no room, or there are
 * too many. queue_receipt_fd() is what to hand out with it. */
int64_t queue_receipt_slot(struct queue *q);
int queue_receipt_fd(const struct queue *q);
void queue_receipt_slot_free(struct queue *q, int64_t slot);
/* Does the slot have a receipt for recipient i of m? */
bool queue_receipt_has(const struct queue *q, int64_t slot,
		       const struct queue_message *m, size_t i);
/*
 * Processes of an owner that died may have written receipts for m after we
 * read them: take those in. To be asked when nobody has m any more
 * (queue_is_in_delivery()).
 */
void queue_receipt_apply(struct queue *q, struct queue_message *m);
/* Try to be done with the files of earlier owners. Cheap when there is none.
 * Now and then. */
void queue_receipt_settle(struct queue *q);

#endif
