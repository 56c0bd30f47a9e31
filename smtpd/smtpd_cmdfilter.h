/* SPDX-License-Identifier: MIT */
/* smtpd_cmdfilter - commands that a table replaces (smtpd_command_filter). */
#ifndef SMTPD_CMDFILTER_H
#define SMTPD_CMDFILTER_H

#include "smtpd/smtpd_state.h"

void smtpd_cmdfilter_open(void);

/*
 * The command to run in place of *line, which then points into *out. false:
 * the table failed, the client was told, and the session ends.
 */
bool smtpd_cmdfilter_run(struct smtpd *s, struct span *line, struct buf *out);

#endif
