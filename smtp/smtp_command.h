/* SPDX-License-Identifier: MIT */
/* smtp_command - command lines, without CR LF, for what a server announced. */
#ifndef SMTP_SMTP_COMMAND_H
#define SMTP_SMTP_COMMAND_H

#include "lib/service/agent.h"
#include "smtp/smtp_session.h"

void smtp_command_mail(const struct smtp_session *s,
		       const struct agent_request *req, struct buf *line);
void smtp_command_rcpt(const struct smtp_session *s,
		       const struct agent_rcpt *rcpt, struct buf *line);

/* XFORWARD (XFORWARD_README): how many commands, the command number i, and a
 * look at the reply. */
int smtp_command_xforward_count(const struct smtp_session *s,
				const struct agent_request *req);
void smtp_command_xforward(const struct agent_request *req, int i,
			   struct buf *line);
void smtp_command_xforward_reply(struct smtp_session *s);

#endif
