/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_sts.h"

bool
smtp_tls_sts_apply(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	(void)t;
	(void)p;
	return true;
}

void
smtp_tls_sts_report(const struct smtp_tls_target *t,
		    const struct smtp_tls_policy *p,
		    enum smtp_tls_outcome outcome,
		    const struct tls_client_result *result)
{
	(void)t;
	(void)p;
	(void)outcome;
	(void)result;
}
