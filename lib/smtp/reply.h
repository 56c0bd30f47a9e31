/* SPDX-License-Identifier: MIT */
/*
 * reply - replies of an SMTP or LMTP server (RFC 5321 section 4.2).
 *
 * A reply is lines "250-text" ending with "250 text" (or "250"). What is kept
 * is bounded: REPLY_TEXT_MAX bytes of text, REPLY_LINES_MAX lines; what goes
 * beyond is read and dropped, and a server that goes on for more than
 * REPLY_READ_MAX bytes gives REPLY_BAD.
 */
#ifndef LIB_SMTP_REPLY_H
#define LIB_SMTP_REPLY_H

#include "lib/dsn/why.h"
#include "lib/smtp/stream.h"

enum {
	REPLY_LINE_MAX = 2048,
	REPLY_TEXT_MAX = 8192,
	REPLY_LINES_MAX = 256,
	REPLY_READ_MAX = 256 * 1024,
	REPLY_BAD_MAX = 512, /* so much is kept of what is no reply */
};

enum reply_status {
	REPLY_OK,
	REPLY_IO,  /* the stream's status says what */
	REPLY_BAD, /* not a reply: code is 0, text is the bad line */
};

struct reply {
	int code;               /* 200 to 599 */
	char dsn[DSN_CODE_MAX]; /* of the first line, its class fits the code;
				   "" when there is none */
	struct buf text;        /* whole lines with their codes, printable,
				   separated by LF */
	size_t lines;
	bool mixed; /* the lines' codes differ; code is the last */
};

#define REPLY_INIT                        \
	{                                 \
		0, "", BUF_INIT, 0, false \
	}

void reply_free(struct reply *r);
enum reply_status reply_read(struct stream *s, struct reply *r);
/* Line i (from 0) without code and separator; for EHLO: "SIZE 1000". */
struct span reply_line(const struct reply *r, size_t i);
/* The whole reply on one line, as logs and notices show it. */
void reply_text(const struct reply *r, struct buf *out);

#endif
