/* SPDX-License-Identifier: MIT */
/*
 * search - the search list of resolv.conf(5): under which names a host may be
 * meant.
 */
#ifndef LIB_DNS_SEARCH_H
#define LIB_DNS_SEARCH_H

#include "lib/dns/dns.h"

enum {
	DNS_SEARCH_DEFNAMES = 1 << 0, /* the domain, for names without a dot */
	DNS_SEARCH_DNSRCH = 1 << 1,   /* all of the list, for names with one;
					 with both, for all names */
};

enum { DNS_SEARCH_MAX = 6 };

/* Read /etc/resolv.conf, before the root directory is left. Without it a name
 * stands for itself only. */
void dns_search_open(void);
/* The text of such a file instead; domain: the host's, when the file names
 * none. */
void dns_search_read(struct span text, const char *domain);

/* dns_query() for each name that is meant, until one has an answer. timeout
 * is for each. */
enum dns_status dns_search_query(const char *name, enum dns_type type,
				 unsigned search, unsigned flags, int timeout,
				 struct dns_answer *answer);

/* The names that it asks for, in order (for tests). */
void dns_search_names(struct span name, unsigned search, struct strvec *out);

#endif
