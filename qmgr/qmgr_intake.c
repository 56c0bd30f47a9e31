/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

/* A process that talks to public/qmgr. */
struct client {
	struct ipc ipc;
	struct event *read_ev, *write_ev;
	unsigned uid;
	bool writer;
};

static void
client_close(struct client *c)
{
	/* A writer may have committed what it did not come to announce. */
	if (c->writer)
		qmgr_rescan_soon();
	event_free(c->read_ev);
	event_free(c->write_ev);
	ipc_close(&c->ipc);
	free(c);
}

static void
reply_status(struct client *c, int status, const char *reason)
{
	ipc_begin(&c->ipc, MSG_STATUS);
	ipc_put_num(&c->ipc, A_STATUS, status);
	if (reason)
		ipc_put_cstr(&c->ipc, A_REASON, reason);
	ipc_end(&c->ipc);
}

static void
enqueued(const struct ipc_msg *msg)
{
	char *id, *segment;
	struct queue_message *qm;

	if (!active_has_room() || qmgr_stopping()) {
		qmgr_rescan_soon();
		return;
	}
	id = ipc_dup(msg, A_QUEUE_ID);
	segment = ipc_dup(msg, A_SEGMENT);
	qm = queue_take(qmgr_queue, id, segment, ipc_num(msg, A_OFFSET, -1));
	if (qm)
		active_admit(qm);
	free(id);
	free(segment);
}

/* Take a deferred message at once. */
static void
try_now(const char *id)
{
	struct queue_message *qm;

	if (active_find(id) || !active_has_room())
		return;
	qm = queue_open(qmgr_queue, "deferred", id);
	if (qm && !qmgr_left_to_orphan(qm))
		active_admit(qm);
}

static bool
has_site(const struct queue_message *qm, struct span site)
{
	for (size_t i = 0; i < qm->env.n_rcpts; i++) {
		const char *at = strrchr(qm->env.rcpts[i].address, '@');

		if (qm->state[i] == RCPT_OPEN && at &&
		    span_equal_nocase(span_of(at + 1), site))
			return true;
	}
	return false;
}

static void
flush_site_one(void *arg, const char *id, int64_t next_attempt)
{
	const struct span *site = arg;
	struct queue_message *qm;

	(void)next_attempt;
	if (active_find(id) || !active_has_room())
		return;
	qm = queue_open(qmgr_queue, "deferred", id);
	if (!qm)
		return;
	if (!has_site(qm, *site))
		queue_release(qmgr_queue, qm);
	else if (!qmgr_left_to_orphan(qm))
		active_admit(qm);
}

static void
flush(const struct ipc_msg *msg)
{
	sched_revive_all();
	if (ipc_has(msg, A_QUEUE_ID)) {
		char *id = ipc_dup(msg, A_QUEUE_ID);

		try_now(id);
		free(id);
	} else if (ipc_has(msg, A_SITE)) {
		struct span site = ipc_get(msg, A_SITE);

		/* Maybe the rest of a pass that was under way; then all. */
		for (int pass = 0; pass < 2; pass++)
			while (queue_scan_deferred(qmgr_queue, "deferred",
						   1000, flush_site_one, &site))
				;
	} else {
		qmgr_rescan_soon();
		qmgr_scan_deferred(true);
	}
}

/* postsuper on one message that is active. */
static int
super_active(struct active *a, int op, const char **reason)
{
	switch (op) {
	case SUPER_DELETE:
		active_set_pending(a, PENDING_DELETE);
		return 1;
	case SUPER_HOLD:
		active_set_pending(a, PENDING_HOLD);
		return 1;
	case SUPER_REQUEUE:
	case SUPER_RELEASE:
		return 1; /* it is being delivered already */
	case SUPER_EXPIRE:
	case SUPER_EXPIRE_RELEASE:
		a->qm->expire = true;
		return 1;
	default:
		*reason = "unknown operation";
		return -1;
	}
}

static void
super(struct client *c, const struct ipc_msg *msg)
{
	int op = (int)ipc_num(msg, A_OPERATION, 0);
	char *id = ipc_dup(msg, A_QUEUE_ID);
	char *queue = ipc_dup(msg, A_QUEUE_NAME);
	struct active *a = active_find(id);
	const char *reason = NULL;
	int n;

	/* A message on its way to another queue is in none that he means. */
	qmgr_sync();
	if (c->uid != 0 && c->uid != geteuid()) {
		reply_status(c, -1, "permission denied");
	} else if (!queue_id_valid(span_of(id))) {
		reply_status(c, -1, "not a queue id");
	} else {
		bool wanted = !queue[0] || !strcmp(queue, "active") ||
			      (a && !strcmp(queue, a->qm->queue_name));

		n = a && wanted ? super_active(a, op, &reason)
		    : a		? 0
				: queue_super(qmgr_queue, op,
					      queue[0] ? queue : NULL, id);
		if (n > 0 && !a &&
		    (op == SUPER_RELEASE || op == SUPER_REQUEUE ||
		     op == SUPER_EXPIRE_RELEASE)) {
			qmgr_rescan_soon();
			try_now(id);
		}
		qmgr_note_unsynced();
		reply_status(c, n, reason);
	}
	free(id);
	free(queue);
}

static void
list_active(struct client *c)
{
	const struct active *a;
	size_t n = 0;

	qmgr_sync();
	ipc_begin(&c->ipc, MSG_ACTIVE);
	TAILQ_FOREACH (a, active_all(), link) {
		if (n == IPC_ATTRS_MAX - 1) {
			ipc_end(&c->ipc);
			ipc_begin(&c->ipc, MSG_ACTIVE);
			n = 0;
		}
		ipc_put_cstr(&c->ipc, A_QUEUE_ID, a->qm->id);
		n++;
	}
	ipc_end(&c->ipc);
	reply_status(c, 0, NULL);
}

static bool
handle(struct client *c, const struct ipc_msg *msg)
{
	if (msg->fd >= 0) {
		close(msg->fd);
		return false;
	}
	switch (msg->type) {
	case MSG_ENQUEUED:
		if (c->uid != 0 && c->uid != geteuid())
			return false;
		c->writer = true;
		enqueued(msg);
		return true;
	case MSG_FLUSH:
		flush(msg);
		return true;
	case MSG_SUPER:
		super(c, msg);
		return true;
	case MSG_LIST_ACTIVE:
		list_active(c);
		return true;
	default:
		return false;
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	if (ipc_push(&c->ipc) == IPC_AGAIN)
		event_add(c->write_ev, NULL);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	enum ipc_status st = ipc_fill(&c->ipc);
	struct ipc_msg msg;

	(void)fd;
	(void)what;
	if (st == IPC_OK)
		while ((st = ipc_next(&c->ipc, &msg)) == IPC_OK)
			if (!handle(c, &msg)) {
				log_warn("public/qmgr: bad request from "
					 "uid %u",
					 c->uid);
				st = IPC_BAD;
				break;
			}
	if (st != IPC_AGAIN && st != IPC_OK)
		client_close(c);
	else if (ipc_pending(&c->ipc))
		on_writable(c->ipc.fd, EV_WRITE, c);
}

void
intake_accept(int fd)
{
	struct event_base *base = service_event_base();
	struct client *c = mem_alloc(sizeof(*c));

	io_set_nonblocking(fd, true);
	ipc_init(&c->ipc, fd);
	c->uid = ipc_peer_uid(fd);
	c->read_ev =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->write_ev = event_new(base, fd, EV_WRITE, on_writable, c);
	event_add(c->read_ev, NULL);
}
