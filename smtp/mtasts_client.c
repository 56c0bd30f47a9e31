/* SPDX-License-Identifier: MIT */
#include "smtp/mtasts_client.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/ipc/ipc.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "smtp/mtasts_policy.h"
#include "smtp/mtasts_report.h"

struct ask {
	LIST_ENTRY(ask) next;
	struct client *client;
	struct mtasts_waiter *waiter;
	int64_t serial;
};

struct client {
	struct ipc ipc;
	struct event *readable, *writable;
	LIST_HEAD(, ask) asks;
	size_t n_asks;
	bool in_read; /* on_readable() is on the stack and frees it */
	bool broken;
};

static size_t n_clients;

static void
client_free(struct client *c)
{
	struct ask *a;

	while ((a = LIST_FIRST(&c->asks))) {
		LIST_REMOVE(a, next);
		if (a->waiter)
			mtasts_policy_cancel(a->waiter);
		free(a);
	}
	event_free(c->readable);
	event_free(c->writable);
	ipc_close(&c->ipc);
	free(c);
	n_clients--;
}

/* End the connection: at once, or when the function that uses it returns. */
static void
client_drop(struct client *c)
{
	c->broken = true;
	if (!c->in_read)
		client_free(c);
}

static void
client_push(struct client *c)
{
	switch (ipc_push(&c->ipc)) {
	case IPC_OK:
		break;
	case IPC_AGAIN:
		if (c->ipc.out.len <= MTASTS_CLIENT_OUT_MAX)
			event_add(c->writable, NULL);
		else
			client_drop(c);
		break;
	default:
		client_drop(c);
	}
}

static void
on_answer(void *arg, const struct sts_answer *answer)
{
	struct ask *a = arg;
	struct client *c = a->client;
	struct ipc *ipc = &c->ipc;

	ipc_begin(ipc, MSG_STS_POLICY);
	ipc_put_num(ipc, A_SERIAL, a->serial);
	ipc_put_num(ipc, A_MODE, answer->mode);
	ipc_put_num(ipc, A_STATUS, answer->source);
	ipc_put_num(ipc, A_RESULT, answer->failure);
	ipc_put_num(ipc, A_TTL, answer->ttl);
	ipc_put_num(ipc, A_TIME_LIMIT, answer->max_age);
	ipc_put(ipc, A_ID, buf_span(&answer->id));
	ipc_put(ipc, A_REASON, buf_span(&answer->reason));
	for (size_t i = 0; i < answer->mx.n; i++)
		ipc_put_cstr(ipc, A_PATTERN, answer->mx.v[i]);
	ipc_end(ipc);
	LIST_REMOVE(a, next);
	c->n_asks--;
	free(a);
	if (!c->in_read)
		client_push(c);
}

static bool
take_query(struct client *c, const struct ipc_msg *msg)
{
	struct mtasts_waiter *w;
	struct ask *a;

	if (c->n_asks >= MTASTS_CLIENT_ASKS_MAX)
		return false;
	a = mem_alloc(sizeof(*a));
	a->client = c;
	a->serial = ipc_num(msg, A_SERIAL, 0);
	LIST_INSERT_HEAD(&c->asks, a, next);
	c->n_asks++;
	w = mtasts_policy_ask(ipc_get(msg, A_NAME), on_answer, a);
	/* NULL: answered, and a is gone. */
	if (w)
		a->waiter = w;
	return true;
}

static bool
handle(struct client *c, const struct ipc_msg *msg)
{
	switch (msg->type) {
	case MSG_STS_QUERY:
		return take_query(c, msg);
	case MSG_TLS_RESULT:
		mtasts_report_take(msg);
		return true;
	default:
		if (msg->fd >= 0)
			close(msg->fd);
		return false;
	}
}

static void
client_read(struct client *c)
{
	enum ipc_status st = ipc_fill(&c->ipc);
	struct ipc_msg msg;

	if (st == IPC_AGAIN)
		return;
	if (st != IPC_OK) {
		c->broken = true;
		return;
	}
	while (!c->broken && (st = ipc_next(&c->ipc, &msg)) == IPC_OK)
		if (!handle(c, &msg))
			c->broken = true;
	if (st == IPC_BAD || c->broken) {
		log_warn("bad request from a client");
		c->broken = true;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	c->in_read = true;
	client_read(c);
	if (!c->broken && ipc_pending(&c->ipc))
		client_push(c);
	c->in_read = false;
	if (c->broken)
		client_free(c);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_push(arg);
}

void
mtasts_client_new(int fd)
{
	struct event_base *base = service_event_base();
	struct client *c;

	if (n_clients >= MTASTS_CLIENTS_MAX) {
		close(fd);
		return;
	}
	n_clients++;
	c = mem_alloc(sizeof(*c));
	io_set_nonblocking(fd, true);
	ipc_init(&c->ipc, fd);
	LIST_INIT(&c->asks);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	event_add(c->readable, NULL);
}
