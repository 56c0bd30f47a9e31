/* SPDX-License-Identifier: MIT */
/*
 * mime - walk through the parts of a message body (RFC 2045, RFC 2046), for
 * the checks that need to know what is a header in there. It decodes nothing.
 *
 *	m = mime_new(&limits, &events, arg);
 *	mime_primary_header(m, header); ...	(each header of the message)
 *	mime_feed(m, piece); ...		(the body behind the empty line)
 *	mime_finish(m);
 *	mime_free(m);
 *
 * or, when the headers of the message are to be read too:
 *
 *	mime_start_message(m);
 *	mime_feed(m, piece); ...		(all of the message)
 *
 * The events give every byte of the body exactly once, in order. With
 * to_7bit they give the message as RFC 6152 section 3 wants it for a server
 * without 8BITMIME: parts that say that they are 8bit or binary become
 * quoted-printable, multipart and message become 7bit. The
 * Content-Transfer-Encoding of such a part is its last header then. Data that
 * say nothing stay as they are.
 */
#ifndef LIB_MIME_MIME_H
#define LIB_MIME_MIME_H

#include <stdbool.h>

#include "lib/base/buf.h"

struct mime_limits {
	size_t header_size;    /* header_size_limit */
	size_t boundary;       /* mime_boundary_length_limit */
	int nesting;           /* mime_nesting_limit */
	size_t line;           /* longer lines are given in pieces */
	bool ignore_structure; /* disable_mime_input_processing */
	/* what is an error; nothing of it with ignore_structure */
	bool strict_headers; /* 8-bit data in a header */
	bool strict_body;    /* the same in a body that does not say so */
	bool strict_domain;  /* message and multipart that say they are base64
				or the like (RFC 2045 section 6.4) */
	bool to_7bit;
};

enum mime_error {
	MIME_TOO_DEEP, /* what follows is given as body */
	MIME_8BIT_HEADER,
	MIME_8BIT_BODY,
	MIME_BAD_DOMAIN,
};

/* Whose header it is. */
enum mime_owner {
	MIME_PART,
	MIME_NESTED, /* an attached message */
	MIME_PRIMARY,
};

struct mime_events {
	/* No final LF. */
	void (*header)(void *arg, enum mime_owner owner, struct span header);
	/* Part of a body: a line without its LF, or a piece of a long one.
	 * offset is where it starts in its body segment. */
	void (*body)(void *arg, struct span text, bool line_end, size_t offset);
	/* text is the header or line at fault, or the encoding; each error is
	 * told once. */
	void (*error)(void *arg, enum mime_error error, struct span text);
};

struct mime;

struct mime *mime_new(const struct mime_limits *limits,
		      const struct mime_events *events, void *arg);
void mime_free(struct mime *m);
void mime_primary_header(struct mime *m, struct span header);
void mime_start_message(struct mime *m);
void mime_feed(struct mime *m, struct span piece);
void mime_finish(struct mime *m);

/*
 * Parse the body of a Content-Type header: type and subtype as written,
 * boundary is empty when there is none. false: not "type/subtype".
 */
bool mime_content_type(struct span body, struct span *type,
		       struct span *subtype, struct buf *boundary);

#endif
