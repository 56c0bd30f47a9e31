/* SPDX-License-Identifier: MIT */
/* smtp_tls_sts - MTA-STS (RFC 8461) as TLS policy of a host, and the results
 * for reports (RFC 8460). */
#ifndef SMTP_SMTP_TLS_STS_H
#define SMTP_SMTP_TLS_STS_H

#include "lib/smtp/tlsrpt.h"
#include "smtp/smtp_tls_policy.h"

/*
 * Nobody else was specific about this target: apply the policy of its domain.
 * Only destinations with MX look-up have one. false: p->why.
 */
bool smtp_tls_sts_apply(const struct smtp_tls_target *t,
			struct smtp_tls_policy *p);

/* There will be no connection to this target, and result says why (DANE, or
 * MTA-STS itself). */
void smtp_tls_sts_report_refused(const struct smtp_tls_target *t,
				 const struct smtp_tls_policy *p,
				 enum tlsrpt_result result, const char *reason);

/* What came of a connection, once for each. */
enum smtp_tls_outcome {
	SMTP_TLS_OUTCOME_OK,          /* TLS as the policy asks */
	SMTP_TLS_OUTCOME_NOT_OFFERED, /* no STARTTLS, or refused */
	SMTP_TLS_OUTCOME_HANDSHAKE,   /* failed; result->error */
	SMTP_TLS_OUTCOME_CERTIFICATE, /* not what the policy asks for;
					 result->verify_error, error */
};

/* result is NULL when there was no handshake, stream when it is closed. */
void smtp_tls_sts_report(const struct smtp_tls_target *t,
			 const struct smtp_tls_policy *p, struct stream *stream,
			 enum smtp_tls_outcome outcome,
			 const struct tls_client_result *result);

#endif
