/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_dane.h"

bool
smtp_tls_dane_apply(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	why_set(&p->why, "4.7.5",
		"TLS level \"%s\" is required for %s, but TLSA records cannot "
		"be looked up",
		tls_client_level_name(p->asked), t->addr->host);
	return false;
}
