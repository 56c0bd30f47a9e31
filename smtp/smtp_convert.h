/* SPDX-License-Identifier: MIT */
/*
 * smtp_convert - the message as a server without 8BITMIME can take it (RFC
 * 6152 section 3), and what smtp_checks.h makes of it.
 */
#ifndef SMTP_SMTP_CONVERT_H
#define SMTP_SMTP_CONVERT_H

#include "lib/service/agent.h"
#include "smtp/smtp_session.h"

/* Must this message be converted for this server? Its size on the wire is not
 * known then. */
bool smtp_convert_wanted(const struct smtp_session *s,
			 const struct agent_request *req);

struct smtp_convert;

/* What comes out goes to c; to_7bit: smtp_convert_wanted(). queue_id is for
 * the log, and borrowed until the end. */
struct smtp_convert *smtp_convert_begin(struct stream_content *c,
					const struct smtp_session *s,
					const char *queue_id, bool to_7bit);
/* Content in pieces of any size. false: it cannot be done, why is set. */
bool smtp_convert_write(struct smtp_convert *v, struct span piece,
			struct why *why);
/* The end; frees v, which becomes NULL. With give_up nothing more comes out. */
bool smtp_convert_end(struct smtp_convert **v, bool give_up, struct why *why);

#endif
