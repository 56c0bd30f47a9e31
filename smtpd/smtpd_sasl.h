/* SPDX-License-Identifier: MIT */
/*
 * smtpd_sasl - AUTH (RFC 4954): what EHLO offers, the dialogue, the AUTH=
 * parameter of MAIL. What comes of it is in s->sasl.
 */
#ifndef SMTPD_SASL_H
#define SMTPD_SASL_H

#include "smtpd/smtpd_state.h"

/* Open the back end and the tables, with the parent's privileges. */
void smtpd_sasl_open(void);
/* smtpd_sasl_auth_enable, for the restrictions that need it. */
bool smtpd_sasl_enabled(void);

/* May this client use AUTH now (smtpd_tls_auth_only)? */
bool smtpd_sasl_active(const struct smtpd *s);
/* The EHLO lines about it: none, one or two. */
void smtpd_sasl_ehlo(struct smtpd *s, struct strvec *lines);

bool smtpd_cmd_auth(struct smtpd *s, struct span arg);
/* AUTH= of MAIL; false: replied. */
bool smtpd_sasl_mail_param(struct smtpd *s, struct span value);

/* For STARTTLS: who the client said it was in the clear does not count (RFC
 * 3207 section 4.2). */
void smtpd_sasl_forget(struct smtpd *s);

/* ", sasl_method=M, sasl_username=U, sasl_sender=S", as far as they are set. */
void smtpd_sasl_append_log(const struct smtpd *s, struct buf *out);

#endif
