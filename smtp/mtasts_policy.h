/* SPDX-License-Identifier: MIT */
/*
 * mtasts_policy - the MTA-STS policy of a domain: from the cache, or looked
 * for (TXT record, addresses of the policy host, HTTPS) and then cached (RFC
 * 8461 sections 3 and 5). A domain is looked into once at a time, whoever
 * asks.
 */
#ifndef SMTP_MTASTS_POLICY_H
#define SMTP_MTASTS_POLICY_H

#include "lib/smtp/sts_client.h"

struct event_base;
struct mtasts_waiter;

enum {
	MTASTS_LOOKUPS_MAX = 5000, /* domains at a time */
	/* A policy that is known holds when the TXT record takes longer. */
	MTASTS_CACHED_WAIT_SECONDS = 5,
};

void mtasts_policy_start(struct event_base *base);

/* The answer is the callee's for the time of the call. */
typedef void (*mtasts_policy_fn)(void *arg, const struct sts_answer *answer);

/*
 * fn is called exactly once, perhaps before this returns (then it returns
 * NULL), unless the question is taken back.
 */
struct mtasts_waiter *mtasts_policy_ask(struct span domain, mtasts_policy_fn fn,
					void *arg);
void mtasts_policy_cancel(struct mtasts_waiter *w);

#endif
