/* SPDX-License-Identifier: MIT */
/*
 * The lines of an aliases(5) file: "name: value, value", where both sides are
 * made of RFC 822 tokens. What is stored is the tokens written again in one
 * way: ", " between values, one space between words, quotes where needed.
 */
#include <ctype.h>
#include <stdlib.h>

#include "conf/postmap.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/textmap.h"

enum token_kind {
	TOKEN_ATOM,
	TOKEN_QUOTED,
	TOKEN_COMMENT,
	TOKEN_LITERAL,
	TOKEN_SPECIAL, /* one of ,:;<>@. and what does not pair */
};

struct token {
	enum token_kind kind;
	char special;
	struct buf text; /* without quotes; a comment or literal with its
			    brackets */
};

static bool
is_special(char c)
{
	return c && strchr("()<>@,;:\".[]", c);
}

/* Text up to the closing quote, backslashes removed. */
static size_t
scan_quoted(struct span s, struct buf *text)
{
	size_t i;

	for (i = 1; i < s.len && s.data[i] != '"'; i++) {
		char c = s.data[i];

		if (c == '\\' && i + 1 < s.len)
			c = s.data[++i];
		buf_append_byte(text, isspace((unsigned char)c) ? ' ' : c);
	}
	return i < s.len ? i + 1 : i;
}

static size_t
scan_comment(struct span s, struct buf *text)
{
	size_t i = 0;
	int depth = 0;

	while (i < s.len) {
		char c = s.data[i++];

		buf_append_byte(text, c);
		if (c == '\\' && i < s.len)
			buf_append_byte(text, s.data[i++]);
		else if (c == '(')
			depth++;
		else if (c == ')' && --depth == 0)
			break;
	}
	return i;
}

static size_t
scan_literal(struct span s, struct buf *text)
{
	size_t i = 0;

	while (i < s.len && s.data[i] != ']')
		buf_append_byte(text, s.data[i++]);
	buf_append_byte(text, ']');
	return i < s.len ? i + 1 : i;
}

static size_t
scan_atom(struct span s, struct buf *text)
{
	size_t i = 0;

	while (i < s.len && !isspace((unsigned char)s.data[i]) &&
	       !is_special(s.data[i])) {
		if (s.data[i] == '\\' && i + 1 < s.len)
			i++;
		buf_append_byte(text, s.data[i++]);
	}
	return i;
}

static bool
next_token(struct span *rest, struct token *t)
{
	struct span s = *rest;
	size_t n;

	while (s.len > 0 && isspace((unsigned char)s.data[0]))
		s = span_from(s, 1);
	buf_reset(&t->text);
	if (s.len == 0)
		return false;
	t->special = s.data[0];
	switch (s.data[0]) {
	case '"':
		t->kind = TOKEN_QUOTED;
		n = scan_quoted(s, &t->text);
		break;
	case '(':
		t->kind = TOKEN_COMMENT;
		n = scan_comment(s, &t->text);
		break;
	case '[':
		t->kind = TOKEN_LITERAL;
		n = scan_literal(s, &t->text);
		break;
	default:
		t->kind = is_special(s.data[0]) ? TOKEN_SPECIAL : TOKEN_ATOM;
		n = t->kind == TOKEN_SPECIAL ? 1 : scan_atom(s, &t->text);
	}
	*rest = span_from(s, n);
	return true;
}

static bool
needs_quotes(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (isspace(c) || iscntrl(c) || is_special((char)c) ||
		    c == '\\')
			return true;
	}
	return s.len == 0;
}

static void
append_quoted(struct span s, struct buf *out)
{
	buf_append_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '"' || s.data[i] == '\\')
			buf_append_byte(out, '\\');
		buf_append_byte(out, s.data[i]);
	}
	buf_append_byte(out, '"');
}

/* Internal form: words as they are. External: as they must be written. */
static void
append_token(const struct token *t, bool external, struct buf *out)
{
	struct span text = buf_span(&t->text);

	if (t->kind == TOKEN_SPECIAL)
		buf_append_byte(out, t->special);
	else if (external && (t->kind == TOKEN_QUOTED ||
			      (t->kind == TOKEN_ATOM && needs_quotes(text))))
		append_quoted(text, out);
	else
		buf_append_span(out, text);
}

static bool
is_word(const struct token *t)
{
	return t->kind != TOKEN_SPECIAL;
}

/* Append the tokens of text, spaced. */
static void
rewrite_tokens(struct span text, bool external, struct buf *out)
{
	struct token t = {.text = BUF_INIT};
	bool after_word = false;

	while (next_token(&text, &t)) {
		bool word = is_word(&t);

		if (after_word && (word || (t.special == '<')))
			buf_append_byte(out, ' ');
		append_token(&t, external, out);
		if (!word && t.special == ',')
			buf_append_byte(out, ' ');
		after_word = word;
	}
	buf_free(&t.text);
}

/* Where the name ends: the first ':' that is a token. *bad: something that
 * cannot be in a name. Returns -1 when there is no ':'. */
static long
find_colon(struct span line, bool *bad, bool *remote)
{
	struct span rest = line;
	struct token t = {.text = BUF_INIT};
	long at = -1;

	*bad = *remote = false;
	while (next_token(&rest, &t)) {
		if (t.kind != TOKEN_SPECIAL)
			continue;
		if (t.special == ':') {
			at = (long)(line.len - rest.len) - 1;
			break;
		}
		*bad |= t.special == ',';
		*remote |= t.special == '@';
	}
	buf_free(&t.text);
	return at;
}

bool
postmap_alias_entry(const struct textmap *tm, struct span line, struct buf *key,
		    struct buf *value)
{
	bool bad, remote;
	long colon = find_colon(line, &bad, &remote);

	if (colon >= 0 && !bad) {
		rewrite_tokens(span_make(line.data, (size_t)colon), false, key);
		rewrite_tokens(span_from(line, (size_t)colon + 1), true, value);
	}
	if (key->len == 0 || value->len == 0) {
		log_warn("%s, line %d: need name:value pair", tm->name,
			 tm->number);
		return false;
	}
	if (remote) {
		log_warn("%s, line %d: name must be local", tm->name,
			 tm->number);
		return false;
	}
	return true;
}
