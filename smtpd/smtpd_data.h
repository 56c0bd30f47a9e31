/* SPDX-License-Identifier: MIT */
/* smtpd_data - from the first accepted recipient to the end of the content. */
#ifndef SMTPD_DATA_H
#define SMTPD_DATA_H

#include "smtpd/smtpd_state.h"

/* Give the message its queue id, if it has none yet, and log the client.
 * false: why is the reply. */
bool smtpd_data_open(struct smtpd *s, struct why *why);

/*
 * The content, of DATA and of BDAT alike, in this order: is there a
 * recipient, may it come (each false: the reply is given); begin, pieces with
 * LF line ends, end. The end replies, and the transaction is over, whatever
 * came of it. begin is false when there is nowhere to put the content: the
 * reply is given.
 */
bool smtpd_content_has_rcpt(struct smtpd *s);
bool smtpd_content_permitted(struct smtpd *s);
bool smtpd_content_begin(struct smtpd *s);
void smtpd_content_piece(struct smtpd *s, struct span piece);
bool smtpd_content_end(struct smtpd *s);

/* Is the message from a client whose incomplete headers get this host's
 * domain (local_header_rewrite_clients), or said to be by XFORWARD? */
bool smtpd_data_is_local(struct smtpd *s);

/* Open smtpd_forbid_bare_newline_exclusions, local_header_rewrite_clients. */
void smtpd_data_open_tables(void);
/* smtpd_forbid_bare_newline as it applies to this client. */
enum bare_policy smtpd_bare_policy(struct smtpd *s);

#endif
