/* SPDX-License-Identifier: MIT */
/* smtpd_session - one client, from the greeting to the last log line. */
#ifndef SMTPD_SESSION_H
#define SMTPD_SESSION_H

/* Open smtpd_forbidden_commands, smtpd_noop_commands. */
void smtpd_session_open(void);
enum {
	SESSION_STANDALONE = 1 << 0,   /* sendmail -bs: no network client */
	SESSION_UNRESTRICTED = 1 << 1, /* no restriction applies */
};

/* Is the client, as it is known by now, welcome? The greeting, or a refusal
 * after which it may only leave. */
struct smtpd;
void smtpd_session_greet(struct smtpd *s);

/* Blocking; the descriptors stay open. */
void smtpd_session_run(int in_fd, int out_fd, unsigned how);

#endif
