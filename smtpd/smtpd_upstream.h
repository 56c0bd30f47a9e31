/* SPDX-License-Identifier: MIT */
/*
 * smtpd_upstream - the client's address from a proxy in front of this server
 * (smtpd_upstream_proxy_protocol, smtpd_upstream_proxy_timeout).
 */
#ifndef SMTPD_UPSTREAM_H
#define SMTPD_UPSTREAM_H

#include "smtpd/smtpd_state.h"

/* Check the parameters (at start). */
void smtpd_upstream_open(void);

/*
 * Find out who the client is: read the proxy's header when there is to be one,
 * or ask the socket. false: there was no good header; s->peer is then the
 * proxy, the log says why, and the session must end.
 */
bool smtpd_upstream_peer(struct smtpd *s);

#endif
