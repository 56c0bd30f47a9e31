/* SPDX-License-Identifier: MIT */
/*
 * smtpd_dnsxl - DNS block and permit lists in a session. A session asks a
 * list about a name once: what it said is kept in s->dns_lists.
 */
#ifndef SMTPD_DNSXL_H
#define SMTPD_DNSXL_H

#include "smtpd/smtpd_rules.h"

/* A party of the session by its domain, and how replies name it. The spans
 * and strings are the session's. */
struct dns_name_of {
	struct span domain; /* empty: it has none */
	const char *class;  /* "Client host" */
	const char *value;  /* the name or address */
	enum rule_list_kind kind;
};

struct dns_name_of smtpd_dnsxl_subject(struct smtpd *s, enum dns_subject which);

/* Open rbl_reply_maps. */
void smtpd_dnsxl_open(void);
/* Free s->dns_lists. */
void smtpd_dnsxl_forget(struct smtpd *s);

#endif
