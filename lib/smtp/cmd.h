/* SPDX-License-Identifier: MIT */
/*
 * cmd - SMTP commands and ESMTP parameters (RFC 5321 section 4.1), xtext
 * (RFC 3461 section 4).
 */
#ifndef LIB_SMTP_CMD_H
#define LIB_SMTP_CMD_H

#include <stdbool.h>

#include "lib/base/buf.h"

enum { CMD_VERB_MAX = 20 };

/* Split a line into the command word and the rest, both trimmed. */
void cmd_split(struct span line, struct span *verb, struct span *arg);

/*
 * Cut the next "KEY=value" or "KEY" off *rest. false at the end.
 * value.data is NULL when there is no '='.
 */
bool cmd_next_param(struct span *rest, struct span *key, struct span *value);

/* NOTIFY=NEVER or a list of SUCCESS, FAILURE, DELAY: NOTIFY_* of
 * lib/ipc/proto.h; 0 when it is not well formed. */
int cmd_parse_notify(struct span value);
/* RET=FULL or HDRS; RET_NONE when it is neither. */
int cmd_parse_ret(struct span value);

/* Append the decoded (encoded) text. false: not xtext (out is unchanged). */
bool xtext_decode(struct span in, struct buf *out);
/* The same for what clients say in ENVID, ORCPT and AUTH, which is logged,
 * stored and sent on: false for control characters, too. */
bool xtext_decode_text(struct span in, struct buf *out);
void xtext_encode(struct span in, struct buf *out);
/* ORCPT=type;xtext: append "type;text". false: not well formed. */
bool cmd_parse_orcpt(struct span value, struct buf *out);
/* Is "type;text" (decoded) one that may go on: the type goes into commands as
 * it is. */
bool cmd_orcpt_is_valid(struct span orcpt);

#endif
