/* SPDX-License-Identifier: MIT */
/*
 * postscreen_tests - what a client has passed, and what it has still to pass
 * (POSTSCREEN_README). Nothing here knows sockets, time or tables.
 *
 * Each test has the time until which a passed result counts, in seconds since
 * the epoch; SCREEN_NEVER: it was never passed. The five of them, separated by
 * ';', are the value of a client's entry in postscreen_cache_map, the same as
 * Postfix writes.
 */
#ifndef SMTPD_POSTSCREEN_TESTS_H
#define SMTPD_POSTSCREEN_TESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum screen_test { /* in the order of a cache entry */
		   TEST_PREGREET,
		   TEST_DNSBL,
		   TEST_PIPELINING,
		   TEST_NON_SMTP,
		   TEST_BARE_NEWLINE,
		   SCREEN_TESTS,
};

/* Sets of tests. */
enum {
	TESTS_EARLY = 1 << TEST_PREGREET | 1 << TEST_DNSBL,
	TESTS_DEEP =
	    1 << TEST_PIPELINING | 1 << TEST_NON_SMTP | 1 << TEST_BARE_NEWLINE,
};

enum { SCREEN_NEVER = 1 };

enum screen_action {
	ACTION_IGNORE,
	ACTION_ENFORCE,
	ACTION_DROP,
};

struct screen_tests {
	int64_t expires[SCREEN_TESTS];
	unsigned todo;    /* enabled, and no result that counts */
	unsigned passed;  /* in this session */
	unsigned skipped; /* failed, and that is ignored: not repeated soon */
	bool failed;      /* the client gets onto no list in this session */
	bool is_new;      /* some enabled test was never passed before */
};

/* "ignore", "enforce", "drop"; false: something else. */
bool screen_action_parse(const char *text, enum screen_action *out);

/*
 * Begin a session: entry is the client's cache entry, or empty. false: it is
 * not well formed (and taken for none).
 */
bool screen_tests_begin(struct screen_tests *t, struct span entry,
			unsigned enabled, int64_t now);
/* Nothing to be tested: the client is known. */
bool screen_tests_known(const struct screen_tests *t);
/* Which of these are still to be done? */
unsigned screen_tests_due(const struct screen_tests *t, unsigned which);

void screen_test_pass(struct screen_tests *t, enum screen_test which,
		      int64_t until);
/* Every test, enabled or not, counts until then at least. */
void screen_tests_pass_all(struct screen_tests *t, int64_t until);
/* A test failed. With ACTION_IGNORE a deep test is repeated only when some
 * other result expires; an early one the next time. */
void screen_test_fail(struct screen_tests *t, enum screen_test which,
		      enum screen_action action);
/* Was everything passed that was to be done, and nothing failed? */
bool screen_tests_complete(const struct screen_tests *t);
/* Is there something that the cache does not know yet? */
bool screen_tests_changed(const struct screen_tests *t);
/* The cache entry. */
void screen_tests_format(const struct screen_tests *t, struct buf *out);
/* When the last result of an entry expires; 0: not well formed. */
int64_t screen_entry_expires(struct span entry);

#endif
