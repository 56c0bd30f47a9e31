/* SPDX-License-Identifier: MIT */
/*
 * header - message headers (RFC 5322 section 2.2).
 *
 * The reader takes content in pieces of any size and gives whole logical
 * headers: name, colon, body with its folding, no final line end. What is
 * beyond the limit of one header is dropped. White space between name and
 * colon is removed. The header section ends at an empty line, or before a
 * line that is no header.
 */
#ifndef LIB_MIME_HEADER_H
#define LIB_MIME_HEADER_H

#include <stdbool.h>

#include "lib/base/buf.h"

/* ---- headers that mean something to a mail system ---- */

enum header_id {
	HEADER_OTHER,
	HEADER_APPARENTLY_TO,
	HEADER_BCC,
	HEADER_CC,
	HEADER_CONTENT_LENGTH,
	HEADER_CONTENT_TRANSFER_ENCODING,
	HEADER_CONTENT_TYPE,
	HEADER_DATE,
	HEADER_DELIVERED_TO,
	HEADER_DISPOSITION_NOTIFICATION_TO,
	HEADER_ERRORS_TO,
	HEADER_FROM,
	HEADER_MAIL_FOLLOWUP_TO,
	HEADER_MESSAGE_ID,
	HEADER_MIME,
	HEADER_RECEIVED,
	HEADER_REPLY_TO,
	HEADER_RESENT_BCC,
	HEADER_RESENT_CC,
	HEADER_RESENT_DATE,
	HEADER_RESENT_FROM,
	HEADER_RESENT_MESSAGE_ID,
	HEADER_RESENT_REPLY_TO,
	HEADER_RESENT_SENDER,
	HEADER_RESENT_TO,
	HEADER_RETURN_PATH,
	HEADER_RETURN_RECEIPT_TO,
	HEADER_SENDER,
	HEADER_SUBJECT,
	HEADER_TO,
	HEADER_ID_COUNT
};

enum {
	HEADER_ADDR_SENDER = 1 << 0,    /* carries sender addresses */
	HEADER_ADDR_RECIPIENT = 1 << 1, /* carries recipient addresses */
	HEADER_EXTRACT = 1 << 2,        /* sendmail -t takes recipients here */
	HEADER_RESENT = 1 << 3,
	HEADER_IS_MIME = 1 << 4, /* Content-*, MIME-Version */
};

struct header_def {
	const char *name;
	enum header_id id;
	unsigned flags;
};

/* Never NULL: unknown names share one entry with id HEADER_OTHER, unknown
 * Content-* names are HEADER_MIME. */
const struct header_def *header_find(struct span name);
/* Name and body (behind the colon) of a whole header. */
struct span header_name(struct span header);
struct span header_body(struct span header);
/* Could these bytes start a header line "name:"? */
bool header_is_valid(struct span line);

/* ---- the reader ---- */

struct header_reader {
	size_t limit;    /* bytes of one logical header */
	struct buf text; /* the header so far */
	int state;
	struct buf space; /* white space behind the name, not yet in text */
	bool ended;
};

struct header_events {
	void (*header)(void *arg, struct span header);
	/* The section is over: at an empty line (which is consumed), or at a
	 * line that is no header; rest is what was read of it. */
	void (*end)(void *arg, bool empty_line, struct span rest);
};

void header_reader_init(struct header_reader *r, size_t limit);
void header_reader_free(struct header_reader *r);
/*
 * Returns how many bytes of piece belong to the section (and to the line
 * reported by end()); the others are the body. After end(), 0.
 */
size_t header_reader_feed(struct header_reader *r, struct span piece,
			  const struct header_events *ev, void *arg);
/* The content ends here: gives the last header, if any, and end() unless it
 * was called. */
void header_reader_finish(struct header_reader *r,
			  const struct header_events *ev, void *arg);

#endif
