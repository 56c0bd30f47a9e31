/* SPDX-License-Identifier: MIT */
/*
 * queue_state - what happened so far to a message in deferred/ or hold/.
 *
 * State records lie one after another behind the image: snapshots of
 * everything, and between them lists of recipients that were finished since.
 * The first one that does not verify ends them. A record:
 *
 *	u32 magic, u32 length of the payload, u64 XXH3 of the payload, seeded
 *	with the record's offset in the file; payload.
 */
#ifndef LIB_QUEUE_QUEUE_STATE_H
#define LIB_QUEUE_QUEUE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/dsn/why.h"

struct queue_state {
	size_t n;         /* recipients */
	uint8_t *state;   /* enum rcpt_state, n of them */
	struct why *last; /* n of them, or NULL */
	unsigned attempts;
	bool delay_warned;
	bool expire;
	int64_t next; /* next attempt, microseconds */
};

enum { QUEUE_STATE_HEADER = 16 };

/* All recipients open. */
void queue_state_init(struct queue_state *s, size_t n);
void queue_state_free(struct queue_state *s);

/* A record for offset of its file. */
void queue_state_encode(const struct queue_state *s, int64_t offset,
			struct buf *out);
/* The payload of one onto s; false: not what encode writes, s is as before. */
bool queue_state_decode(struct span payload, struct queue_state *s);
/* Does a record's magic stand there? */
bool queue_state_is_record(const char *data, size_t len);

/*
 * Read the records from offset on; s is initialised (with n recipients). end
 * gets the place for the next record. false: errno.
 */
bool queue_state_read(int fd, int64_t offset, struct queue_state *s,
		      int64_t *end);
/* Write one at *end and move *end. Not synced. false: errno. */
bool queue_state_write(int fd, const struct queue_state *s, int64_t *end);

/* The same, with a list of n recipients that are done. */
bool queue_state_write_done(int fd, const uint32_t *index, size_t n,
			    int64_t *end);

#endif
