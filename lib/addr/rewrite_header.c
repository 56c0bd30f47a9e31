/* SPDX-License-Identifier: MIT */
#include "lib/addr/rewrite.h"

#include "lib/addr/addr.h"
#include "lib/addr/token.h"
#include "lib/conf/conf.h"

enum { FOLD_COLUMN = 70 };

/* Does a space belong between two tokens? */
static bool
space_between(const struct token *left, const struct token *right)
{
	if (left->kind == ',' || left->kind == TOKEN_GROUP)
		return true;
	if (right->kind == '<')
		return true;
	return left->kind >= TOKEN_ATOM && right->kind >= TOKEN_ATOM &&
	       right->kind != TOKEN_GROUP;
}

/* Length of out's last line. */
static size_t
column_of(const struct buf *out)
{
	long nl = span_rfind(buf_span(out), '\n');

	return out->len - (size_t)(nl + 1);
}

/* Write tokens v[from .. to - 1], up to and with a comma. */
static void
render_chunk(const struct tokens *t, size_t from, size_t to, struct buf *out)
{
	for (size_t i = from; i < to; i++) {
		if (i > from && space_between(&t->v[i - 1], &t->v[i]))
			buf_append_byte(out, ' ');
		if (t->v[i].kind == TOKEN_ADDRESS && t->v[i].len == 0)
			buf_append_cstr(out, "\"\"");
		else if (t->v[i].kind == TOKEN_ADDRESS)
			addr_quote(token_text(t, &t->v[i]), out);
		else
			token_render(t, &t->v[i], out);
	}
}

static void
render_body(const struct tokens *t, struct buf *out)
{
	struct buf chunk = BUF_INIT;
	size_t from = 0, to, column = column_of(out);

	for (; from < t->n; from = to) {
		for (to = from; to < t->n && t->v[to].kind != ',';)
			to++;
		buf_reset(&chunk);
		render_chunk(t, from, to, &chunk);
		if (from > 0 && column + 1 + chunk.len >= FOLD_COLUMN) {
			buf_append_cstr(out, "\n\t");
			column = 1;
		} else {
			buf_append_byte(out, ' ');
			column++;
		}
		buf_append_span(out, buf_span(&chunk));
		column += chunk.len;
		if (to < t->n) {
			buf_append_byte(out, ',');
			column++;
			to++;
		}
	}
	if (t->n && t->v[t->n - 1].kind == ',')
		buf_append_byte(out, ' ');
	buf_free(&chunk);
}

/* Call fn for one address; does the text differ from what was there? */
static bool
rewrite_token(struct tokens *t, struct token *tok,
	      void (*fn)(void *arg, struct buf *addr), void *arg, bool complete)
{
	struct buf addr = BUF_INIT, text = BUF_INIT;
	bool changed;

	buf_set(&addr, token_text(t, tok));
	fn(arg, &addr);
	changed = !span_equal(buf_span(&addr), token_text(t, tok));
	if (complete && !changed) {
		addr_quote(buf_span(&addr), &text);
		changed = !span_equal(
		    buf_span(&text),
		    span_make(t->text.data + tok->raw, tok->raw_len));
	}
	if (changed) {
		tok->at = t->text.len;
		tok->len = addr.len;
		buf_append_span(&t->text, buf_span(&addr));
	}
	buf_free(&addr);
	buf_free(&text);
	return changed;
}

static size_t
token_limit(void)
{
	return conf->header_address_token_limit > 0
		   ? (size_t)conf->header_address_token_limit
		   : 0;
}

static void
rewrite_body(struct span body, void (*fn)(void *arg, struct buf *addr),
	     void *arg, bool complete, struct buf *out)
{
	struct tokens t = TOKENS_INIT;
	bool changed = !tokens_split(&t, body, token_limit());

	tokens_parse(&t);
	for (size_t i = 0; i < t.n; i++)
		if (t.v[i].kind == TOKEN_ADDRESS &&
		    rewrite_token(&t, &t.v[i], fn, arg, complete))
			changed = true;
	if (changed)
		render_body(&t, out);
	else
		buf_append_span(out, body);
	tokens_free(&t);
}

void
rewrite_header_body(struct span body, void (*fn)(void *arg, struct buf *addr),
		    void *arg, struct buf *out)
{
	rewrite_body(body, fn, arg, false, out);
}

void
rewrite_header_complete(struct span body,
			void (*fn)(void *arg, struct buf *addr), void *arg,
			struct buf *out)
{
	rewrite_body(body, fn, arg, true, out);
}

void
rewrite_header_scan(struct span body, void (*fn)(void *arg, struct span addr),
		    void *arg)
{
	struct tokens t = TOKENS_INIT;

	tokens_split(&t, body, token_limit());
	tokens_parse(&t);
	for (size_t i = 0; i < t.n; i++)
		if (t.v[i].kind == TOKEN_ADDRESS)
			fn(arg, token_text(&t, &t.v[i]));
	tokens_free(&t);
}
