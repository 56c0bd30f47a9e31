/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/dsn/notice.h"
#include "lib/sys/io.h"
#include "qmgr/bounce.h"

enum { CHUNK = 64 * 1024 };

/* What the notice borrows from: addresses in external form. */
struct work {
	const struct bounce_request *req;
	struct notice notice;
	struct notice_rcpt *rcpts;
	struct strvec addresses;
	struct buf to, sender, daemon, text;
};

static void
work_free(struct work *w)
{
	free(w->rcpts);
	strvec_free(&w->addresses);
	buf_free(&w->to);
	buf_free(&w->sender);
	buf_free(&w->daemon);
	buf_free(&w->text);
}

/* ---- what is in it ---- */

/* RFC 3461 section 4.1: does the recipient take part in such a notice? A
 * postmaster and who asked for a report see all. */
static bool
is_wanted(int kind, int notify)
{
	switch (kind) {
	case BOUNCE_FAILURE:
		return notify == 0 || (notify & NOTIFY_FAILURE);
	case BOUNCE_DELAY:
		return notify == 0 || (notify & NOTIFY_DELAY);
	case BOUNCE_SUCCESS:
		return notify & NOTIFY_SUCCESS;
	default:
		return true;
	}
}

static const struct {
	enum notice_kind kind;
	const char *logged;
} kinds[] = {
    [BOUNCE_FAILURE] = {NOTICE_FAILURE, "sender non-delivery notification"},
    [BOUNCE_DELAY] = {NOTICE_DELAY, "sender delay notification"},
    [BOUNCE_SUCCESS] = {NOTICE_SUCCESS, "sender delivery status notification"},
    [BOUNCE_POSTMASTER] = {NOTICE_POSTMASTER,
			   "postmaster non-delivery notification"},
    [BOUNCE_VERIFY] = {NOTICE_REPORT, "sender delivery status notification"},
};

/*
 * Only a failure returns the message, unless the sender did not want it or it
 * is too big. A postmaster gets the mail that nobody else can get back, and
 * the header of everything else, which is not his.
 */
static bool
headers_only(const struct bounce_request *req)
{
	if (req->content_length > conf->bounce_size_limit)
		return true;
	if (req->kind == BOUNCE_POSTMASTER)
		return req->sender[0] != '\0';
	return req->kind != BOUNCE_FAILURE || req->dsn_ret == RET_HDRS;
}

static const char *
external(struct work *w, const char *address)
{
	struct buf out = BUF_INIT;

	addr_quote(span_of(address), &out);
	strvec_add(&w->addresses, buf_cstr(&out));
	buf_free(&out);
	return w->addresses.v[w->addresses.n - 1];
}

static void
append_origin(struct buf *address)
{
	if (addr_at(buf_span(address)) < 0)
		buf_printf(address, "@%s", conf->myorigin);
}

static void
collect_rcpts(struct work *w)
{
	const struct bounce_request *req = w->req;
	size_t n = 0;

	w->rcpts = mem_calloc(req->n_rcpts + 1, sizeof(*w->rcpts));
	for (size_t i = 0; i < req->n_rcpts; i++) {
		const struct bounce_rcpt *r = &req->rcpts[i];

		if (!is_wanted(req->kind, r->notify))
			continue;
		w->rcpts[n].address = external(w, r->address);
		w->rcpts[n].orig_to =
		    r->orig_to[0] ? external(w, r->orig_to) : "";
		w->rcpts[n].dsn_orcpt = r->dsn_orcpt;
		w->rcpts[n++].why = &r->why;
	}
	w->notice.rcpts = w->rcpts;
	w->notice.n_rcpts = n;
}

static void
fill_notice(struct work *w)
{
	const struct bounce_request *req = w->req;
	struct notice *n = &w->notice;

	buf_append_cstr(&w->daemon, "MAILER-DAEMON");
	append_origin(&w->daemon);
	addr_quote(span_of(req->recipient), &w->to);
	append_origin(&w->to);
	if (req->sender[0])
		addr_quote(span_of(req->sender), &w->sender);
	else
		buf_append_span(&w->sender, buf_span(&w->daemon));
	n->kind = kinds[req->kind].kind;
	n->queue_id = req->queue_id;
	n->sender = buf_cstr(&w->sender);
	n->to = buf_cstr(&w->to);
	n->daemon = buf_cstr(&w->daemon);
	n->hostname = conf->myhostname;
	n->mail_name = conf->mail_name;
	n->envid = req->envid;
	n->now = io_now();
	n->arrival = req->arrival;
	n->retry_until = req->retry_until;
	n->delayed = n->now - req->arrival;
	n->smtputf8 = req->flags & ENVELOPE_SMTPUTF8;
	n->seven_bit = !strcasecmp(req->encoding, "7bit");
	n->headers_only = headers_only(req);
	/* Without a word about it a report is about a probe. */
	n->probe = !(req->flags & ENVELOPE_REPORT);
	n->obsolete_from = !strcasecmp(conf->header_from_format, "obsolete");
	collect_rcpts(w);
}

/* ---- into the queue ---- */

/* Where the header ends in text: behind the newline in front of the first
 * empty line; text.len when it goes on. *at_start: text begins a line. */
static size_t
header_end(struct span text, bool *at_start, bool *ended)
{
	for (size_t i = 0; i < text.len; i++) {
		if (*at_start && text.data[i] == '\n') {
			*ended = true;
			return i;
		}
		*at_start = text.data[i] == '\n';
	}
	return text.len;
}

static bool
copy_original(const struct work *w, struct cleanup *c)
{
	const struct bounce_request *req = w->req;
	int64_t at = req->content_offset, left = req->content_length;
	bool at_start = true, ended = false, ok = true;
	char *chunk = mem_realloc(NULL, CHUNK, 1);

	while (left > 0 && !ended && !cleanup_failed(c)) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		size_t use = n;

		ok = io_pread_all(req->fd, chunk, n, at);
		if (!ok)
			break;
		if (w->notice.headers_only)
			use =
			    header_end(span_make(chunk, n), &at_start, &ended);
		else
			at_start = chunk[n - 1] == '\n';
		cleanup_content(c, span_make(chunk, use));
		at += (int64_t)n;
		left -= (int64_t)n;
	}
	if (ok && !at_start)
		cleanup_content(c, span_make("\n", 1));
	free(chunk);
	return ok;
}

static void
fill_envelope(const struct work *w, struct envelope *e)
{
	const struct bounce_request *req = w->req;

	if (req->kind == BOUNCE_POSTMASTER) {
		struct buf from = BUF_INIT;

		buf_append_cstr(&from, conf->double_bounce_sender);
		append_origin(&from);
		free(e->sender);
		e->sender = buf_steal(&from);
	} else {
		free(e->sender);
		e->sender = mem_strdup("");
	}
	e->flags |= ENVELOPE_NOTICE;
	if (w->notice.smtputf8)
		e->flags |= ENVELOPE_SMTPUTF8;
	free(e->encoding);
	e->encoding = mem_strdup("8bit");
	free(e->rewrite);
	e->rewrite = mem_strdup("local");
}

static void
put_received(struct work *w, struct cleanup *c)
{
	buf_reset(&w->text);
	buf_printf(&w->text, "Received: by %s (%s)\n\tid %s; ",
		   conf->myhostname, conf->mail_name, cleanup_id(c));
	notice_date(w->notice.now, &w->text);
	buf_append_byte(&w->text, '\n');
	cleanup_prepend_header(c, buf_span(&w->text));
}

static bool
enqueue(struct work *w, struct buf *id, struct why *why)
{
	struct cleanup *c = cleanup_begin(CLEANUP_BOUNCE, why);

	if (!c)
		return false;
	buf_set_cstr(id, cleanup_id(c));
	fill_envelope(w, cleanup_envelope(c));
	cleanup_recipient(c, span_of(w->req->recipient), NULL, NULL, 0);
	put_received(w, c);
	buf_reset(&w->text);
	notice_begin(&w->notice, &w->text);
	cleanup_content(c, buf_span(&w->text));
	if (!copy_original(w, c)) {
		why_set(why, "4.3.0", "cannot read the original message: %s",
			errno ? strerror(errno) : "file is too short");
		log_warn("%s: %s", w->req->queue_id, buf_cstr(&why->text));
		cleanup_abort(c);
		return false;
	}
	buf_reset(&w->text);
	notice_end(&w->notice, &w->text);
	cleanup_content(c, buf_span(&w->text));
	return cleanup_end(c, why);
}

void
bounce_log(const struct bounce_request *req, const struct buf *id)
{
	log_info("%s: %s: %s", req->queue_id, kinds[req->kind].logged,
		 buf_cstr(id));
}

bool
bounce_write(const struct bounce_request *req, struct buf *id, struct why *why)
{
	struct work w = {.req = req};
	bool ok;

	if (req->kind < BOUNCE_FAILURE || req->kind > BOUNCE_VERIFY) {
		why_set(why, "4.3.0", "unknown kind of notice: %d", req->kind);
		return false;
	}
	/* Never answer a notice with a notice (RFC 5321 section 6.1). */
	if (!req->recipient[0])
		return true;
	fill_notice(&w);
	if (w.notice.n_rcpts == 0) {
		work_free(&w);
		return true;
	}
	ok = enqueue(&w, id, why);
	if (!ok)
		buf_reset(id);
	work_free(&w);
	return ok;
}
