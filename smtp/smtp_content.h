/* SPDX-License-Identifier: MIT */
/* smtp_content - the message on the wire, up to and with the final dot. */
#ifndef SMTP_SMTP_CONTENT_H
#define SMTP_SMTP_CONTENT_H

#include "lib/service/agent.h"
#include "smtp/smtp_mail.h"
#include "smtp/smtp_session.h"

/*
 * Send the headers that opt->flags ask for and the content, converted when
 * the server needs that. Nothing is flushed at the end. false: the file cannot
 * be read (4.3.0) or not be converted (5.6.0); why says so, and nothing ended
 * the data. A problem of the connection is left in the stream's status.
 */
bool smtp_content_send(struct smtp_session *s, struct agent_request *req,
		       const struct smtp_mail_options *opt, struct why *why);

/* Has the message's header a byte that is not ASCII? */
bool smtp_content_header_is_8bit(const struct agent_request *req);

#endif
