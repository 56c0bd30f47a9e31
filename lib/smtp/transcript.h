/* SPDX-License-Identifier: MIT */
/*
 * transcript - what was said in an SMTP session, for a postmaster notice
 * (notify_classes).
 *
 * Kept as text, at most TRANSCRIPT_MAX bytes of it; lines that come later are
 * only counted. What was sent as a password does not belong in here: the
 * caller leaves it out.
 */
#ifndef LIB_SMTP_TRANSCRIPT_H
#define LIB_SMTP_TRANSCRIPT_H

#include <stdbool.h>

#include "lib/base/buf.h"

enum { TRANSCRIPT_MAX = 64 * 1024 };

struct transcript {
	struct buf text; /* lines with their LF, " In:  ..." */
	size_t lines;    /* also those that are not kept */
	size_t kept;
};

/* Zeroed is empty. */
void transcript_free(struct transcript *t);
/* A line without its end; bytes that cannot be shown become '?'. */
void transcript_in(struct transcript *t, struct span line);
/* A reply; CR LF in it begins a new line. */
void transcript_out(struct transcript *t, struct span reply);
/* Append it, folded at white space where a line has more than 79 columns. */
void transcript_render(const struct transcript *t, struct buf *out);

#endif
