/* SPDX-License-Identifier: MIT */
/* smtpd_footer - smtpd_reject_footer and smtpd_reject_footer_maps. */
#ifndef SMTPD_FOOTER_H
#define SMTPD_FOOTER_H

#include "smtpd/smtpd_state.h"

void smtpd_footer_open(void);

/*
 * line is a reply of class 4 or 5 without CR LF: add the footer to it, which
 * makes it several lines with CR LF between them, each with the reply's codes.
 */
void smtpd_footer_add(struct smtpd *s, struct buf *line);

#endif
