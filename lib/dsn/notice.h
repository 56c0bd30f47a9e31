/* SPDX-License-Identifier: MIT */
/*
 * notice - the text of a delivery status notice (RFC 3461, 3464, 6522; RFC
 * 6533 for SMTPUTF8), without any input or output.
 *
 * A notice is what notice_begin() appends, the original message or its header
 * (the caller copies it, ending in a newline), and what notice_end() appends.
 * Line ends are LF. Subjects and field layout are those that programs which
 * read Postfix's notices expect.
 */
#ifndef LIB_DSN_NOTICE_H
#define LIB_DSN_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/dsn/why.h"

enum notice_kind {
	NOTICE_FAILURE,
	NOTICE_DELAY,
	NOTICE_SUCCESS,
	NOTICE_POSTMASTER, /* for the local postmaster */
	NOTICE_REPORT,     /* what sendmail -bv or -v asked for */
};

/* Strings are borrowed, never NULL unless said. Addresses are in external
 * form (RFC 5321 quoting). */
struct notice_rcpt {
	const char *address;
	const char *orig_to;   /* as first received; "": same as address */
	const char *dsn_orcpt; /* "rfc822;...", decoded, or "" */
	const struct why *why;
};

struct notice {
	enum notice_kind kind;
	const char *queue_id;  /* of the message it is about */
	const char *sender;    /* of that message; the null sender as the mail
				  daemon's address */
	const char *to;        /* who gets the notice */
	const char *daemon;    /* MAILER-DAEMON@host, for From: */
	const char *hostname;  /* this one */
	const char *mail_name; /* "Postfix": in X- fields */
	const char *envid;     /* "" */
	int64_t now;           /* microseconds since the epoch */
	int64_t arrival;       /* the same, of the message */
	int64_t retry_until;   /* delays: when we give up; 0: unknown */
	int64_t delayed;       /* delays: microseconds since arrival */
	bool smtputf8;
	bool seven_bit;     /* the message is */
	bool headers_only;  /* only its header follows */
	bool probe;         /* reports: nothing was delivered (-bv) */
	bool obsolete_from; /* header_from_format = obsolete */
	const struct notice_rcpt *rcpts;
	size_t n_rcpts;
};

void notice_begin(const struct notice *n, struct buf *out);
void notice_end(const struct notice *n, struct buf *out);

/*
 * Append prefix and text, folded at white space to lines of at most width
 * bytes where that is possible; further lines start with indent spaces. Ends
 * with a newline.
 */
void notice_fold(struct span prefix, struct span text, size_t width,
		 size_t indent, struct buf *out);

/* "Sun, 22 Nov 2026 11:50:35 +0000 (UTC)", RFC 5322 section 3.3, local. */
void notice_date(int64_t usec, struct buf *out);

#endif
