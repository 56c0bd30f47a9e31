/* SPDX-License-Identifier: MIT */
/*
 * filter - smtp_dns_reply_filter and smtpd_dns_reply_filter (postconf(5)):
 * each record of an answer is looked up, as "name. ttl IN type data" with
 * host names ending in a dot; the result IGNORE drops it.
 */
#ifndef LIB_DNS_FILTER_H
#define LIB_DNS_FILTER_H

#include "lib/dns/dns.h"
#include "lib/table/table.h"

enum dns_filter_status {
	DNS_FILTER_KEPT,    /* something is left, or nothing was asked */
	DNS_FILTER_DROPPED, /* nothing is left */
	DNS_FILTER_BAD,     /* a table failed, or the result makes no sense;
			       a warning says which */
};

/* The tables of the parameter name. NULL stands for none below. */
struct maps *dns_filter_open(const char *name, const char *value);

/* Filter the records of an answer that is DNS_FOUND. name: the parameter. */
enum dns_filter_status dns_filter_apply(const char *name, struct maps *filter,
					enum dns_type type,
					struct dns_answer *a);

#endif
