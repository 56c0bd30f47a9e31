/* SPDX-License-Identifier: MIT */
/*
 * sts_client - what delivery agents ask and tell the service mta-sts
 * (mtasts(8)) over private/mta-sts.
 */
#ifndef LIB_SMTP_STS_CLIENT_H
#define LIB_SMTP_STS_CLIENT_H

#include "lib/base/buf.h"
#include "lib/smtp/mta_sts.h"
#include "lib/smtp/tlsrpt.h"

/* Where a policy came from. */
enum sts_source {
	STS_NO_POLICY,
	STS_CACHED,
	STS_FETCHED,
};

struct sts_answer {
	enum mta_sts_mode mode;
	enum sts_source source;
	struct strvec mx; /* patterns */
	struct buf id;
	int64_t max_age; /* seconds, as the policy says */
	int ttl;         /* seconds until it expires */
	/* What hindered a fetch, else TLSRPT_SUCCESS; the words for that. Also
	 * set when an older policy holds. */
	enum tlsrpt_result failure;
	struct buf reason;
};

#define STS_ANSWER_INIT                                               \
	{                                                             \
		.mx = STRVEC_INIT, .id = BUF_INIT, .reason = BUF_INIT \
	}

/*
 * The policy of a domain. Waits for it to be fetched, timeout seconds at most.
 * false: the service gave no answer, reason says why; nothing is known about
 * the domain then.
 */
bool sts_client_ask(const char *domain, int timeout, struct sts_answer *answer);
void sts_answer_free(struct sts_answer *a);

/* One TLS session, or the attempt at one. Strings may be NULL. */
struct tlsrpt_session {
	const char *domain; /* that mail went to: asks for reports, or not */
	const char *policy_domain; /* where the policy is, when elsewhere */
	enum tlsrpt_policy_type type;
	const struct strvec *strings; /* of the policy; NULL: none */
	const struct strvec *mx;      /* its patterns; NULL: none */
	enum tlsrpt_result result;
	const char *reason; /* text for a human, of a failure */
	const char *mx_host;
	const char *client_addr, *server_addr;
};

/* Never waits: what the service does not take in at once is lost. */
void tlsrpt_send(const struct tlsrpt_session *s);

#endif
