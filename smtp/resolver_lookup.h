/* SPDX-License-Identifier: MIT */
/*
 * resolver_lookup - the questions in flight. The same question of several
 * clients is asked once; each waits at most RESOLVER_WAIT_SECONDS.
 */
#ifndef SMTP_RESOLVER_LOOKUP_H
#define SMTP_RESOLVER_LOOKUP_H

#include "lib/dns/dns.h"

struct event_base;

enum {
	RESOLVER_LOOKUPS_MAX = 8000, /* different questions in flight */
	RESOLVER_WAITERS_MAX = 50000,
	RESOLVER_WAIT_SECONDS = 30,
};

/* One who waits; valid until its function was called or it was cancelled. */
struct resolver_waiter;
typedef void (*resolver_waiter_fn)(void *arg, const struct dns_answer *answer);

void resolver_lookup_start(struct event_base *base);

/*
 * Ask for name (ASCII; for DNS_PTR an address in text form). flags: DNS_HOSTS
 * and so on. fn is called once: before this returns, and then the result is
 * NULL, or later.
 */
struct resolver_waiter *resolver_lookup_ask(const char *name,
					    enum dns_type type, unsigned flags,
					    resolver_waiter_fn fn, void *arg);
void resolver_lookup_cancel(struct resolver_waiter *w);

#endif
