/* SPDX-License-Identifier: MIT */
/*
 * token - the words of an address list (RFC 5322 section 3.2, 3.4).
 *
 * Tokens know where their text begins and ends in text; quoted strings have
 * lost their quotes and backslashes, comments keep them. White space is
 * dropped, a line end within a quoted string or comment is a space.
 */
#ifndef LIB_ADDR_TOKEN_H
#define LIB_ADDR_TOKEN_H

#include <stdbool.h>

#include "lib/base/buf.h"

/* Beside the special characters themselves. */
enum token_kind {
	TOKEN_ATOM = 256,
	TOKEN_QSTRING,
	TOKEN_COMMENT,
	TOKEN_LITERAL, /* [...] */
	TOKEN_GROUP,   /* the ':' behind a group's name */
	TOKEN_ADDRESS, /* parsed: text is the internal form */
};

struct token {
	int kind;
	size_t at, len;      /* text */
	size_t raw, raw_len; /* TOKEN_ADDRESS: as it was written, tidied */
};

struct tokens {
	struct buf text;
	struct token *v;
	size_t n, cap;
	bool unclosed; /* a quote, comment or literal has no end */
};

#define TOKENS_INIT                         \
	{                                   \
		BUF_INIT, NULL, 0, 0, false \
	}

void tokens_free(struct tokens *t);
/* Split s; what is beyond max tokens is dropped (false). */
bool tokens_split(struct tokens *t, struct span s, size_t max);
/*
 * Find the addresses in what tokens_split() made: "phrase <address>",
 * "address (comment)", "group: ...;". Missing commas are added; comments
 * within an address go behind it.
 */
void tokens_parse(struct tokens *t);
struct span token_text(const struct tokens *t, const struct token *tok);
/* As it would be written: quoted. */
void token_render(const struct tokens *t, const struct token *tok,
		  struct buf *out);
/* An atom, quoted string or literal: what an address is made of. */
bool token_is_word(const struct token *tok);

#endif
