/* SPDX-License-Identifier: MIT */
/* smtpd_data - from the first accepted recipient to the end of the content. */
#ifndef SMTPD_DATA_H
#define SMTPD_DATA_H

#include "smtpd/smtpd_state.h"

/* Give the message its queue id, if it has none yet, and log the client.
 * false: why is the reply. */
bool smtpd_data_open(struct smtpd *s, struct why *why);

/* Open smtpd_forbid_bare_newline_exclusions, local_header_rewrite_clients. */
void smtpd_data_open_tables(void);
/* smtpd_forbid_bare_newline as it applies to this client. */
enum bare_policy smtpd_bare_policy(struct smtpd *s);

#endif
