/* SPDX-License-Identifier: MIT */
/*
 * smtpd_route - what the routing tables say about the recipient in hand. The
 * answer for s->recipient is kept until the recipient changes.
 */
#ifndef SMTPD_ROUTE_H
#define SMTPD_ROUTE_H

#include "lib/table/table.h"
#include "smtpd/smtpd_state.h"

/* May anybody send to s->recipient: is this host its destination or a relay
 * for it? RETRY: why is the reply. */
enum table_status smtpd_route_authorized(struct smtpd *s, struct why *why);
/* Does the local part say where it is to go from here, and must it not
 * (allow_untrusted_routing)? */
bool smtpd_route_steered(struct span addr);
/* Is the address certainly unknown, or its table broken? why is the reply. */
bool smtpd_route_unlisted(struct smtpd *s, struct span addr, const char *what,
			  struct why *why);
/* The recipient changed. */
void smtpd_route_forget(struct smtpd *s);

#endif
