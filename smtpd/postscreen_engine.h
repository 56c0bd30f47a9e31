/* SPDX-License-Identifier: MIT */
/*
 * postscreen_engine - what the built-in SMTP server keeps about a session, and
 * its commands (postscreen_cmd.c). It takes no mail: it is there to watch, to
 * log, and to answer RCPT with a refusal.
 */
#ifndef SMTPD_POSTSCREEN_ENGINE_H
#define SMTPD_POSTSCREEN_ENGINE_H

#include "smtpd/postscreen_client.h"

struct screen_talk {
	struct buf in;     /* not processed yet */
	const char *where; /* the last command, for logs */
	const char *protocol;
	struct buf helo, sender, address;
	bool in_mail;
	unsigned commands;
	unsigned ehlo_off; /* SCREEN_EHLO_* not offered */
	int64_t deadline;  /* of the command; io_monotonic() */
	bool starting_tls; /* the reply to STARTTLS is on its way */
	bool shaking;      /* the handshake */
	bool test_all;     /* also what is not due */
	bool saw_pipelining, saw_bare_newline, saw_non_smtp;
};

/* Keywords that can be kept back. */
enum {
	SCREEN_EHLO_8BITMIME = 1 << 0,
	SCREEN_EHLO_ETRN = 1 << 1,
	SCREEN_EHLO_SIZE = 1 << 2,
	SCREEN_EHLO_VRFY = 1 << 3,
	SCREEN_EHLO_STARTTLS = 1 << 4,
	SCREEN_EHLO_ENHANCED = 1 << 5,
	SCREEN_EHLO_DSN = 1 << 6,
	SCREEN_EHLO_SMTPUTF8 = 1 << 7,
	SCREEN_EHLO_CHUNKING = 1 << 8,
	SCREEN_EHLO_OTHER = 1 << 9, /* known, never offered here */
	SCREEN_EHLO_SILENT = 1 << 10,
};

struct screen_command {
	const char *name;
	/* false: the session ends after the reply. arg is trimmed. */
	bool (*fn)(struct screen *s, struct span arg);
};

/* NULL: there is none. */
const struct screen_command *screen_command_find(struct span verb);

void postscreen_ehlo_open(void);
/* Which keywords this client is not to see. */
unsigned postscreen_ehlo_off(const struct screen *s);

#endif
