/* SPDX-License-Identifier: MIT */
/*
 * smtpd_xclient - clients that speak for others: XCLIENT (the session becomes
 * that of the client it names) and XFORWARD (the next message is logged as
 * that client's; permissions stay as they are). Both are for the hosts in
 * smtpd_authorized_xclient_hosts and smtpd_authorized_xforward_hosts.
 */
#ifndef SMTPD_XCLIENT_H
#define SMTPD_XCLIENT_H

#include "smtpd/smtpd_state.h"

void smtpd_xclient_open_tables(void);

/* May this client use XFORWARD? Once, when it has connected. */
void smtpd_xforward_decide(struct smtpd *s);

/* The EHLO rows of a client that may use them. */
void smtpd_xclient_offer(struct smtpd *s, struct strvec *rows);

bool smtpd_cmd_xclient(struct smtpd *s, struct span arg);
bool smtpd_cmd_xforward(struct smtpd *s, struct span arg);

/* ", orig_queue_id=.., orig_client=.." for the line about a new message. */
void smtpd_forward_log(const struct smtpd *s, struct buf *line);

#endif
