/* SPDX-License-Identifier: MIT */
/*
 * milter_edit - the headers of a message while milters change them.
 *
 * A list of whole headers in the order of the message, without their final
 * line ends. One of them, the Received: header that this mail system put in,
 * is "own": milters do not see it, and cannot change it, but it counts for
 * the places of inserted headers. All is in memory; milter_headers_fit() says
 * when it is too much.
 */
#ifndef LIB_MILTER_MILTER_EDIT_H
#define LIB_MILTER_MILTER_EDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
	MILTER_HEADERS_MAX = 100000,        /* their number */
	MILTER_HEADERS_BYTES_MAX = 8 << 20, /* in all */
};

struct milter_header {
	char *text;
	size_t len;
	bool own;
};

struct milter_headers {
	struct milter_header *v;
	size_t n, cap;
	size_t bytes;
};

#define MILTER_HEADERS_INIT   \
	{                     \
		NULL, 0, 0, 0 \
	}

void milter_headers_free(struct milter_headers *h);
/* Take a header section apart. own: the first Received: is our own. */
void milter_headers_parse(struct milter_headers *h, struct span section,
			  bool own);
/* The section, each header with its LF. */
void milter_headers_render(const struct milter_headers *h, struct buf *out);
/* Within both limits? */
bool milter_headers_fit(const struct milter_headers *h);

/*
 * A header from what a milter gave: CR before LF goes, a line after the first
 * that does not start with white space gets a tab, so that nothing but this
 * one header can come out of it. space: put one behind the colon.
 */
void milter_header_format(struct span name, struct span value, bool space,
			  struct buf *out);

void milter_headers_add(struct milter_headers *h, struct span header);
/* To place index of all headers; beyond the last: the end. */
void milter_headers_insert(struct milter_headers *h, uint32_t index,
			   struct span header);
/*
 * The index-th (from 1; 0 counts as 1) header of that name is replaced, or
 * goes when header is empty. When there is none, header comes to the end.
 */
void milter_headers_change(struct milter_headers *h, uint32_t index,
			   struct span name, struct span header);

#endif
