/* SPDX-License-Identifier: MIT */
/*
 * haproxy - the header with which a proxy tells a server who its client is
 * (HAProxy's "PROXY protocol", version 1 in text and version 2 in binary).
 *
 * It comes ahead of everything else on a connection. The parser looks at what
 * has arrived so far, and says how many bytes belong to the header; what
 * follows them is the client's. So a caller either peeks at the socket
 * (MSG_PEEK) and then reads that many bytes, or takes them from its buffer.
 *
 * Addresses must be numbers, IPv4 octets without leading zeros; an IPv4
 * address that is written as IPv6 becomes IPv4. "PROXY UNKNOWN" is refused, as
 * Postfix does. Other words at the end of a version 1 line, and TLVs in
 * version 2, are skipped.
 */
#ifndef LIB_SMTP_HAPROXY_H
#define LIB_SMTP_HAPROXY_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/sys/sock.h"

enum {
	HAPROXY_MAX = 1024,     /* bytes of a header; a longer one is bad */
	HAPROXY_SHOW_MAX = 600, /* of them in a log line */
};

enum haproxy_status {
	HAPROXY_OK,
	HAPROXY_MORE, /* good so far; more has to come */
	HAPROXY_BAD,
};

struct haproxy {
	bool local; /* the proxy speaks for itself: the addresses are the
		       socket's, and those here are empty */
	struct sock_addr client, server;
	size_t used;        /* bytes of the header, when HAPROXY_OK */
	const char *reason; /* static text, unless HAPROXY_OK */
};

/* families: of sock_families(). */
enum haproxy_status haproxy_parse(struct span in, unsigned families,
				  struct haproxy *out);

/* Append what came, as it may be logged: \ooo, \r, \n and the like. */
void haproxy_show(struct span in, struct buf *out);

#endif
