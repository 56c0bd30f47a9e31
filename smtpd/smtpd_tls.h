/* SPDX-License-Identifier: MIT */
/*
 * smtpd_tls - TLS in the SMTP server: STARTTLS (RFC 3207) and connections
 * that begin with it (RFC 8314, smtpd_tls_wrappermode).
 *
 * Keys are read once, by the parent, before jail(). When they cannot be used
 * the service works on without TLS: STARTTLS gets 454. A file that is replaced
 * makes the parent ask for a successor; one that cannot use the new files ends
 * and leaves the old process at work.
 */
#ifndef SMTPD_TLS_H
#define SMTPD_TLS_H

#include "smtpd/smtpd_state.h"

void smtpd_tls_open(void);
/* For struct service. */
int smtpd_tls_watch_fd(void);
bool smtpd_tls_watch_changed(void);

/* smtpd_tls_wrappermode: the handshake comes before the greeting. false: the
 * session is over. */
bool smtpd_tls_wrapper(struct smtpd *s);
/* Is STARTTLS to be shown to this client? */
bool smtpd_tls_offered(const struct smtpd *s);
/* Is REQUIRETLS to be shown to this client? */
bool smtpd_tls_requirable(const struct smtpd *s);
/* Must the client start TLS before it may do anything? */
bool smtpd_tls_missing(const struct smtpd *s);
/* Is a client asked for its certificate? */
bool smtpd_tls_asks_cert(void);
bool smtpd_cmd_starttls(struct smtpd *s, struct span arg);
/* Lines of the Received: header (smtpd_tls_received_header). */
void smtpd_tls_received(const struct smtpd *s, struct buf *out);
void smtpd_tls_end(struct smtpd *s);

#endif
