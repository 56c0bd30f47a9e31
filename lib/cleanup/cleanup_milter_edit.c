/* SPDX-License-Identifier: MIT */
/* A message while it passes through milters: what they see, and what they
 * change. */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/addr/token.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/milter/milter_edit.h"
#include "lib/smtp/cmd.h"

enum {
	BLOCK = 32 * 1024,
	ADDED_RCPTS_MAX = 100000,
	TOKENS_MAX = 1000,
};

struct milter_pass {
	struct cleanup *c;
	struct milter_headers headers;
	struct spool *body; /* with LF line ends */
	int64_t body_start; /* in it */
	int64_t at;         /* what the milter has read */
	struct buf wire;    /* on its way to the milter, CR LF */
	size_t wire_used;
	struct spool *replaced; /* the body that it gives */
	bool cr;                /* a CR came, and may belong to a line end */
	char last;              /* byte of the new body */
	size_t own_at;          /* index of our own Received: */
	size_t added;           /* recipients */
};

static void
no_space(struct cleanup *c)
{
	cleanup_fail(c, 451, "4.3.0", "Error: queue file write error");
}

/* ---- in and out ---- */

struct milter_pass *
milter_pass_new(struct cleanup *c)
{
	struct milter_pass *p = mem_alloc(sizeof(*p));
	struct buf section = BUF_INIT;
	int64_t size = c->headers_size;

	p->c = c;
	if (size < 0)
		size = spool_size(c->spool);
	if (size > MILTER_HEADERS_BYTES_MAX)
		cleanup_fail(c, 552, "5.3.4", "Error: message headers too big");
	else if (!spool_read(c->spool, 0, (size_t)size, &section))
		no_space(c);
	milter_headers_parse(&p->headers, buf_span(&section), c->own_received);
	buf_free(&section);
	p->body = c->spool;
	/* The empty line in front of it. */
	p->body_start = size < spool_size(p->body) ? size + 1 : size;
	c->spool = NULL;
	return p;
}

void
milter_pass_free(struct milter_pass *p)
{
	milter_headers_free(&p->headers);
	spool_free(p->body);
	spool_free(p->replaced);
	buf_free(&p->wire);
	free(p);
}

/* ---- what a milter sees ---- */

static bool
give_header(void *arg, size_t i, struct span *header)
{
	const struct milter_pass *p = arg;
	const struct milter_headers *h = &p->headers;

	if (i >= p->own_at)
		i++;
	if (i >= h->n)
		return false;
	*header = span_make(h->v[i].text, h->v[i].len);
	return true;
}

/* Append the next block with CR LF line ends; the last line gets one. */
static bool
read_block(struct milter_pass *p)
{
	struct buf block = BUF_INIT;
	struct span rest;
	bool ok = spool_read(p->body, p->at, BLOCK, &block);

	p->at += (int64_t)block.len;
	for (rest = buf_span(&block); rest.len;) {
		long eol = span_find(rest, '\n');
		size_t n = eol >= 0 ? (size_t)eol : rest.len;

		buf_append(&p->wire, rest.data, n);
		rest = span_from(rest, n);
		if (eol >= 0 || p->at >= spool_size(p->body))
			buf_append(&p->wire, "\r\n", 2);
		rest = span_from(rest, eol >= 0);
	}
	buf_free(&block);
	return ok;
}

static bool
give_body(void *arg, size_t max, struct span *piece)
{
	struct milter_pass *p = arg;

	buf_consume(&p->wire, p->wire_used);
	while (p->wire.len < max && p->at < spool_size(p->body))
		if (!read_block(p)) {
			no_space(p->c);
			return false;
		}
	p->wire_used = p->wire.len < max ? p->wire.len : max;
	*piece = span_make(p->wire.data, p->wire_used);
	return true;
}

/* ---- headers ---- */

/* milter_header_checks may change it, or leave it out. false: not wanted. */
static bool
check_header(struct milter_pass *p, struct buf *header)
{
	struct buf replacement = BUF_INIT;
	enum check_result result =
	    cleanup_check_milter(p->c, buf_span(header), &replacement);

	if (result == CHECK_REPLACE)
		buf_set(header, buf_span(&replacement));
	buf_free(&replacement);
	return result != CHECK_DROP;
}

static void
change_headers(struct milter_pass *p, const struct milter_reply *r, bool space)
{
	struct milter_headers *h = &p->headers;
	struct buf header = BUF_INIT;

	if (r->type == MILTER_CHANGE_HEADER && r->value.len == 0) {
		milter_headers_change(h, r->index, r->name, span_make("", 0));
		return;
	}
	milter_header_format(r->name, r->value, space, &header);
	if (check_header(p, &header)) {
		if (r->type == MILTER_ADD_HEADER)
			milter_headers_add(h, buf_span(&header));
		else if (r->type == MILTER_INSERT_HEADER)
			milter_headers_insert(h, r->index, buf_span(&header));
		else
			milter_headers_change(h, r->index, r->name,
					      buf_span(&header));
	}
	buf_free(&header);
	if (!milter_headers_fit(h))
		cleanup_fail(p->c, 552, "5.3.4",
			     "Error: message headers too big");
}

/* ---- the body ---- */

static void
put_line_part(struct milter_pass *p, struct span text)
{
	if (text.len == 0)
		return;
	spool_write(p->replaced, text);
	p->last = text.data[text.len - 1];
}

/* CR LF becomes LF, also when two packets have one each. */
static void
replace_body(struct milter_pass *p, struct span piece)
{
	static const struct span cr = {"\r", 1};

	if (!p->replaced)
		p->replaced = spool_new();
	while (piece.len) {
		long at = span_find(piece, '\r');
		size_t n = at >= 0 ? (size_t)at : piece.len;

		if (p->cr && piece.data[0] != '\n')
			put_line_part(p, cr);
		p->cr = at >= 0;
		put_line_part(p, span_make(piece.data, n));
		piece = span_from(piece, n + (at >= 0));
	}
	if (conf->message_size_limit > 0 &&
	    spool_size(p->replaced) > conf->message_size_limit)
		cleanup_fail(p->c, 552, "5.3.4", "Error: message file too big");
}

/* The milter is done: its body is the body. */
static void
take_new_body(struct milter_pass *p)
{
	static const struct span cr = {"\r", 1}, lf = {"\n", 1};

	if (!p->replaced)
		return;
	if (p->cr)
		put_line_part(p, cr);
	if (spool_size(p->replaced) && p->last != '\n')
		put_line_part(p, lf);
	spool_free(p->body);
	p->body = p->replaced;
	p->body_start = 0;
	p->replaced = NULL;
	p->cr = false;
}

/* ---- the envelope ---- */

/* "<user@host>" or anything that is an address in a header. */
static void
parse_address(struct span text, struct buf *addr)
{
	struct tokens t = TOKENS_INIT;

	tokens_split(&t, text, TOKENS_MAX);
	tokens_parse(&t);
	for (size_t i = 0; i < t.n && addr->len == 0; i++)
		if (t.v[i].kind == TOKEN_ADDRESS)
			buf_set(addr, token_text(&t, &t.v[i]));
	tokens_free(&t);
}

static void
add_rcpt(struct milter_pass *p, const struct milter_reply *r)
{
	struct cleanup *c = p->c;
	struct span rest = r->value, key, value;
	struct buf addr = BUF_INIT, orcpt = BUF_INIT;
	int notify = 0;

	parse_address(r->name, &addr);
	while (cmd_next_param(&rest, &key, &value)) {
		if (value.data && span_equal_cstr_nocase(key, "NOTIFY") &&
		    cmd_parse_notify(value))
			notify = cmd_parse_notify(value);
		else if (!(value.data && span_equal_cstr_nocase(key, "ORCPT") &&
			   orcpt.len == 0 && cmd_parse_orcpt(value, &orcpt)))
			cleanup_warn(c,
				     "ignoring ESMTP argument from Milter or "
				     "header/body_checks: \"%.*s%s%.*s\"",
				     SPAN_ARG(key), value.data ? "=" : "",
				     SPAN_ARG(value));
	}
	if (addr.len == 0)
		cleanup_warn(c, "ignoring attempt from Milter to add null "
				"recipient");
	else if (p->added++ >= ADDED_RCPTS_MAX)
		cleanup_fail(c, 451, "4.5.3", "Error: too many recipients");
	else
		cleanup_add_rcpt(c, buf_span(&addr),
				 orcpt.len ? buf_cstr(&orcpt) : NULL, notify);
	buf_free(&addr);
	buf_free(&orcpt);
}

static void
delete_rcpt(struct milter_pass *p, const struct milter_reply *r)
{
	struct buf addr = BUF_INIT;

	parse_address(r->name, &addr);
	cleanup_delete_rcpt(p->c, buf_span(&addr));
	buf_free(&addr);
}

/* Parameters of MAIL that come with a new sender. */
static void
sender_args(struct cleanup *c, struct span rest)
{
	struct span key, value;

	while (cmd_next_param(&rest, &key, &value)) {
		struct buf envid = BUF_INIT;

		if (value.data && span_equal_cstr_nocase(key, "RET") &&
		    cmd_parse_ret(value) != RET_NONE) {
			c->env.dsn_ret = cmd_parse_ret(value);
		} else if (value.data && span_equal_cstr_nocase(key, "ENVID") &&
			   value.len <= 100 && xtext_decode(value, &envid) &&
			   strcspn(buf_cstr(&envid), "\r\n") == envid.len) {
			free(c->env.dsn_envid);
			c->env.dsn_envid = mem_strdup(buf_cstr(&envid));
		} else {
			log_info_as("cleanup",
				    "warning: Ignoring bad ESMTP parameter "
				    "\"%.*s%s%.*s\" in SMFI_CHGFROM request",
				    SPAN_ARG(key), value.data ? "=" : "",
				    SPAN_ARG(value));
		}
		buf_free(&envid);
	}
}

static void
change_sender(struct milter_pass *p, const struct milter_reply *r)
{
	struct cleanup *c = p->c;
	struct buf addr = BUF_INIT;

	parse_address(r->name, &addr);
	rewrite_address(REWRITE_LOCAL, &addr);
	if (addr.len > proto_attr(A_SENDER)->max) {
		cleanup_fail(c, 550, "5.1.7", "sender address is too long");
		buf_free(&addr);
		return;
	}
	free(c->env.sender);
	c->env.sender = mem_strdup(buf_cstr(&addr));
	buf_free(&addr);
	sender_args(c, r->value);
}

/* ---- what it asks for ---- */

static bool
change(void *arg, const struct milter_reply *r, bool space)
{
	struct milter_pass *p = arg;

	switch (r->type) {
	case MILTER_ADD_HEADER:
	case MILTER_INSERT_HEADER:
	case MILTER_CHANGE_HEADER:
		change_headers(p, r, space);
		break;
	case MILTER_REPLACE_BODY:
		replace_body(p, r->text);
		break;
	case MILTER_ADD_RCPT:
	case MILTER_ADD_RCPT_ARGS:
		add_rcpt(p, r);
		break;
	case MILTER_DELETE_RCPT:
		delete_rcpt(p, r);
		break;
	case MILTER_CHANGE_FROM:
		change_sender(p, r);
		break;
	default:
		break;
	}
	return !cleanup_is_over(p->c);
}

static void
hold(void *arg)
{
	struct cleanup *c = ((struct milter_pass *)arg)->c;

	cleanup_log_milter(c, "hold", "END-OF-MESSAGE", true,
			   "milter triggers HOLD action");
	c->env.flags |= ENVELOPE_HOLD;
}

void
milter_pass_begin(struct milter_pass *p, struct milter_content *content)
{
	const struct milter_headers *h = &p->headers;

	take_new_body(p);
	for (p->own_at = 0; p->own_at < h->n; p->own_at++)
		if (h->v[p->own_at].own)
			break;
	p->at = p->body_start;
	buf_reset(&p->wire);
	p->wire_used = 0;
	*content =
	    (struct milter_content){p, give_header, give_body, change, hold};
}

/* From here on the content goes into the queue entry. */
void
milter_pass_store(struct milter_pass *p)
{
	struct cleanup *c = p->c;
	struct buf out = BUF_INIT;
	int64_t at, size;

	take_new_body(p);
	at = p->body_start;
	size = spool_size(p->body);
	milter_headers_render(&p->headers, &out);
	if (c->separated || at < size)
		buf_append_byte(&out, '\n');
	cleanup_put(c, buf_span(&out));
	while (at < size && !cleanup_is_over(c)) {
		buf_reset(&out);
		if (!spool_read(p->body, at, BLOCK, &out))
			no_space(c);
		cleanup_put(c, buf_span(&out));
		at += (int64_t)out.len;
	}
	buf_free(&out);
	if (spool_failed(p->body))
		no_space(c);
	if (conf->message_size_limit > 0 && c->origin != CLEANUP_BOUNCE &&
	    cleanup_size(c) > conf->message_size_limit)
		cleanup_fail(c, 552, "5.3.4", "Error: message file too big");
}
