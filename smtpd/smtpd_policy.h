/* SPDX-License-Identifier: MIT */
/*
 * smtpd_policy - check_policy_service: another program decides
 * (SMTPD_POLICY_README).
 *
 * A service is "inet:host:port" or "unix:path", or that and its own settings
 * in braces: "{ inet:host:port, timeout=10s, default_action=DUNNO }". Equal
 * texts share one service. Each worker has a connection of its own, made when
 * the first question is asked and kept from one client to the next.
 *
 * One attempt takes at most the service's timeout; there are at most
 * try_limit, retry_delay apart, then the default action answers. So a service
 * that hangs, dies or talks nonsense costs a client a known time at most.
 */
#ifndef SMTPD_POLICY_H
#define SMTPD_POLICY_H

#include "lib/base/buf.h"

struct policy;

/* NULL: error says what is wrong with text. Lives as long as the program. */
struct policy *smtpd_policy_open(const char *text, struct buf *error);

#endif
