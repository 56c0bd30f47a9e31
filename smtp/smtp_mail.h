/* SPDX-License-Identifier: MIT */
/*
 * smtp_mail - one mail transaction in a session (RFC 5321 section 3.3, RFC
 * 2920 pipelining, RFC 1870 SIZE, RFC 6152 8BITMIME, RFC 3461 DSN, RFC 2033
 * LMTP).
 */
#ifndef SMTP_SMTP_MAIL_H
#define SMTP_SMTP_MAIL_H

#include "lib/service/agent.h"
#include "smtp/smtp_session.h"

/* The flags= argument of master.cf. */
enum {
	MAIL_ADD_DELIVERED_TO = 1 << 0, /* D */
	MAIL_ADD_ORIGINAL_TO = 1 << 1,  /* O */
	MAIL_ADD_RETURN_PATH = 1 << 2,  /* R */
};

struct smtp_mail_options {
	unsigned flags;
	bool final;  /* no other host will be tried: report deferrals */
	bool reused; /* the session had a transaction before */
	/* Was it logged that a line is too long? Once per request is enough. */
	bool *break_logged;
};

/*
 * Try to deliver to the recipients of req that are not done. Reports those
 * that are sent or bounced, and with final those that are deferred; what is
 * left was logged, and last says why. The session may be dead afterwards.
 *
 * With reused, a session that turns out to be unusable for a new transaction
 * is not even logged: the caller opens another.
 */
void smtp_mail_send(struct smtp_session *s, struct agent_request *req,
		    const struct smtp_mail_options *opt, struct why *last);

#endif
