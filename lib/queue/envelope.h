/* SPDX-License-Identifier: MIT */
/*
 * envelope - what a message image says beside the content: sender,
 * recipients with their routes, times, DSN options, where it came from.
 */
#ifndef LIB_QUEUE_ENVELOPE_H
#define LIB_QUEUE_ENVELOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

/* flags */
enum {
	ENVELOPE_HOLD = 1 << 0,   /* goes to hold/ before any delivery */
	ENVELOPE_NOTICE = 1 << 1, /* a notice that Postrider wrote */
	ENVELOPE_SMTPUTF8 = 1 << 2,
	ENVELOPE_REQUIRETLS = 1 << 3,
	ENVELOPE_VERIFY = 1 << 4,   /* sendmail -bv: report, do not deliver */
	ENVELOPE_REPORT = 1 << 5,   /* sendmail -v: deliver and report */
	ENVELOPE_MAILDROP = 1 << 6, /* as submitted: recipients not routed */
	ENVELOPE_EXTRACT = 1 << 7,  /* sendmail -t: recipients in headers */
	ENVELOPE_EXPIRED = 1 << 8,  /* postsuper -e */
	ENVELOPE_PROBE = 1 << 9,    /* of verify(8): does the recipient exist? */
};

struct rcpt {
	char *address;   /* internal form, routed */
	char *orig_to;   /* as received; NULL: same as address */
	char *dsn_orcpt; /* "rfc822;..." or NULL */
	char *transport; /* NULL in maildrop */
	char *nexthop;
	int dsn_notify;
	int class; /* enum addr_class, 0 in maildrop */
};

struct envelope {
	char *sender;    /* "" is the null sender */
	char *full_name; /* of the sender (-F), or NULL */
	int64_t arrival; /* microseconds since the epoch */
	int64_t size;    /* as logged and listed: bytes with CRLF line ends */
	unsigned flags;
	char *encoding; /* "7bit", "8bit" or NULL */
	char *dsn_envid;
	int dsn_ret;
	char *rewrite; /* "local" or "remote" */
	char *filter;  /* FILTER action: transport:nexthop, or NULL */
	char *client_name, *client_addr, *client_port, *client_helo,
	    *client_proto; /* NULL: unknown */
	char *sasl_method, *sasl_username, *sasl_sender;
	int uid; /* who submitted it locally, or -1 */
	struct rcpt *rcpts;
	size_t n_rcpts;
	size_t cap_rcpts;
};

#define ENVELOPE_INIT     \
	{                 \
		.uid = -1 \
	}

void envelope_free(struct envelope *e);
/* Append an empty recipient; the pointer is valid until the next call. */
struct rcpt *envelope_add_rcpt(struct envelope *e);

/* The stored form. envelope_decode() never trusts it: false on anything that
 * is not exactly what envelope_encode() writes. */
void envelope_encode(const struct envelope *e, struct buf *out);
bool envelope_decode(struct span data, struct envelope *e);

#endif
