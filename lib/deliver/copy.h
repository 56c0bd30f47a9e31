/* SPDX-License-Identifier: MIT */
/*
 * copy - the content of a message from the queue to where it is delivered.
 *
 * The queue stores LF line ends. What a destination wants different is a
 * flag: the filter works on pieces of any size, so that a message needs one
 * buffer, however long its lines are.
 */
#ifndef LIB_DELIVER_COPY_H
#define LIB_DELIVER_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
	COPY_QUOTE_FROM = 1 << 0, /* "From " at a line start: ">From " */
	COPY_QUOTE_DOT = 1 << 1,  /* "." at a line start: ".." */
	COPY_BLANK = 1 << 2,      /* an empty line behind the last one */
};

/* Where the content is. fd is borrowed; only pread() is used on it. */
struct copy_source {
	int fd;
	int64_t offset;
	int64_t length;
};

struct copy_filter {
	unsigned flags;
	const char *eol; /* what a LF becomes; NULL: LF */
	unsigned match;  /* bytes of "From " seen at the line start */
	bool in_line;    /* something of this line was written */
	bool any;
};

/* Append the filtered form of piece to out. */
void copy_filter_run(struct copy_filter *f, struct span piece, struct buf *out);
/* The end of the content: the last line gets its line end, then COPY_BLANK. */
void copy_filter_end(struct copy_filter *f, struct buf *out);

enum copy_status {
	COPY_OK,
	COPY_READ_ERROR,  /* errno; 0: the file is shorter than it should be */
	COPY_WRITE_ERROR, /* errno */
};

/*
 * Write head (headers of ours, as they are) and then the content, filtered,
 * to fd. With few system calls: a small message is one write.
 */
enum copy_status copy_message(const struct copy_source *src, struct span head,
			      unsigned flags, const char *eol, int fd,
			      int64_t *written);

/*
 * "From sender  Sun Nov 22 10:54:56 2026\n" (mbox), local time. The null
 * sender is MAILER-DAEMON, unless null_sender says something else.
 */
void copy_from_line(const char *sender, const char *null_sender,
		    int64_t now_usec, struct buf *out);
/* "Name: <address>\n" or "Name: address\n", external form. */
void copy_header(const char *name, const char *address, bool brackets,
		 struct buf *out);

#endif
