/* SPDX-License-Identifier: MIT */
/*
 * rewrite - complete an address (ADDRESS_REWRITING_README): @$myorigin,
 * .$mydomain, %-hack, bang path, source route, trailing dot.
 */
#ifndef LIB_ADDR_REWRITE_H
#define LIB_ADDR_REWRITE_H

#include "lib/base/buf.h"

enum rewrite_context {
	REWRITE_LOCAL,	 /* $myorigin and $mydomain are appended */
	REWRITE_REMOTE,	 /* $remote_header_rewrite_domain, when not empty */
	REWRITE_NONE,	 /* headers of remote mail when that is empty */
};

/* In place, internal form. "" stays "". */
void rewrite_address(enum rewrite_context ctx, struct buf *addr);

/*
 * Rewrite each address of an address header's body (To:, From:, ...) by fn,
 * keep comments, display names, groups and folding; the result is appended.
 * fn gets the internal form and changes it in place. Bytes of an unparsable
 * body are copied unchanged. Lines of the result are folded at 78 columns
 * only where the original was folded or an address grew.
 */
void rewrite_header_body(struct span body,
			 void (*fn)(void *arg, struct buf *addr), void *arg,
			 struct buf *out);
/* Call fn for each address in an address header's body, internal form. */
void rewrite_header_scan(struct span body,
			 void (*fn)(void *arg, struct span addr), void *arg);

#endif
