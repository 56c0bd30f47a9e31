/* SPDX-License-Identifier: MIT */
/*
 * smtp_host - names as the SMTP and LMTP client looks them up: which of DNS
 * and native look-ups are used (smtp_dns_support_level, disable_dns_lookups,
 * smtp_host_lookup, smtp_dns_resolver_options, inet_protocols), and
 * smtp_dns_reply_filter. The reason why there is no answer is in Postfix's
 * words.
 */
#ifndef SMTP_SMTP_HOST_H
#define SMTP_SMTP_HOST_H

#include "lib/dns/dns.h"
#include "smtp/smtp_addr.h"

struct smtp_host_policy {
	bool mx;     /* DNS may be asked at all */
	bool dns;    /* addresses of hosts from DNS */
	bool native; /* the hosts file and the search list of this host,
			when DNS has no such host */
	bool v4, v6;
	unsigned search; /* DNS_SEARCH_*, for hosts in DNS */
};

/* Open the filter and read the search list: once, before jail(). */
void smtp_host_open(void);

struct smtp_host_policy smtp_host_policy(void);

/*
 * Ask DNS, and filter. Anything but DNS_FOUND has set why: 5.4.4 no such name,
 * or not with this type; 4.4.3 look-up failed (DNS_RETRY); 4.7.0 the filter
 * left nothing (DNS_RETRY).
 */
enum dns_status smtp_host_query(const char *name, enum dns_type type,
				unsigned search, struct dns_answer *a,
				struct why *why);

/*
 * Append the addresses of a host, which may be an address itself. false:
 * there is none, why is set.
 */
bool smtp_host_lookup(const struct smtp_host_policy *p, const char *name,
		      int port, int preference, struct smtp_addr_list *l,
		      struct why *why);

#endif
