/* SPDX-License-Identifier: MIT */
/*
 * postscreen_line - the command lines of the built-in engine: one line out of
 * what has arrived, and the parts of it.
 */
#ifndef SMTPD_POSTSCREEN_LINE_H
#define SMTPD_POSTSCREEN_LINE_H

#include <stdbool.h>

#include "lib/base/buf.h"

enum screen_line {
	SCREEN_LINE_MORE, /* not complete yet */
	SCREEN_LINE_COMPLETE,
	SCREEN_LINE_TOO_LONG, /* complete or not, it is over the limit */
};

/*
 * The first line of in: without its line end and without what is behind a NUL
 * byte, as C programs see it. used: bytes of in that belong to it. bare: it
 * ends with LF alone.
 */
enum screen_line screen_line_cut(struct span in, size_t max, struct span *line,
				 size_t *used, bool *bare);

/* The command word, and what is behind it; only spaces and tabs separate. */
void screen_line_split(struct span line, struct span *verb, struct span *arg);

/*
 * The argument of MAIL ("FROM") and RCPT ("TO"), behind the command: the
 * address in internal form. false: that word and a colon are missing. An
 * address is never refused here, however it looks: it is for the log.
 */
bool screen_line_address(struct span arg, const char *word, struct buf *out);

/* Has it the form of a message header, "name:" or "name :"? */
bool screen_line_is_header(struct span line);

#endif
