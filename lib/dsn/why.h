/* SPDX-License-Identifier: MIT */
/*
 * why - the one object that says why something happened to mail.
 *
 * Whoever fails (or delivers) fills it in; whoever owns the message renders
 * it: as an SMTP reply, a log line, a notice (RFC 3464) or mailq text. The
 * first digit of the enhanced status code (RFC 3463) alone decides between
 * sent, deferred and bounced.
 *
 * Initialise with WHY_INIT, free with why_free(). why_set() replaces all.
 */
#ifndef LIB_DSN_WHY_H
#define LIB_DSN_WHY_H

#include <stdbool.h>

#include "lib/base/buf.h"

enum why_class {
	WHY_SENT = 2,
	WHY_DEFER = 4,
	WHY_BOUNCE = 5,
};

enum { DSN_CODE_MAX = 12 }; /* "5.999.999" and NUL */

struct why {
	char dsn[DSN_CODE_MAX];	/* "" when nothing was set */
	int code;		/* SMTP reply code, or 0: derived from dsn */
	struct buf text;	/* one line, without the codes */
	struct buf mta;		/* remote host, or empty */
	struct buf diagnostic;	/* what the remote said, or empty */
	const char *diag_type;	/* "smtp" or "x-unix"; NULL: "X-Postfix" */
};

#define WHY_INIT {"", 0, BUF_INIT, BUF_INIT, BUF_INIT, NULL}

void why_free(struct why *w);
void why_reset(struct why *w);
bool why_is_set(const struct why *w);

/* dsn must be well formed ("4.3.0"); the text is made printable, one line. */
void why_set(struct why *w, const char *dsn, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with the SMTP code to reply with (421, 450, 550, ...). */
void why_set_code(struct why *w, int code, const char *dsn, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));
/* Put text in front of the text that is there. */
void why_prepend(struct why *w, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void why_copy(struct why *to, const struct why *from);

enum why_class why_class(const struct why *w);
/* Replace the class digit, keep the detail: 5.1.1 becomes 4.1.1. */
void why_set_class(struct why *w, enum why_class c);

/*
 * Is s an enhanced status code (RFC 3463: class 2, 4 or 5, then two numbers
 * of one to three digits)? Returns its length, or 0. Trailing text is allowed.
 */
size_t dsn_code_length(struct span s);
/*
 * Split "5.7.1 text" into code and text; when text has no code, dsn gets
 * fallback. Returns the text.
 */
struct span dsn_split(struct span text, const char *fallback,
		      char dsn[DSN_CODE_MAX]);

/* SMTP reply line without line end: "550 5.1.1 <x>: text". */
void why_render_smtp(const struct why *w, struct buf *out);
/* "sent", "deferred", "bounced". */
const char *why_status_word(const struct why *w);

#endif
