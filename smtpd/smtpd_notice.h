/* SPDX-License-Identifier: MIT */
/*
 * smtpd_notice - tells the postmaster about errors of a session
 * (notify_classes), with what was said.
 *
 * A reply of class 4 or 5 belongs to one of the classes bounce (no such
 * recipient, a message that is too big or loops), policy, protocol, resource
 * and software. The notice is sent at the end of the session. A message that
 * was taken makes up for all errors before it.
 */
#ifndef SMTPD_NOTICE_H
#define SMTPD_NOTICE_H

#include "lib/base/span.h"

struct smtpd;
struct why;

/* Read notify_classes. */
void smtpd_notice_open(void);
/* A command line, without a password. */
void smtpd_notice_in(struct smtpd *s, struct span line);
/* A reply as it is sent; why: what it was made from, or NULL. */
void smtpd_notice_out(struct smtpd *s, struct span reply,
		      const struct why *why);
/* A message was taken, and the reply was given. */
void smtpd_notice_taken(struct smtpd *s);
/* RSET: a long transcript begins anew (smtpd_history_flush_threshold). */
void smtpd_notice_rset(struct smtpd *s);
/* The session is over; reason: why it was broken off, or NULL. */
void smtpd_notice_end(struct smtpd *s, const char *reason);

#endif
