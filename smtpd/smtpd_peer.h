/* SPDX-License-Identifier: MIT */
/*
 * smtpd_peer - who is the client: address, name, and whether the name leads
 * back to the address (smtpd_peername_lookup).
 */
#ifndef SMTPD_PEER_H
#define SMTPD_PEER_H

#include "smtpd/smtpd_state.h"

/* From the socket; "localhost[127.0.0.1]" when fd is none. */
void smtpd_peer_init(struct smtpd_peer *p, int fd);

#endif
