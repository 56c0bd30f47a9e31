/* SPDX-License-Identifier: MIT */
/*
 * smtp_tls - TLS in a session: STARTTLS (RFC 3207) or wrapper mode, and
 * whether what came of it is what the policy asks for.
 *
 * session->tls.policy is set by smtp_tls_admit() before anything is sent.
 */
#ifndef SMTP_SMTP_TLS_H
#define SMTP_SMTP_TLS_H

#include "smtp/smtp_session.h"

/* Certificates, keys, authorities, tables; before jail(). */
void smtp_tls_open(bool lmtp, const char *service);

/* Was all that loaded? */
bool smtp_tls_is_available(void);

/* For struct service: were certificates or keys replaced? */
int smtp_tls_watch_fd(void);
bool smtp_tls_watch_changed(void);

/*
 * May a connection to this address be made at all? Fills policy, which the
 * caller owns. false: why; no connection.
 */
bool smtp_tls_admit(const struct smtp_tls_target *t, bool requiretls,
		    struct smtp_tls_policy *policy, struct why *why);

/* Wrapper mode: the handshake before the greeting. false: why. */
bool smtp_tls_wrap(struct smtp_session *s, struct why *why);

/* For probes: the handshake alone, whatever the server's certificate is worth.
 * s->tls.result says what came of it. false: there was none, why. */
bool smtp_tls_handshake(struct smtp_session *s, struct why *why);

enum smtp_tls_step {
	SMTP_TLS_GO_ON,   /* in the clear, which the policy allows */
	SMTP_TLS_STARTED, /* EHLO is due again */
	SMTP_TLS_FAILED,  /* why */
};
/* After EHLO. */
enum smtp_tls_step smtp_tls_start(struct smtp_session *s, struct why *why);

/* Does the policy of a kept session equal that of a request? */
bool smtp_tls_suits(const struct smtp_session *s, bool requiretls);
/* After a failed handshake, or a connection that was lost after it: the policy
 * lets the same host be tried in the clear. */
bool smtp_tls_may_fall_back(const struct smtp_session *s,
			    const struct why *why);

#endif
