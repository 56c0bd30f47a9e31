/* SPDX-License-Identifier: MIT */
/*
 * smtpd_access - who may do what (SMTPD_ACCESS_README): the lists
 * smtpd_{client,helo,sender,relay,recipient,data,end_of_data}_restrictions.
 *
 * The lists are compiled once, with their tables open, before jail(); an
 * unknown or unavailable restriction ends the program then. Each function
 * below runs what belongs to one step of the session, logs a refusal, and
 * fills why with the reply: true means go on. With smtpd_delay_reject the
 * first three lists wait for RCPT.
 */
#ifndef SMTPD_ACCESS_H
#define SMTPD_ACCESS_H

#include "smtpd/smtpd_state.h"

void smtpd_access_open(void);

bool smtpd_access_connect(struct smtpd *s, struct why *why);
bool smtpd_access_helo(struct smtpd *s, struct why *why);
bool smtpd_access_mail(struct smtpd *s, struct why *why);
/* The recipient is s->recipient. */
bool smtpd_access_rcpt(struct smtpd *s, struct why *why);
bool smtpd_access_vrfy(struct smtpd *s, struct why *why);
bool smtpd_access_etrn(struct smtpd *s, struct why *why);
bool smtpd_access_data(struct smtpd *s, struct why *why);
bool smtpd_access_end_of_data(struct smtpd *s, struct why *why);

#endif
