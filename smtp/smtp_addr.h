/* SPDX-License-Identifier: MIT */
/*
 * smtp_addr - from a destination to the addresses to try, in order
 * (RFC 5321 section 5.1, RFC 7505), and which of it DNSSEC vouches for
 * (RFC 7672 section 2.2).
 */
#ifndef SMTP_SMTP_ADDR_H
#define SMTP_SMTP_ADDR_H

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/smtp/dest.h"

struct smtp_addr {
	char *host; /* name for logs; of an MX, or the address itself */
	char *text; /* the address, or the path of a UNIX socket */
	/* The name that was asked for and the one after aliases, when they
	 * are not the same; else NULL. */
	char *asked, *canonical;
	char *domain;   /* the nexthop's name after aliases, or NULL */
	bool secure;    /* the address and its aliases were validated */
	bool mx_secure; /* the MX records were (domain included), or are not
			   used */
	int preference;
	int port; /* 0: UNIX socket */
	struct sockaddr_storage sa;
	socklen_t sa_len;
};

struct smtp_addr_list {
	struct smtp_addr *v;
	size_t n;
	int best;   /* preference of the best mail exchanger, even without
		       an address */
	bool final; /* no other destination is to be tried, because: */
	bool loops; /* it is this host (why says 5.4.6); or else a better one,
		       which has no address (4.4.4) */
};

void smtp_addr_list_free(struct smtp_addr_list *l);
/* A copy of its own, and its end. */
void smtp_addr_copy(struct smtp_addr *to, const struct smtp_addr *from);
void smtp_addr_clear(struct smtp_addr *a);

struct dns_answer;
/* The hosts of l were found by these MX or SRV records of name: mx_secure, and
 * domain (name NULL: not that). */
void smtp_addr_note_hosts(struct smtp_addr_list *l, const char *name,
			  const struct dns_answer *a);

/*
 * Look up d: by preference, shuffled within one preference
 * (smtp_randomize_addresses), families as smtp_address_preference says; this
 * host and what is not better than it left out. false: l is empty, and why
 * says 5.4.4 no such host, 4.4.3 look-up failed, 5.1.0 null MX, 5.4.6 loops
 * back to myself, or 4.4.4 only better hosts, without an address. Free l in
 * any case.
 */
bool smtp_addr_lookup(const struct dest *d, struct smtp_addr_list *l,
		      struct why *why);

/* Append an IP address in text form; false when it is none, or l is full. */
bool smtp_addr_add(struct smtp_addr_list *l, const char *host, const char *text,
		   int port, int preference);

#endif
