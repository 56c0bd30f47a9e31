/* SPDX-License-Identifier: MIT */
/*
 * smtpd_dns - the DNS as restrictions see it: answers pass through
 * smtpd_dns_reply_filter, and failures are worded as Postfix words them.
 */
#ifndef SMTPD_DNS_H
#define SMTPD_DNS_H

#include "lib/dns/dns.h"

enum smtpd_dns_status {
	SMTPD_DNS_FOUND,
	SMTPD_DNS_NO_NAME, /* or it can be no name */
	SMTPD_DNS_NO_DATA,
	SMTPD_DNS_RETRY,
	SMTPD_DNS_DROPPED,    /* the filter left nothing */
	SMTPD_DNS_BAD_FILTER, /* the filter failed, or makes no sense */
};

enum {
	SMTPD_DNS_SECONDS = 20,        /* for one question */
	SMTPD_DNS_CHECK_SECONDS = 100, /* for all of one restriction */
	SMTPD_DNS_HOSTS_MAX = 100,     /* behind one name */
};

/* Open the filter. */
void smtpd_dns_open(void);

/* a is replaced; at most SMTPD_DNS_SECONDS. */
enum smtpd_dns_status smtpd_dns_query(const char *name, enum dns_type type,
				      struct dns_answer *a);
/*
 * The addresses of a host, IPv6 first, as inet_protocols says, from the hosts
 * file or the DNS; text may be an address itself. Not filtered. a->rr[].text
 * are the addresses.
 */
enum smtpd_dns_status smtpd_dns_addresses(const char *host,
					  struct dns_answer *a);

/* "Host not found, try again": of a question to the DNS. */
const char *smtpd_dns_reason(enum smtpd_dns_status status);
/* "Name or service not known": of smtpd_dns_addresses(). */
const char *smtpd_dns_host_reason(enum smtpd_dns_status status);
/* A sentence that names what was asked. */
void smtpd_dns_explain(enum smtpd_dns_status status, const char *name,
		       enum dns_type type, struct buf *out);

#endif
