/* SPDX-License-Identifier: MIT */
/*
 * policy - the access policy protocol (SMTPD_POLICY_README): a request is
 * lines name=value and an empty line, the reply has one attribute "action"
 * and ends the same way. Lines end with LF alone.
 */
#ifndef LIB_SMTP_POLICY_H
#define LIB_SMTP_POLICY_H

#include <stdint.h>

#include "lib/base/buf.h"

enum { POLICY_REPLY_MAX = 64 * 1024 }; /* bytes of a reply with its end */

/* Append an attribute. A line end or NUL in the value becomes '?', so that
 * nobody can add attributes. */
void policy_put(struct buf *out, const char *name, struct span value);
void policy_put_num(struct buf *out, const char *name, int64_t value);
/* The empty line. */
void policy_put_end(struct buf *out);

enum policy_status {
	POLICY_MORE, /* go on reading */
	POLICY_DONE,
	POLICY_NO_ACTION, /* complete, or too long, and without action */
	POLICY_NO_VALUE,  /* the same: action, but without "=" */
};

/*
 * What data, all that came so far, says. POLICY_DONE: *action is the value of
 * the first attribute of that name and *used the length of the reply.
 */
enum policy_status policy_parse(struct span data, struct span *action,
				size_t *used);
/* Where in an attribute data breaks off: "name" or "value"; NULL: nothing
 * came. */
const char *policy_part(struct span data);

#endif
