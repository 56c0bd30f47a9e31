/* SPDX-License-Identifier: MIT */
/*
 * smtpd_proxy - a filter that sees mail before it is accepted
 * (smtpd_proxy_filter): the third place, beside the queue and postdrop, where
 * content goes.
 *
 * The filter gets the client's own MAIL and RCPT commands, one transaction a
 * connection, without pipelining; what it replies is what the client reads.
 * With smtpd_proxy_options = speed_adjust the message is received whole first,
 * and only then is the filter connected.
 *
 * A filter that is down, slow, or answers nonsense makes a reply of 451; the
 * log says why. Replies are bounded in length and time (smtpd_proxy_timeout).
 */
#ifndef SMTPD_PROXY_H
#define SMTPD_PROXY_H

#include "smtpd/smtpd_state.h"

struct smtpd_proxy;

/* Check the parameters, find the filter's address (at start). */
void smtpd_proxy_open(void);
bool smtpd_proxy_is_on(const struct smtpd *s);

/* Connect and say MAIL with its argument. NULL: the client was told why. */
struct smtpd_proxy *smtpd_proxy_begin(struct smtpd *s);
/* false: the client was told. */
bool smtpd_proxy_rcpt(struct smtpd *s, struct span arg);
bool smtpd_proxy_data(struct smtpd *s);
/* Content with LF line ends. Trouble is reported at the end. */
void smtpd_proxy_content(struct smtpd_proxy *p, struct span piece);
/* The end: reply to the client with the filter's words, and log them. */
bool smtpd_proxy_end(struct smtpd *s);
/* Hang up. */
void smtpd_proxy_free(struct smtpd_proxy *p);

#endif
