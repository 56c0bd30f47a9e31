/* SPDX-License-Identifier: MIT */
/* smtp_tls_site - the old smtp_tls_per_site tables: NONE, MAY,
 * MUST_NOPEERMATCH, MUST by next-hop destination and by host name. */
#ifndef SMTP_SMTP_TLS_SITE_H
#define SMTP_SMTP_TLS_SITE_H

#include "lib/table/table.h"
#include "smtp/smtp_tls_policy.h"

/* p->level is that of main.cf, and is replaced by what is found. false:
 * p->why, logged. */
bool smtp_tls_site_find(struct maps *m, bool lmtp, const char *nexthop,
			const char *host, struct smtp_tls_policy *p);

#endif
