/* SPDX-License-Identifier: MIT */
/*
 * Routes of retried mail, asked from the lookup service: questions go out in
 * order over one connection, answers come back in the same order.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

struct question {
	TAILQ_ENTRY(question) link;
	struct active *msg;
	size_t rcpt;
	bool again; /* was asked before, and the service went away */
};

static TAILQ_HEAD(question_list, question) asked = TAILQ_HEAD_INITIALIZER(asked);
static struct ipc link_ipc = {.fd = -1};
static struct event *read_ev, *write_ev;

static void
set_route(struct rcpt *r, const char *transport, const char *nexthop)
{
	free(r->transport);
	free(r->nexthop);
	r->transport = mem_strdup(transport);
	r->nexthop = mem_strdup(nexthop);
}

void
route_set(struct active *a, size_t rcpt, const char *transport,
	  const char *nexthop)
{
	set_route(&a->qm->env.rcpts[rcpt], transport, nexthop);
}

static void ask(struct question *q);

static void
no_route(struct active *a, size_t rcpt, const char *text)
{
	set_route(&a->qm->env.rcpts[rcpt], "retry", text);
	active_routed(a, rcpt);
}

/*
 * The service is gone, at a reload most likely: what was asked is asked again,
 * once; then with the next queue run.
 */
static void
link_lost(void)
{
	struct question_list lost = TAILQ_HEAD_INITIALIZER(lost);
	struct question *q;

	if (link_ipc.fd >= 0) {
		event_free(read_ev);
		event_free(write_ev);
		ipc_close(&link_ipc);
	}
	TAILQ_CONCAT(&lost, &asked, link);
	while ((q = TAILQ_FIRST(&lost))) {
		TAILQ_REMOVE(&lost, q, link);
		if (q->again) {
			no_route(q->msg, q->rcpt,
				 "4.3.0 address resolver unavailable");
			free(q);
		} else {
			q->again = true;
			ask(q);
		}
	}
}

static void
take_answer(const struct ipc_msg *msg)
{
	struct question *q = TAILQ_FIRST(&asked);
	struct active *a = q->msg;
	size_t rcpt = q->rcpt;
	struct rcpt *r = &a->qm->env.rcpts[rcpt];

	TAILQ_REMOVE(&asked, q, link);
	free(q);
	if (ipc_num(msg, A_STATUS, 1) == 0) {
		char *transport = ipc_dup(msg, A_TRANSPORT);
		char *nexthop = ipc_dup(msg, A_NEXTHOP);

		set_route(r, transport, nexthop);
		r->class = (int)ipc_num(msg, A_CLASS, r->class);
		free(transport);
		free(nexthop);
		active_routed(a, rcpt);
	} else {
		struct why why = WHY_INIT;
		struct buf text = BUF_INIT;
		bool known = ipc_get_why(msg, &why);

		buf_printf(&text, "%s %s", known ? why.dsn : "4.3.0",
			   known ? buf_cstr(&why.text)
				 : "address resolver failure");
		set_route(r,
			  known && why_class(&why) == WHY_BOUNCE ? "error"
								 : "retry",
			  buf_cstr(&text));
		buf_free(&text);
		why_free(&why);
		active_routed(a, rcpt);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	enum ipc_status st = ipc_fill(&link_ipc);
	struct ipc_msg msg;

	(void)fd;
	(void)what;
	(void)arg;
	if (st == IPC_OK)
		while (link_ipc.fd >= 0 &&
		       (st = ipc_next(&link_ipc, &msg)) == IPC_OK) {
			if (msg.type != MSG_ROUTE || TAILQ_EMPTY(&asked)) {
				st = IPC_BAD;
				break;
			}
			take_answer(&msg);
		}
	if (st != IPC_AGAIN && st != IPC_OK)
		link_lost();
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (ipc_push(&link_ipc) == IPC_AGAIN)
		event_add(write_ev, NULL);
}

static bool
link_up(void)
{
	struct event_base *base = service_event_base();

	if (link_ipc.fd >= 0)
		return true;
	if (!ipc_connect(&link_ipc, "private/lookup", 1)) {
		link_ipc.fd = -1;
		log_warn("connect to private/lookup: %m");
		return false;
	}
	io_set_nonblocking(link_ipc.fd, true);
	read_ev = event_new(base, link_ipc.fd, EV_READ | EV_PERSIST,
			    on_readable, NULL);
	write_ev = event_new(base, link_ipc.fd, EV_WRITE, on_writable, NULL);
	event_add(read_ev, NULL);
	return true;
}

/* Takes over q. */
static void
ask(struct question *q)
{
	const struct envelope *env = &q->msg->qm->env;

	if (!link_up()) {
		no_route(q->msg, q->rcpt,
			 "4.3.0 address resolver unavailable");
		free(q);
		return;
	}
	TAILQ_INSERT_TAIL(&asked, q, link);
	ipc_begin(&link_ipc, MSG_RESOLVE);
	ipc_put_cstr(&link_ipc, A_SENDER, env->sender);
	ipc_put_cstr(&link_ipc, A_RECIPIENT, env->rcpts[q->rcpt].address);
	ipc_end(&link_ipc);
	if (ipc_push(&link_ipc) == IPC_AGAIN)
		event_add(write_ev, NULL);
}

void
route_again(struct active *a, size_t rcpt)
{
	struct question *q = mem_alloc(sizeof(*q));

	q->msg = a;
	q->rcpt = rcpt;
	ask(q);
}
