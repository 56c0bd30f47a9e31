/* SPDX-License-Identifier: MIT */
/*
 * smtpd_drop - where "sendmail -bs" puts mail: a postdrop(1) of its own, since
 * the session runs with the rights of whoever started it.
 */
#ifndef SMTPD_DROP_H
#define SMTPD_DROP_H

#include "lib/base/buf.h"
#include "lib/dsn/why.h"

struct smtpd;
struct smtpd_drop;

/* Start postdrop; id gets the name of the message. NULL: why. */
struct smtpd_drop *smtpd_drop_begin(struct buf *id, struct why *why);
void smtpd_drop_envelope(struct smtpd_drop *d, const struct smtpd *s);
void smtpd_drop_content(struct smtpd_drop *d, struct span piece);
/* Wait for the verdict; d is gone. */
bool smtpd_drop_end(struct smtpd_drop *d, struct why *why);
void smtpd_drop_abort(struct smtpd_drop *d);

#endif
