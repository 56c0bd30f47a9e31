/* SPDX-License-Identifier: MIT */
/*
 * resolver_engine - libunbound in the event loop.
 *
 * One context with one cache at a time. When /etc/resolv.conf changes, a new
 * context takes over and the old one goes when its last question is answered.
 *
 * Answers are validated (RFC 4035). The servers of this host must pass
 * signatures on for that: the first thing asked for is the probe, and when its
 * answer does not validate the root servers are asked instead, and down from
 * there. Then what is signed comes from there, and everything else, what does
 * not exist included, from the servers of this host, which may know names that
 * nobody else does. When the root servers do not answer either it goes on
 * without DNSSEC, and tries again later.
 */
#ifndef SMTP_RESOLVER_ENGINE_H
#define SMTP_RESOLVER_ENGINE_H

#include "lib/dns/dns.h"

struct event_base;

struct resolver_engine_conf {
	const char *servers;      /* "127.0.0.1@5353 ..."; "": resolv.conf;
				     "root-servers" */
	const char *trust_anchor; /* a file; "": the system's, when there */
	const char *insecure;     /* further zones without signatures */
	const char *probe;        /* "ns:."; "": no probe */
};

/* Before the first question. The strings are kept. */
void resolver_engine_start(struct event_base *base,
			   const struct resolver_engine_conf *conf);

/* The answer belongs to the callee for the time of the call. */
typedef void (*resolver_engine_fn)(void *arg, struct dns_answer *answer);

/*
 * Ask for name (as it goes on the wire, in ASCII). fn is called exactly once,
 * perhaps before this returns; a server that never answers makes it late by
 * minutes, so callers have limits of their own.
 */
void resolver_engine_ask(const char *name, enum dns_type type,
			 resolver_engine_fn fn, void *arg);

#endif
