/* SPDX-License-Identifier: MIT */
/*
 * smtpd_limits - how much one client may do: connections at a time and per
 * anvil_rate_time_unit, messages, recipients, TLS sessions and AUTH commands
 * in that time (TUNING_README, anvil(8) of Postfix).
 *
 * Counted together by all workers of a master.cf line, per address or network
 * (smtpd_client_ipv4_prefix_length, smtpd_client_ipv6_prefix_length), but for
 * the clients of smtpd_client_event_limit_exceptions. Counts last as long as
 * the parent process: a reload begins anew.
 *
 * Each function that says false has logged why and replied.
 */
#ifndef SMTPD_LIMITS_H
#define SMTPD_LIMITS_H

#include "smtpd/smtpd_state.h"

/* Parent: map the memory; called before workers are forked. */
void smtpd_limits_open(void);
/* For struct service. */
void smtpd_limits_worker_gone(int slot);
int64_t smtpd_limits_timer(int64_t now);
int64_t smtpd_limits_linger(void);

/* A client connected: false ends the session. */
bool smtpd_limits_connect(struct smtpd *s);
void smtpd_limits_disconnect(struct smtpd *s);
/* One more MAIL or RCPT of good syntax, or AUTH of any. */
bool smtpd_limits_mail(struct smtpd *s);
bool smtpd_limits_rcpt(struct smtpd *s);
bool smtpd_limits_auth(struct smtpd *s);
/* STARTTLS: does the client have its share already? Counts nothing. */
bool smtpd_limits_starttls(struct smtpd *s);
/* A handshake without resumption is done: count it. false ends the session. */
bool smtpd_limits_new_tls(struct smtpd *s);

#endif
