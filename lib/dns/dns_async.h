/* SPDX-License-Identifier: MIT */
/*
 * dns_async - questions to the resolver for event loops (libevent). The
 * blocking counterpart is dns.h.
 */
#ifndef LIB_DNS_DNS_ASYNC_H
#define LIB_DNS_DNS_ASYNC_H

#include "lib/dns/dns.h"

struct event_base;
struct ipc_msg;
struct dns_ask;

#define DNS_RESOLVER_PATH "private/resolver"

/* The answer belongs to the caller of fn, the question is over. */
typedef void (*dns_ask_fn)(void *arg, const struct dns_answer *answer);

/*
 * Ask for name, in ASCII. fn is called exactly once, from the loop, after
 * DNS_ASK_SECONDS at the latest (DNS_RETRY then, as when the resolver cannot
 * be reached), unless the question is taken back.
 */
struct dns_ask *dns_ask(struct event_base *base, const char *name,
			enum dns_type type, dns_ask_fn fn, void *arg);
void dns_ask_cancel(struct dns_ask **ask);

enum { DNS_ASK_SECONDS = 35 };

/* Read a MSG_DNS_ANSWER into an empty answer. */
void dns_answer_take(const struct ipc_msg *msg, enum dns_type type,
		     struct dns_answer *a);

#endif
