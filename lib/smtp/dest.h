/* SPDX-License-Identifier: MIT */
/*
 * dest - where an SMTP or LMTP client is told to deliver: the nexthop of a
 * transport, relayhost, smtp_fallback_relay (smtp(8), transport(5)).
 *
 *	host, host:port		look up MX records of host
 *	[host], [host]:port	only its addresses
 *	[1.2.3.4], [ipv6:..]	an address
 *	unix:path, inet:dest	LMTP; host without brackets has no MX there
 *
 * A name is a valid host name, in ASCII or UTF-8.
 *
 * Several are separated by comma or white space and tried in order. A port is
 * a number, a name that known_tcp_ports has, or one of services(5).
 */
#ifndef LIB_SMTP_DEST_H
#define LIB_SMTP_DEST_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/dsn/why.h"

struct dest {
	char *name; /* as it was written, for messages */
	char *host; /* name, address, or path of a UNIX socket */
	char *service; /* behind the ":" of a host that has MX records, or
			  NULL */
	int port;
	bool mx;       /* look up MX records */
	bool path;     /* host is a path */
	bool fallback; /* of a fallback relay: the caller's mark */
	bool std_port; /* the default port, where mail loops are possible */
};

struct dest_list {
	struct dest *v;
	size_t n;
};

enum { DEST_MAX = 100 };

struct dest_rules {
	bool lmtp;
	const char *default_port; /* smtp_tcp_port, lmtp_tcp_port */
	const char *known_ports;  /* "lmtp=24, smtps=submissions=465, ..." */
};

void dest_list_free(struct dest_list *l);
/* Append the destinations of text. false: why (4.3.5), l is unchanged. */
bool dest_list_parse(struct span text, const struct dest_rules *rules,
		     struct dest_list *l, struct why *why);

/* Port number of a number or service name; 0: unknown. */
int dest_port(struct span service, const char *known_ports);

#endif
