/* SPDX-License-Identifier: MIT */
/* smtp_ehlo - what a server announces (RFC 5321 section 4.1.1.1), and what is
 * known about firewalls in front of it. */
#ifndef SMTP_SMTP_EHLO_H
#define SMTP_SMTP_EHLO_H

#include "smtp/smtp_session.h"

/* Open the tables of smtp_discard_ehlo_keyword_address_maps and
 * smtp_pix_workaround_maps (before jail). */
void smtp_ehlo_open(void);

/* Set s->features and s->size_limit from s->reply. */
void smtp_ehlo_parse(struct smtp_session *s);

/* Does the greeting in s->reply come from a PIX firewall? Returns whether
 * EHLO must not be sent; may set FEATURE_DELAY_DOT. */
bool smtp_ehlo_pix(struct smtp_session *s, const char *queue_id, int64_t age);

#endif
