/* SPDX-License-Identifier: MIT */
#include "lib/addr/token.h"

#include <stdlib.h>

#include "lib/base/mem.h"

void
tokens_free(struct tokens *t)
{
	buf_free(&t->text);
	free(t->v);
	*t = (struct tokens)TOKENS_INIT;
}

static struct token *
add_token(struct tokens *t, int kind)
{
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 32;
		t->v = mem_realloc(t->v, t->cap, sizeof(*t->v));
	}
	t->v[t->n] = (struct token){.kind = kind, .at = t->text.len};
	return &t->v[t->n++];
}

struct span
token_text(const struct tokens *t, const struct token *tok)
{
	return span_make(buf_cstr(&t->text) + tok->at, tok->len);
}

bool
token_is_word(const struct token *tok)
{
	return tok->kind == TOKEN_ATOM || tok->kind == TOKEN_QSTRING ||
	       tok->kind == TOKEN_LITERAL;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool
is_special(char c)
{
	return c && strchr("()<>@,;:\".[]", c);
}

/* Text of an atom from s[i]; returns the index behind it. */
static size_t
read_atom(struct tokens *t, struct span s, size_t i)
{
	for (; i < s.len; i++) {
		char c = s.data[i];

		if (is_white(c) || is_special(c))
			break;
		if (c == '\\' && i + 1 < s.len)
			c = s.data[++i];
		buf_append_byte(&t->text, c == '\n' ? ' ' : c);
	}
	return i;
}

/* s[i] is behind the opening quote. */
static size_t
read_qstring(struct tokens *t, struct span s, size_t i)
{
	for (; i < s.len; i++) {
		char c = s.data[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && i + 1 < s.len)
			c = s.data[++i];
		buf_append_byte(&t->text, c == '\n' ? ' ' : c);
	}
	t->unclosed = true;
	return i;
}

/* s[i] is the opening bracket; comments nest. */
static size_t
read_bracketed(struct tokens *t, struct span s, size_t i, char open, char close)
{
	size_t depth = 0;

	for (; i < s.len; i++) {
		char c = s.data[i];

		buf_append_byte(&t->text, c == '\n' ? ' ' : c);
		if (c == '\\' && i + 1 < s.len) {
			c = s.data[++i];
			buf_append_byte(&t->text, c == '\n' ? ' ' : c);
		} else if (c == close && (open == '[' || --depth == 0)) {
			return i + 1;
		} else if (c == open && open == '(') {
			depth++;
		}
	}
	t->unclosed = true;
	return i;
}

bool
tokens_split(struct tokens *t, struct span s, size_t max)
{
	size_t i = 0;

	t->n = 0;
	t->unclosed = false;
	buf_reset(&t->text);
	while (i < s.len) {
		char c = s.data[i];

		if (is_white(c)) {
			i++;
			continue;
		}
		if (t->n >= max)
			return false;
		if (c == '"') {
			add_token(t, TOKEN_QSTRING);
			i = read_qstring(t, s, i + 1);
		} else if (c == '(') {
			add_token(t, TOKEN_COMMENT);
			i = read_bracketed(t, s, i, '(', ')');
		} else if (c == '[') {
			add_token(t, TOKEN_LITERAL);
			i = read_bracketed(t, s, i, '[', ']');
		} else if (is_special(c)) {
			add_token(t, (unsigned char)c);
			buf_append_byte(&t->text, c);
			i++;
		} else {
			add_token(t, TOKEN_ATOM);
			i = read_atom(t, s, i);
		}
		t->v[t->n - 1].len = t->text.len - t->v[t->n - 1].at;
	}
	return true;
}

void
token_render(const struct tokens *t, const struct token *tok, struct buf *out)
{
	struct span s = token_text(t, tok);

	if (tok->kind == TOKEN_GROUP) {
		buf_append_byte(out, ':');
		return;
	}
	if (tok->kind != TOKEN_QSTRING) {
		buf_append_span(out, s);
		return;
	}
	buf_append_byte(out, '"');
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '"' || s.data[i] == '\\')
			buf_append_byte(out, '\\');
		buf_append_byte(out, s.data[i]);
	}
	buf_append_byte(out, '"');
}

/* ---- parsing, from the right: only the end of an item says what it is ---- */

struct parser {
	const struct tokens *in;
	struct tokens out; /* reversed; its text is all of in's and more */
	size_t left;       /* tokens not looked at: in->v[0 .. left - 1] */
	size_t first_open; /* index of the first '<', or in->n */
	bool group;        /* a ';' was seen, its ':' not yet */
};

static void
emit(struct parser *p, size_t i)
{
	*add_token(&p->out, 0) = p->in->v[i];
}

static void
emit_special(struct parser *p, int kind)
{
	add_token(&p->out, kind)->len = 1;
	buf_append_byte(&p->out.text, (char)(kind < 256 ? kind : ':'));
}

/* in->v[from .. to - 1] are one address; comments follow it. */
static void
emit_address(struct parser *p, size_t from, size_t to)
{
	struct token tok = {.kind = TOKEN_ADDRESS};
	struct buf *text = &p->out.text;
	struct buf part = BUF_INIT;

	for (size_t i = to; i-- > from;)
		if (p->in->v[i].kind == TOKEN_COMMENT)
			emit(p, i);
	tok.raw = text->len;
	for (size_t i = from; i < to; i++)
		if (p->in->v[i].kind != TOKEN_COMMENT)
			token_render(p->in, &p->in->v[i], text);
	tok.raw_len = text->len - tok.raw;
	tok.at = text->len;
	for (size_t i = from; i < to; i++) {
		if (p->in->v[i].kind == TOKEN_COMMENT)
			continue;
		if (p->in->v[i].kind == '<' && i > from)
			buf_append_byte(text, ' ');
		buf_set(&part, token_text(p->in, &p->in->v[i]));
		buf_append_span(text, buf_span(&part));
	}
	tok.len = text->len - tok.at;
	*add_token(&p->out, 0) = tok;
	buf_free(&part);
}

static int
left_kind(const struct parser *p)
{
	return p->left ? p->in->v[p->left - 1].kind : ',';
}

/* "...<address>" with its phrase; the '>' is the last token. */
static void
parse_bracketed(struct parser *p)
{
	size_t close = p->left - 1, open = close;
	bool empty = true;

	emit(p, close);
	if (close < p->first_open) {
		p->left = close;
		return;
	}
	while (p->in->v[open - 1].kind != '<')
		if (p->in->v[--open].kind != TOKEN_COMMENT)
			empty = false;
	if (!empty)
		emit_address(p, open, close);
	emit(p, open - 1);
	p->left = open - 1;
	while (left_kind(p) != ',' && left_kind(p) != ';' &&
	       left_kind(p) != '>' && !(left_kind(p) == ':' && p->group))
		emit(p, --p->left);
}

static void
parse_plain(struct parser *p)
{
	size_t to, i;
	bool word = false, any = false;

	while (p->left && left_kind(p) == TOKEN_COMMENT)
		emit(p, --p->left);
	to = i = p->left;
	for (; i > 0; i--) {
		const struct token *t = &p->in->v[i - 1];

		if (t->kind == TOKEN_COMMENT)
			continue;
		if (t->kind == ',' || t->kind == ';' || t->kind == '>' ||
		    (t->kind == ':' && p->group) || (word && token_is_word(t)))
			break;
		word = token_is_word(t);
		any = true;
	}
	p->left = i;
	if (!any)
		return;
	emit_address(p, i, to);
	if (left_kind(p) != ',' && !(left_kind(p) == ':' && p->group))
		emit_special(p, ',');
}

static void
parse_group_name(struct parser *p)
{
	emit_special(p, TOKEN_GROUP);
	p->left--;
	p->group = false;
	while (left_kind(p) != ',')
		emit(p, --p->left);
}

void
tokens_parse(struct tokens *t)
{
	struct parser p = {.in = t, .out = TOKENS_INIT, .left = t->n};

	while (p.first_open < t->n && t->v[p.first_open].kind != '<')
		p.first_open++;
	/* Offsets of tokens that are kept stay valid. */
	buf_set(&p.out.text, buf_span(&t->text));
	while (p.left > 0) {
		int kind = left_kind(&p);

		if (kind == '>') {
			parse_bracketed(&p);
		} else if (kind == ',' || kind == ';') {
			emit(&p, --p.left);
			if (kind == ';')
				p.group = true;
		} else if (kind == ':' && p.group) {
			parse_group_name(&p);
		} else {
			parse_plain(&p);
		}
	}
	for (size_t i = 0; i < p.out.n / 2; i++) {
		struct token tmp = p.out.v[i];

		p.out.v[i] = p.out.v[p.out.n - 1 - i];
		p.out.v[p.out.n - 1 - i] = tmp;
	}
	p.out.unclosed = t->unclosed;
	tokens_free(t);
	*t = p.out;
}
