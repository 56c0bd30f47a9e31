/* SPDX-License-Identifier: MIT */
/*
 * resolver_hosts - the hosts file (hosts(5)), reread when it changes, and the
 * names that are always there (RFC 6761: localhost).
 */
#ifndef SMTP_RESOLVER_HOSTS_H
#define SMTP_RESOLVER_HOSTS_H

#include "lib/dns/dns.h"

/* File to read instead of /etc/hosts. */
void resolver_hosts_set_path(const char *path);

/*
 * A, AAAA (name in ASCII) and PTR (name is an address in text form). true:
 * the answer is in *answer: DNS_FOUND, or DNS_NO_DATA when the name is there
 * with addresses of the other family only. always_only: localhost, not the
 * file.
 */
bool resolver_hosts_find(const char *name, enum dns_type type, bool always_only,
			 struct dns_answer *answer);

#endif
