/* SPDX-License-Identifier: MIT */
/* What leaves local delivery: new messages. */
#include <stdlib.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/sys/io.h"
#include "local/local.h"

enum { CHUNK = 64 * 1024 };

static struct local_forward *
find(struct local_job *j, const struct local_addr *a)
{
	struct local_forward **p = &j->forwards, *f;

	for (; (f = *p); p = &f->next)
		if (!strcmp(f->sender, a->sender) &&
		    !strcmp(f->delivered, a->delivered) &&
		    !strcmp(f->orig_to, a->orig_to))
			return f;
	f = mem_alloc(sizeof(*f));
	f->sender = mem_strdup(a->sender);
	f->delivered = mem_strdup(a->delivered);
	f->orig_to = mem_strdup(a->orig_to);
	f->dsn_orcpt = mem_strdup(a->dsn_orcpt);
	f->dsn_envid = mem_strdup(a->dsn_envid);
	f->dsn_notify = a->dsn_notify;
	f->dsn_ret = a->dsn_ret;
	*p = f;
	return f;
}

void
local_forward_add(struct local_job *j, const struct local_addr *a,
		  const char *address)
{
	if (local_first_time(j, "forward %s\n%s", a->sender, address))
		strvec_add(&find(j, a)->rcpts, address);
}

static void
put_header(struct cleanup *c, const struct local_forward *f)
{
	int64_t now = io_now();
	time_t seconds = (time_t)(now / 1000000);
	struct buf head = BUF_INIT;
	char date[64] = "", zone[16] = "";
	struct tm tm;

	if (localtime_r(&seconds, &tm)) {
		strftime(date, sizeof(date), "%a, %e %b %Y %H:%M:%S %z", &tm);
		strftime(zone, sizeof(zone), "%Z", &tm);
	}
	buf_printf(&head, "Received: by %s (%s)\n\tid %s; %s", conf->myhostname,
		   conf->mail_name, cleanup_id(c), date[5] == ' ' ? "" : date);
	if (date[5] == ' ') {
		/* "Sun,  1 Nov": one space is enough. */
		buf_append(&head, date, 5);
		buf_append_cstr(&head, date + 6);
	}
	if (*zone)
		buf_printf(&head, " (%s)", zone);
	buf_append_byte(&head, '\n');
	if (conf_list_has(conf->prepend_delivered_header, "forward"))
		copy_header("Delivered-To", f->delivered, false, &head);
	cleanup_prepend_header(c, buf_span(&head));
	buf_free(&head);
}

static void
fill_envelope(struct cleanup *c, const struct local_job *j,
	      const struct local_forward *f)
{
	const struct agent_request *req = j->req;
	struct envelope *e = cleanup_envelope(c);

	free(e->sender);
	e->sender = mem_strdup(f->sender);
	if (*req->encoding && !e->encoding)
		e->encoding = mem_strdup(req->encoding);
	if (*f->dsn_envid && !e->dsn_envid)
		e->dsn_envid = mem_strdup(f->dsn_envid);
	e->dsn_ret = f->dsn_ret;
	if (!e->rewrite)
		e->rewrite = mem_strdup(*req->rewrite ? req->rewrite : "local");
	if (req->flags & DELIVER_SMTPUTF8)
		e->flags |= ENVELOPE_SMTPUTF8;
	if (req->flags & DELIVER_REQUIRETLS)
		e->flags |= ENVELOPE_REQUIRETLS;
}

static bool
put_content(struct cleanup *c, const struct copy_source *src)
{
	char *piece = malloc(CHUNK);
	int64_t at = 0;
	bool ok = piece != NULL;

	while (ok && at < src->length && !cleanup_failed(c)) {
		int64_t left = src->length - at;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		ok = io_pread_all(src->fd, piece, n, src->offset + at);
		if (ok)
			cleanup_content(c, span_make(piece, n));
		at += (int64_t)n;
	}
	free(piece);
	return ok;
}

/* true: queued as id. */
static bool
resubmit(const struct local_job *j, const struct local_forward *f,
	 struct buf *id, struct why *why)
{
	struct cleanup *c = cleanup_begin(CLEANUP_FORWARD, why);

	if (!c)
		return false;
	buf_set_cstr(id, cleanup_id(c));
	fill_envelope(c, j, f);
	for (size_t i = 0; i < f->rcpts.n; i++)
		cleanup_recipient(
		    c, span_of(f->rcpts.v[i]), *f->orig_to ? f->orig_to : NULL,
		    *f->dsn_orcpt ? f->dsn_orcpt : NULL, f->dsn_notify);
	put_header(c, f);
	if (!put_content(c, &j->source)) {
		why_set(why, "4.3.0", "error reading message: %m");
		cleanup_abort(c);
		return false;
	}
	return cleanup_end(c, why);
}

void
local_forward_all(struct local_job *j, const struct local_addr *top)
{
	for (const struct local_forward *f = j->forwards; f; f = f->next) {
		struct why why = WHY_INIT;
		struct buf id = BUF_INIT;

		if (resubmit(j, f, &id, &why))
			why_set(&why, "2.0.0", "forwarded as %s",
				buf_cstr(&id));
		else if (!why_is_set(&why))
			why_set(&why, "4.3.0", "unable to forward message");
		local_report(j, top, &why);
		why_free(&why);
		buf_free(&id);
	}
}

void
local_forward_free(struct local_job *j)
{
	struct local_forward *f;

	while ((f = j->forwards)) {
		j->forwards = f->next;
		free(f->sender);
		free(f->delivered);
		free(f->orig_to);
		free(f->dsn_orcpt);
		free(f->dsn_envid);
		strvec_free(&f->rcpts);
		free(f);
	}
}
