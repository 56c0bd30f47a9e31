/* SPDX-License-Identifier: MIT */
/*
 * rewrite - complete an address (ADDRESS_REWRITING_README): @$myorigin,
 * .$mydomain, %-hack, bang path, source route, trailing dot.
 */
#ifndef LIB_ADDR_REWRITE_H
#define LIB_ADDR_REWRITE_H

#include "lib/base/buf.h"

enum rewrite_context {
	REWRITE_LOCAL,  /* $myorigin and $mydomain are appended */
	REWRITE_REMOTE, /* $remote_header_rewrite_domain, when not empty */
	REWRITE_NONE,   /* headers of remote mail when that is empty */
};

/* In place, internal form. "" stays "". */
void rewrite_address(enum rewrite_context ctx, struct buf *addr);

/*
 * Rewrite each address of an address header's body (To:, From:, ...: what
 * follows the colon, without the last line end) by fn; the result is appended
 * to out. fn gets the internal form and changes it in place.
 *
 * When no address changes, the bytes are copied as they are. Otherwise all of
 * the body is written anew as Postfix does: one space between words, missing
 * commas added, comments of an address behind it, lines folded at the comma
 * that would reach column 70 (out's last line counts: it holds "To:").
 *
 * At most $header_address_token_limit words are kept.
 */
void rewrite_header_body(struct span body,
			 void (*fn)(void *arg, struct buf *addr), void *arg,
			 struct buf *out);
/* The same, but an address that is not in standard form ("ab"@example.com)
 * counts as changed too. */
void rewrite_header_complete(struct span body,
			     void (*fn)(void *arg, struct buf *addr), void *arg,
			     struct buf *out);
/* Call fn for each address in an address header's body, internal form. */
void rewrite_header_scan(struct span body,
			 void (*fn)(void *arg, struct span addr), void *arg);

#endif
