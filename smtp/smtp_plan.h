/* SPDX-License-Identifier: MIT */
/*
 * smtp_plan - what the client would do for a destination: the mail exchangers
 * and addresses in the order in which they are tried, and for each the TLS
 * policy and where it comes from. Nothing is connected to.
 *
 * smtp_host_open(), route_host_open() and smtp_tls_open() come before it.
 */
#ifndef SMTP_SMTP_PLAN_H
#define SMTP_SMTP_PLAN_H

#include "smtp/smtp_tls_policy.h"

struct smtp_plan_host {
	struct smtp_tls_policy policy;
	bool found;   /* policy is filled */
	bool allowed; /* a connection may be made; else policy.why */
};

/* Free with smtp_plan_free(). */
struct smtp_plan {
	const struct dest *dest; /* borrowed */
	bool lmtp;
	struct smtp_addr_list addrs;
	struct smtp_plan_host *hosts; /* one for each address */
	struct why why;               /* of no addresses */
};

/* Look up the addresses. false: there are none, p->why. */
bool smtp_plan_make(const struct dest *d, bool lmtp, struct smtp_plan *p);
void smtp_plan_free(struct smtp_plan *p);

/* The policy for address i, looked up when it is asked for first. */
struct smtp_plan_host *smtp_plan_host(struct smtp_plan *p, size_t i);

/* Append the plan in words: lines that end in LF. */
void smtp_plan_print(struct smtp_plan *p, struct buf *out);

#endif
