/* SPDX-License-Identifier: MIT */
/*
 * queue_journal - what is done of the messages in segments.
 *
 * File journal/log: a header with a random number, then records of 32 bytes,
 * little endian:
 *
 *	 0 u32 type   4 u32 recipient   8 u64 segment   16 u64 offset
 *	24 u64 XXH3 of the 24 bytes before, seeded with the header's number plus
 *	   the record's position
 *
 * The first record that does not verify ends the journal: what was being
 * written when the power went. Records about segments that are gone mean
 * nothing.
 */
#ifndef LIB_QUEUE_QUEUE_JOURNAL_H
#define LIB_QUEUE_QUEUE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/span.h"

enum {
	JOURNAL_DONE = 1, /* the message is finished */
	JOURNAL_RCPT = 2, /* recipient index of it is */
};

struct journal_record {
	uint32_t type;
	uint32_t index;
	uint64_t file; /* number of the segment */
	int64_t offset;
};

struct journal {
	int fd;
	uint64_t number;
	uint64_t count; /* records in the file, durable */
	struct journal_record *pending; /* not durable yet */
	size_t n_pending, cap_pending;
};

typedef void (*journal_fn)(void *arg, const struct journal_record *r);

/* Calls fn for each record of a journal's bytes; returns how many there are.
 * number gets the header's. Never trusts data. */
uint64_t journal_parse(struct span data, uint64_t *number, journal_fn fn,
		       void *arg);
/* Read without owning it; true also when there is none. */
bool journal_read(journal_fn fn, void *arg);

/* Open (create) and replay; cut off what does not verify. false: errno. */
bool journal_open(struct journal *j, journal_fn fn, void *arg);
void journal_close(struct journal *j);
/* To be made durable by the next journal_flush(). */
void journal_add(struct journal *j, const struct journal_record *r);
/* Make all that was added durable; on false (errno) it is kept for the next
 * call. */
bool journal_flush(struct journal *j);

/*
 * Replace the file by one with the n records (those pending included by the
 * caller). On false (errno) the old one is in use still.
 */
bool journal_rewrite(struct journal *j, const struct journal_record *records,
		     size_t n);

#endif
