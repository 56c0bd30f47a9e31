/* SPDX-License-Identifier: MIT */
/*
 * smtpd_peer - who is the client: address, name, and whether the name leads
 * back to the address (smtpd_peername_lookup).
 */
#ifndef SMTPD_PEER_H
#define SMTPD_PEER_H

#include "lib/sys/sock.h"
#include "smtpd/smtpd_state.h"

/* From the socket; "localhost[127.0.0.1]" when fd is none. */
void smtpd_peer_init(struct smtpd_peer *p, int fd);
/* From what a proxy says; either may be empty. p is empty. */
void smtpd_peer_set(struct smtpd_peer *p, const struct sock_addr *client,
		    const struct sock_addr *server);
/* Make name, addr and port show in the texts that are made of them. */
void smtpd_peer_derive(struct smtpd_peer *p);
void smtpd_peer_free(struct smtpd_peer *p);

#endif
