/* SPDX-License-Identifier: MIT */
/*
 * smtpd_milter - the milters of a session (smtpd_milters, smtpd_milter_maps).
 *
 * Each event returns NULL to go on, or the reply that refuses it, "550 5.7.1
 * text", perhaps of several lines (smtpd_milter_reply() sends it). What
 * milters decide is logged here, and HOLD and DISCARD are noted in s->mail.
 * Without milters nothing happens.
 */
#ifndef SMTPD_MILTER_H
#define SMTPD_MILTER_H

#include "smtpd/smtpd_state.h"

/* Once, before jail(). A bad list ends the program. */
void smtpd_milter_open(void);

const char *smtpd_milter_connect(struct smtpd *s);
/* The name is s->helo. */
const char *smtpd_milter_helo(struct smtpd *s);
/* path: the address as the client wrote it; params: what follows it. */
const char *smtpd_milter_mail(struct smtpd *s, struct span path,
			      struct span params);
/* The recipient is s->recipient. */
const char *smtpd_milter_rcpt(struct smtpd *s, struct span path,
			      struct span params);
/* It was refused, because of why. */
void smtpd_milter_rcpt_refused(struct smtpd *s, struct span path,
			       struct span params, const struct why *why);
const char *smtpd_milter_data(struct smtpd *s);
const char *smtpd_milter_unknown(struct smtpd *s, struct span verb);
/* The content of s->mail.cleanup goes through them. */
void smtpd_milter_content(struct smtpd *s);
/* The reply that they gave to the content, or NULL. */
const char *smtpd_milter_content_reply(struct smtpd *s);

/* The transaction ends; the session is greeted anew; it ends. */
void smtpd_milter_abort(struct smtpd *s);
void smtpd_milter_end(struct smtpd *s);

void smtpd_milter_reply(struct smtpd *s, const char *reply);

#endif
