/* SPDX-License-Identifier: MIT */
/*
 * data - the content of DATA (RFC 5321 section 4.5.2) and BDAT, the one place
 * with rules for bare CR and bare LF.
 *
 * Only CR LF . CR LF ends a message (the CR LF of the DATA command line counts
 * as the first). The leading dot of a line is removed, CR LF becomes LF, and
 * the result is handed over in pieces as large as the stream's buffer,
 * converted in place. A piece may end anywhere, also within a line. The
 * content always ends with a line end, unless it is empty.
 *
 * A bare LF (without CR in front) is, by smtpd_forbid_bare_newline:
 *
 *   BARE_ALLOW	     no: a line end like any other, also around the final dot
 *   BARE_NORMALIZE  yes, normalize: a line end, but never part of the end of
 *		     data; a lone dot next to it is a dot-stuffed empty line
 *   BARE_REJECT     reject: the content is read to its end, to be refused
 *   BARE_NOTE	     note: as normalize; the caller logs
 *
 * A bare CR (without LF behind it) is content and never part of a line end, so
 * that CR . CR and the like end nothing. It becomes a space unless keep_cr is
 * set (cleanup_replace_stray_cr_lf = no).
 */
#ifndef LIB_SMTP_DATA_H
#define LIB_SMTP_DATA_H

#include <stdbool.h>

#include "lib/smtp/stream.h"

enum bare_policy {
	BARE_ALLOW,
	BARE_NORMALIZE,
	BARE_REJECT,
	BARE_NOTE,
};

/* no, yes, normalize, reject, note in any case; false: none of them. */
bool bare_policy_parse(const char *text, enum bare_policy *policy);

struct data_reader {
	enum bare_policy policy;
	bool chunked;    /* content of BDAT: dots mean nothing, no end */
	bool keep_cr;    /* may be set after data_init() */
	bool after_crlf; /* the line before ended with CR LF; clear it after
			    data_init() when the DATA line had a bare LF */
	bool bare_lf;    /* a bare LF was seen */
	bool bare_cr;    /* a bare CR was seen */
	bool done;       /* the end of data was reached */
	int state;       /* private */
};

void data_init(struct data_reader *d, enum bare_policy policy);
/*
 * The same for the content of BDAT (RFC 3030), whose end only the caller
 * knows: CR LF becomes LF, a bare LF is a line end under every policy (the
 * caller looks at bare_lf), a bare CR is as above. done is never set.
 */
void data_init_chunked(struct data_reader *d, enum bare_policy policy);
/* Behind the last chunk: what is still held back (a CR), or nothing. */
struct span data_held(struct data_reader *d);

/*
 * Convert len bytes in place. The content is held (a constant: a CR with
 * which an earlier piece ended), then out, which lies in p; both may be empty.
 * Returns how many bytes of p were used: less than len only when done was
 * set.
 */
size_t data_convert(struct data_reader *d, char *p, size_t len,
		    struct span *held, struct span *out);

/*
 * Read a whole content from s and hand it to fn. STREAM_OK at the end of data
 * (d->bare_lf tells what was seen), or the stream's status.
 */
enum stream_status data_read(struct data_reader *d, struct stream *s,
			     void (*fn)(void *arg, struct span piece),
			     void *arg);

/* For mail from this host, whose lines end with LF: bare CR becomes a space,
 * in place. */
void data_replace_cr(char *p, size_t len);

#endif
