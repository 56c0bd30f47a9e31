/* SPDX-License-Identifier: MIT */
/*
 * smtp_deliver - one delivery request: which hosts are tried in which order,
 * and the session that is kept for the next request to the same place.
 */
#ifndef SMTP_SMTP_DELIVER_H
#define SMTP_SMTP_DELIVER_H

#include "lib/service/agent.h"

/* lmtp: the program runs as lmtp(8). flags: MAIL_*. */
void smtp_deliver_init(bool lmtp, unsigned flags);

extern const struct agent_ops smtp_deliver_ops;

#endif
