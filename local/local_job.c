/* SPDX-License-Identifier: MIT */
/* One recipient of a request: what became of it, and who is told. */
#include <ctype.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "local/local.h"

enum { NOTICE_SECONDS = 300 };

void
local_warn(const struct buf *warnings)
{
	struct span rest = buf_span(warnings), line;

	while (span_next_token(&rest, "\n", &line))
		log_warn("%.*s", SPAN_ARG(line));
}

bool
local_is_probe(const struct local_job *j)
{
	return j->req->flags & DELIVER_PROBE;
}

bool
local_first_time(struct local_job *j, const char *fmt, ...)
{
	struct buf key = BUF_INIT;
	bool first;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&key, fmt, ap);
	va_end(ap);
	first = !htab_get(j->seen, buf_span(&key));
	if (first &&
	    (conf->duplicate_filter_limit == 0 ||
	     htab_count(j->seen) < (size_t)conf->duplicate_filter_limit))
		htab_put(j->seen, buf_span(&key), j);
	buf_free(&key);
	return first;
}

static void
remember_failure(struct local_job *j, const struct local_addr *a,
		 const struct why *why)
{
	struct local_failure *f = mem_alloc(sizeof(*f));

	f->sender = mem_strdup(a->sender);
	f->address = mem_strdup(a->address);
	f->orig_to = mem_strdup(a->orig_to);
	f->dsn_orcpt = mem_strdup(a->dsn_orcpt);
	f->dsn_notify = a->dsn_notify;
	why_copy(&f->why, why);
	f->next = j->failures;
	j->failures = f;
	j->n_failures++;
}

void
local_report(struct local_job *j, const struct local_addr *a,
	     const struct why *why)
{
	agent_log_status(j->req, a->address, a->orig_to, why);
	local_record(j, a, why);
}

void
local_record(struct local_job *j, const struct local_addr *a,
	     const struct why *why)
{
	enum why_class class = why_class(why);

	if (class == WHY_BOUNCE && conf->soft_bounce)
		class = WHY_DEFER;
	if (class == WHY_SENT) {
		j->n_sent++;
		if (!why_is_set(&j->result))
			why_copy(&j->result, why);
	} else if (class == WHY_DEFER) {
		if (!j->deferred)
			why_copy(&j->result, why);
		j->deferred = true;
	} else {
		remember_failure(j, a, why);
	}
}

void
local_reportf(struct local_job *j, const struct local_addr *a, const char *dsn,
	      const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	struct why why = WHY_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	why_set(&why, dsn, "%s", buf_cstr(&text));
	local_report(j, a, &why);
	why_free(&why);
	buf_free(&text);
}

static void
put_notice(struct ipc *c, const struct local_job *j,
	   const struct local_failure *first)
{
	const struct agent_request *req = j->req;

	ipc_begin(c, MSG_BOUNCE);
	ipc_put_num(c, A_KIND, BOUNCE_FAILURE);
	ipc_put_cstr(c, A_QUEUE_ID, req->queue_id);
	ipc_put_num(c, A_CONTENT_OFFSET, req->content_offset);
	ipc_put_num(c, A_CONTENT_LENGTH, req->content_length);
	ipc_put_num(c, A_ARRIVAL, req->arrival);
	ipc_put_cstr(c, A_SENDER, first->sender);
	ipc_put_cstr(c, A_RECIPIENT, first->sender);
	if (*req->encoding)
		ipc_put_cstr(c, A_ENCODING, req->encoding);
	if (!strcmp(first->sender, req->sender) && *req->dsn_envid)
		ipc_put_cstr(c, A_DSN_ENVID, req->dsn_envid);
	ipc_put_num(c, A_DSN_RET, req->dsn_ret);
	ipc_end_fd(c, req->fd);
	for (const struct local_failure *f = first; f; f = f->next) {
		if (strcmp(f->sender, first->sender))
			continue;
		ipc_begin(c, MSG_BOUNCE_RCPT);
		ipc_put_cstr(c, A_RECIPIENT, f->address);
		if (*f->orig_to)
			ipc_put_cstr(c, A_ORIG_TO, f->orig_to);
		if (*f->dsn_orcpt)
			ipc_put_cstr(c, A_DSN_ORCPT, f->dsn_orcpt);
		ipc_put_num(c, A_DSN_NOTIFY, f->dsn_notify);
		ipc_put_why(c, &f->why);
		ipc_end(c);
	}
	ipc_begin(c, MSG_BOUNCE_END);
	ipc_end(c);
}

/* A notice to the sender of first about all its failures. */
static bool
send_notice(const struct local_job *j, const struct local_failure *first)
{
	struct ipc_msg m;
	struct ipc c;
	bool ok;

	if (!ipc_connect(&c, "private/bounce", NOTICE_SECONDS)) {
		log_warn("connect to private/bounce: %m");
		return false;
	}
	put_notice(&c, j, first);
	ok = ipc_flush(&c, NOTICE_SECONDS) == IPC_OK &&
	     ipc_recv(&c, &m, NOTICE_SECONDS) == IPC_OK &&
	     m.type == MSG_STATUS && ipc_num(&m, A_STATUS, 1) == 0;
	ipc_close(&c);
	return ok;
}

/* One notice for each sender that is to hear of a failure. */
static bool
send_notices(const struct local_job *j)
{
	const struct local_failure *f, *g;

	for (f = j->failures; f; f = f->next) {
		bool told = *f->sender == '\0' || f->dsn_notify == NOTIFY_NEVER;

		for (g = j->failures; !told && g != f; g = g->next)
			told = !strcmp(g->sender, f->sender);
		if (!told && !send_notice(j, f))
			return false;
	}
	return true;
}

/*
 * What the queue manager hears: the recipient's own failure is its to write
 * home about; failures of what the recipient led to are told from here.
 */
static void
conclude(struct local_job *j, const struct local_addr *top)
{
	const struct local_failure *f = j->failures;

	if (!j->deferred && f) {
		if (j->n_failures == 1 && !j->n_sent &&
		    !strcmp(f->sender, top->sender) &&
		    !strcmp(f->address, top->address))
			why_copy(&j->result, &f->why);
		else if (send_notices(j))
			why_set(&j->result, "2.0.0", "expanded");
		else
			why_set(&j->result, "4.3.0", "bounce failure");
	}
	if (!why_is_set(&j->result))
		why_set(&j->result, "2.0.0", "expanded");
	agent_rcpt_tell(j->req, j->rcpt, &j->result);
}

static void
free_job(struct local_job *j)
{
	struct local_failure *f;

	while ((f = j->failures)) {
		j->failures = f->next;
		free(f->sender);
		free(f->address);
		free(f->orig_to);
		free(f->dsn_orcpt);
		why_free(&f->why);
		free(f);
	}
	local_forward_free(j);
	htab_free(j->seen, NULL);
	why_free(&j->result);
}

void
local_deliver_rcpt(struct agent_request *req, size_t i,
		   const struct htab *loops)
{
	const struct agent_rcpt *r = &req->rcpts[i];
	struct local_job j = {
	    .req = req,
	    .rcpt = i,
	    .loops = loops,
	    .source = {req->fd, req->content_offset, req->content_length},
	    .seen = htab_new(),
	    .result = WHY_INIT,
	};
	struct local_addr top = {
	    .address = r->address,
	    .orig_to = *r->orig_to ? r->orig_to : r->address,
	    .sender = req->sender,
	    .delivered = r->address,
	    .dsn_orcpt = r->dsn_orcpt,
	    .dsn_envid = req->dsn_envid,
	    .dsn_notify = r->dsn_notify,
	    .dsn_ret = req->dsn_ret,
	    .origin = FROM_MESSAGE,
	};

	local_deliver_addr(&j, &top);
	/* What is tried again is forwarded then, or it would be each time. */
	if (!j.deferred)
		local_forward_all(&j, &top);
	conclude(&j, &top);
	free_job(&j);
}
