/* SPDX-License-Identifier: MIT */
/*
 * smtp_auth - logging in to a server (RFC 4954): who, with what, and the
 * dialogue. smtp_sasl_auth_enable and its kin; see smtp(8).
 *
 * The password is looked up by sender (smtp_sender_dependent_authentication),
 * by the server's name, and by the destination as it was written. It is
 * in no log line and no status.
 */
#ifndef SMTP_SMTP_AUTH_H
#define SMTP_SMTP_AUTH_H

#include "lib/dsn/why.h"
#include "lib/smtp/dest.h"

struct smtp_session;

struct smtp_auth {
	char *queue_id, *sender, *dest;
	struct buf mechs; /* that the server offered and the filter passed,
			     separated by space */
	bool offered;     /* AUTH was announced */
	bool done;        /* logged in */
};

/* Before jail(). Fatal on a mistake in the settings. */
void smtp_auth_open(bool lmtp);
/* May a session be kept for another message? */
bool smtp_auth_may_keep(void);

/* For a session to d; NULL when logins are not enabled. */
struct smtp_auth *smtp_auth_new(const char *queue_id, const char *sender,
				const struct dest *d);
void smtp_auth_free(struct smtp_auth **a);

/* The rest of an AUTH line of EHLO's reply. Several lines add up. forget:
 * before a new reply. */
void smtp_auth_forget(struct smtp_session *s);
void smtp_auth_offer(struct smtp_session *s, struct span mechs);
/* Log in, where the server offers it and there is a password. false: why; the
 * session can only be closed. */
bool smtp_auth_login(struct smtp_session *s, struct why *why);

#endif
