/* SPDX-License-Identifier: MIT */
/*
 * smtpd_cmd - the commands of SMTP as a table (RFC 5321 section 4.1, 1985,
 * 3461, 3030). The order of the table is the order of the counters in the
 * line that ends a session.
 */
#ifndef SMTPD_CMD_H
#define SMTPD_CMD_H

#include "smtpd/smtpd_state.h"

enum {
	CMD_ENDS_GROUP = 1 << 0, /* RFC 2920: nothing may follow unasked */
	CMD_JUNK = 1 << 1,       /* smtpd_junk_command_limit counts it */
	CMD_QUIT = 1 << 2,
	CMD_CLEAR = 1 << 3,  /* in the clear, where TLS must come first */
	CMD_GREETS = 1 << 4, /* ends with a greeting; never counted as good */
};

struct smtpd_command {
	const char *name; /* upper case, as logs show it */
	/* Reply; true when it was done. arg is trimmed. */
	bool (*fn)(struct smtpd *s, struct span arg);
	unsigned flags;
};

/* Ends with a NULL name: "unknown", which counts the rest. */
extern const struct smtpd_command smtpd_commands[];

/* NULL: no such command. */
const struct smtpd_command *smtpd_command_find(struct span verb);

bool smtpd_cmd_mail(struct smtpd *s, struct span arg);
bool smtpd_cmd_rcpt(struct smtpd *s, struct span arg);
bool smtpd_cmd_vrfy(struct smtpd *s, struct span arg);
bool smtpd_cmd_data(struct smtpd *s, struct span arg);
bool smtpd_cmd_bdat(struct smtpd *s, struct span arg);
bool smtpd_cmd_etrn(struct smtpd *s, struct span arg);

/* Open fast_flush_domains. */
void smtpd_etrn_open(void);

/* EHLO keywords that this client is not to see. */
enum {
	EHLO_8BITMIME = 1 << 0,
	EHLO_AUTH = 1 << 1,
	EHLO_ETRN = 1 << 2,
	EHLO_PIPELINING = 1 << 3,
	EHLO_SIZE = 1 << 4,
	EHLO_VRFY = 1 << 5,
	EHLO_XCLIENT = 1 << 6,
	EHLO_XFORWARD = 1 << 7,
	EHLO_STARTTLS = 1 << 8,
	EHLO_ENHANCED = 1 << 9,
	EHLO_DSN = 1 << 10,
	EHLO_SMTPUTF8 = 1 << 11,
	EHLO_CHUNKING = 1 << 12,
	EHLO_SILENT = 1 << 13, /* do not log it */
};

/* Open smtpd_discard_ehlo_keyword_address_maps; check the parameters. */
void smtpd_ehlo_open(void);
unsigned smtpd_ehlo_discarded(struct smtpd *s);

#endif
