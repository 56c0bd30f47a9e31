/* SPDX-License-Identifier: MIT */
/* posttls-finger_probe - a conversation with one server up to QUIT, shown line
 * by line (posttls-finger(1)). */
#ifndef SMTP_POSTTLS_FINGER_PROBE_H
#define SMTP_POSTTLS_FINGER_PROBE_H

#include "smtp/smtp_session.h"

/* What is shown of TLS (option -L). */
enum {
	FINGER_SUMMARY = 1 << 0,
	FINGER_PEERCERT = 1 << 1,
	FINGER_CERTMATCH = 1 << 2,
	FINGER_CACHE = 1 << 3,
};

struct finger_probe {
	unsigned log;
	bool quiet;         /* nothing of SMTP */
	bool chain;         /* print the certificates in the end */
	bool wrapper;       /* TLS before the greeting */
	int64_t greet_wait; /* microseconds */
	int64_t command_wait;
	bool again;        /* to see whether the session is resumed */
	struct buf server; /* out: its name in the reply to EHLO */
	bool encrypted;    /* out */
};

/* s->tls.policy is set. Ends the session. */
void finger_probe(struct finger_probe *p, struct smtp_session **s);

#endif
