/* SPDX-License-Identifier: MIT */
/* smtp_tls_dane - TLSA records as TLS policy of a host (RFC 7672). */
#ifndef SMTP_SMTP_TLS_DANE_H
#define SMTP_SMTP_TLS_DANE_H

#include "smtp/smtp_tls_policy.h"

/*
 * p->level is TLS_CLIENT_DANE or TLS_CLIENT_DANE_ONLY as configured. Replace
 * it by what the DNS says (see smtp_tls_policy.h), with p->tlsa, p->names
 * (TLSA base domain, nexthop) and p->sni. false: p->why.
 */
bool smtp_tls_dane_apply(const struct smtp_tls_target *t,
			 struct smtp_tls_policy *p);

#endif
