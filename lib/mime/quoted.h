/* SPDX-License-Identifier: MIT */
/*
 * quoted - the quoted-printable encoding of text (RFC 2045 section 6.7), with
 * the line breaks that Postfix makes: a line is broken softly before the
 * character that would stand behind column 73.
 *
 *	quoted_encode(&q, piece, line_end);
 *	while (quoted_next(&q, &text, &line_end))
 *		... a line, or with line_end false a piece of one ...
 *
 * Pieces may have any size: what becomes of white space is seen with the
 * next one.
 */
#ifndef LIB_MIME_QUOTED_H
#define LIB_MIME_QUOTED_H

#include <stdbool.h>

#include "lib/base/buf.h"

struct quoted {
	struct buf out; /* of the last piece; lines end with LF */
	size_t used;    /* of out, by quoted_next() */
	size_t column;
	char space; /* white space that may be the last of its line */
	bool has_space;
};

void quoted_free(struct quoted *q);
/* A new text. */
void quoted_start(struct quoted *q);
/* piece has no LF; line_end: one follows it. */
void quoted_encode(struct quoted *q, struct span piece, bool line_end);
bool quoted_next(struct quoted *q, struct span *text, bool *line_end);
/* The text ends within a line: white space that was held back follows. */
void quoted_finish(struct quoted *q);

#endif
