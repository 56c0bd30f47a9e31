/* SPDX-License-Identifier: MIT */
/*
 * Notices, written by the bounce service: one connection each, a few at a
 * time, the others wait in line. A recipient is recorded as done only after
 * the notice about it is on disk.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue_receipt.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

enum {
	NOTICES_AT_ONCE = 10,
	NOTICE_SECONDS = 300,
};

struct notice {
	TAILQ_ENTRY(notice) link;
	struct active *msg;
	enum bounce_kind kind;
	char *to;
	bool (*wanted)(const struct active *a, size_t rcpt);
	struct ipc ipc;
	struct event *read_ev, *write_ev;
	int64_t receipts; /* a slot; -1: none */
};

static TAILQ_HEAD(notice_list,
		  notice) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static size_t running;

static void start_next(void);

static void
notice_done(struct notice *n, bool ok, const struct why *why)
{
	struct active *a = n->msg;

	if (n->read_ev)
		event_free(n->read_ev);
	if (n->write_ev)
		event_free(n->write_ev);
	if (n->ipc.fd >= 0)
		ipc_close(&n->ipc);
	queue_receipt_slot_free(qmgr_queue, n->receipts);
	free(n->to);
	free(n);
	running--;
	active_notice_done(a, ok, why);
	start_next();
}

static void
notice_failed(struct notice *n, const char *text)
{
	struct why why = WHY_INIT;

	why_set(&why, "4.3.0", "%s", text);
	notice_done(n, false, &why);
	why_free(&why);
}

/* The service died after the notice was written: it is not written again. */
static bool
on_record(const struct notice *n)
{
	const struct active *a = n->msg;

	for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
		if (n->wanted(a, i) &&
		    !queue_receipt_has(qmgr_queue, n->receipts, a->qm, i))
			return false;
	return true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct notice *n = arg;
	struct ipc_msg msg;
	enum ipc_status st;

	(void)fd;
	if (what & EV_TIMEOUT) {
		notice_failed(n, "bounce service does not answer");
		return;
	}
	st = ipc_fill(&n->ipc);
	if (st == IPC_OK || st == IPC_EOF) {
		enum ipc_status next = ipc_next(&n->ipc, &msg);

		if (next == IPC_AGAIN && st == IPC_OK)
			return;
		if (next == IPC_OK && msg.type == MSG_STATUS) {
			char *reason = ipc_dup(&msg, A_REASON);

			if (ipc_num(&msg, A_STATUS, 1) == 0) {
				/* It answers before it announces. */
				qmgr_rescan_later();
				notice_done(n, true, NULL);
			} else {
				notice_failed(n, reason[0] ? reason
							   : "bounce failure");
			}
			free(reason);
			return;
		}
	}
	if (st == IPC_AGAIN)
		return;
	qmgr_rescan_soon();
	if (on_record(n))
		notice_done(n, true, NULL);
	else
		notice_failed(n, "bounce service ended without an answer");
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct notice *n = arg;

	(void)fd;
	(void)what;
	if (ipc_push(&n->ipc) == IPC_AGAIN)
		event_add(n->write_ev, NULL);
}

static void
put_notice(struct notice *n)
{
	const struct active *a = n->msg;
	const struct queue_message *qm = a->qm;
	const struct envelope *e = &qm->env;
	struct ipc *c = &n->ipc;

	n->receipts = agent_give_receipts(c);
	ipc_begin(c, MSG_BOUNCE);
	ipc_put_num(c, A_KIND, n->kind);
	ipc_put_cstr(c, A_QUEUE_ID, qm->id);
	ipc_put_num(c, A_CONTENT_OFFSET, qm->place.content_offset);
	ipc_put_num(c, A_CONTENT_LENGTH, qm->place.content_length);
	ipc_put_num(c, A_FILE, (int64_t)qm->segment);
	ipc_put_num(c, A_OFFSET, qm->place.offset);
	ipc_put_num(c, A_ARRIVAL, e->arrival);
	ipc_put_cstr(c, A_SENDER, e->sender);
	ipc_put_cstr(c, A_RECIPIENT, n->to);
	ipc_put_num(c, A_FLAGS, e->flags);
	ipc_put_num(c, A_NEXT_TIME, e->arrival + conf->maximal_queue_lifetime);
	if (e->encoding)
		ipc_put_cstr(c, A_ENCODING, e->encoding);
	if (e->dsn_envid)
		ipc_put_cstr(c, A_DSN_ENVID, e->dsn_envid);
	ipc_put_num(c, A_DSN_RET, e->dsn_ret);
	ipc_end_fd(c, qm->place.fd);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct rcpt *r = &e->rcpts[i];

		if (!n->wanted(a, i))
			continue;
		ipc_begin(c, MSG_BOUNCE_RCPT);
		ipc_put_num(c, A_INDEX, (int64_t)i);
		ipc_put_cstr(c, A_RECIPIENT, r->address);
		if (r->orig_to)
			ipc_put_cstr(c, A_ORIG_TO, r->orig_to);
		if (r->dsn_orcpt)
			ipc_put_cstr(c, A_DSN_ORCPT, r->dsn_orcpt);
		ipc_put_num(c, A_DSN_NOTIFY, r->dsn_notify);
		ipc_put_why(c, &a->result[i]);
		ipc_end(c);
	}
	ipc_begin(c, MSG_BOUNCE_END);
	ipc_end(c);
}

static void
start(struct notice *n)
{
	struct event_base *base = service_event_base();
	struct timeval limit = {.tv_sec = NOTICE_SECONDS};

	running++;
	if (!ipc_connect(&n->ipc, "private/bounce", 1)) {
		n->ipc.fd = -1;
		log_warn("connect to private/bounce: %m");
		notice_failed(n, "bounce service unavailable");
		return;
	}
	io_set_nonblocking(n->ipc.fd, true);
	n->read_ev =
	    event_new(base, n->ipc.fd, EV_READ | EV_PERSIST, on_readable, n);
	n->write_ev = event_new(base, n->ipc.fd, EV_WRITE, on_writable, n);
	event_add(n->read_ev, &limit);
	put_notice(n);
	on_writable(n->ipc.fd, EV_WRITE, n);
}

/*
 * One that fails at once comes here again: the loop goes on, not the
 * recursion.
 */
static void
start_next(void)
{
	static bool looping;
	struct notice *n;

	if (looping)
		return;
	looping = true;
	while (running < NOTICES_AT_ONCE && (n = TAILQ_FIRST(&waiting))) {
		TAILQ_REMOVE(&waiting, n, link);
		start(n);
	}
	looping = false;
}

size_t
notice_in_flight(void)
{
	return running;
}

void
notice_start(struct active *a, enum bounce_kind kind, const char *to,
	     bool (*wanted)(const struct active *a, size_t rcpt))
{
	struct notice *n = mem_alloc(sizeof(*n));

	n->msg = a;
	n->kind = kind;
	n->to = mem_strdup(to);
	n->wanted = wanted;
	n->ipc.fd = -1;
	n->receipts = -1;
	a->notice = n;
	TAILQ_INSERT_TAIL(&waiting, n, link);
	start_next();
}
