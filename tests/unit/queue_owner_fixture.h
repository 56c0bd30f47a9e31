/* SPDX-License-Identifier: MIT */
/* queue_owner_fixture - what tests of the queue's owner share: the messages
 * that a scan found. */
#ifndef TESTS_UNIT_QUEUE_OWNER_FIXTURE_H
#define TESTS_UNIT_QUEUE_OWNER_FIXTURE_H

#include "tests/unit/queue_fixture.h"

enum { MAX_MESSAGES = 64 };

static struct queue_message *got[MAX_MESSAGES];
static size_t n_got;

/* For queue_scan_incoming(): into got[]. */
static inline void
take_one(void *arg, struct queue_message *m)
{
	(void)arg;
	assert_true(n_got < MAX_MESSAGES);
	got[n_got++] = m;
}

/* Everything in incoming, into got[]; how many. */
static inline size_t
scan_all(struct queue *q)
{
	n_got = 0;
	while (queue_scan_incoming(q, 3, take_one, NULL))
		;
	return n_got;
}

static char found_id[MAX_MESSAGES][QUEUE_ID_MAX];
static size_t n_found;

static inline void
note_id(void *arg, const char *id, int64_t next)
{
	(void)arg;
	(void)next;
	assert_true(n_found < MAX_MESSAGES);
	snprintf(found_id[n_found++], QUEUE_ID_MAX, "%s", id);
}

/* The ids in deferred or hold, into found_id[]; how many. */
static inline size_t
scan_files(struct queue *q, const char *name)
{
	n_found = 0;
	while (queue_scan_deferred(q, name, 2, note_id, NULL))
		;
	return n_found;
}

#endif
