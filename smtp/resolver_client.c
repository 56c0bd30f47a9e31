/* SPDX-License-Identifier: MIT */
#include "smtp/resolver_client.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/wire.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"
#include "smtp/resolver_lookup.h"

struct ask {
	LIST_ENTRY(ask) next;
	struct client *client;
	struct resolver_waiter *waiter;
	int64_t serial;
	enum dns_type type;
};

struct client {
	struct ipc ipc;
	struct event *readable, *writable;
	LIST_HEAD(, ask) asks;
	size_t n_asks;
	bool in_read; /* on_readable() is on the stack and frees it */
	bool broken;
};

static void
client_free(struct client *c)
{
	struct ask *a;

	while ((a = LIST_FIRST(&c->asks))) {
		LIST_REMOVE(a, next);
		if (a->waiter)
			resolver_lookup_cancel(a->waiter);
		free(a);
	}
	event_free(c->readable);
	event_free(c->writable);
	ipc_close(&c->ipc);
	free(c);
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
		if (c->ipc.out.len <= RESOLVER_CLIENT_OUT_MAX) {
			event_add(c->writable, NULL);
			break;
		}
		log_warn("a client does not read its answers");
		client_drop(c);
		break;
	default:
		client_drop(c);
	}
}

static void
put_answer(struct ipc *ipc, const struct ask *a, const struct dns_answer *ans)
{
	struct buf rr = BUF_INIT;

	ipc_begin(ipc, MSG_DNS_ANSWER);
	ipc_put_num(ipc, A_SERIAL, a->serial);
	ipc_put_num(ipc, A_STATUS, ans->status);
	if (ans->reason.len)
		ipc_put(ipc, A_REASON, buf_span(&ans->reason));
	ipc_put_num(ipc, A_SECURE, ans->secure);
	ipc_put_num(ipc, A_TTL, ans->ttl);
	if (ans->canonical)
		ipc_put_cstr(ipc, A_NAME, ans->canonical);
	for (size_t i = 0; i < ans->n; i++) {
		buf_reset(&rr);
		dns_rr_format(a->type, &ans->rr[i], &rr);
		ipc_put(ipc, A_RR, buf_span(&rr));
	}
	ipc_end(ipc);
	buf_free(&rr);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;
	struct client *c = a->client;

	put_answer(&c->ipc, a, answer);
	LIST_REMOVE(a, next);
	c->n_asks--;
	free(a);
	/* While reading, one write for all that is answered at once. */
	if (!c->in_read)
		client_push(c);
}

static bool
take_query(struct client *c, const struct ipc_msg *msg)
{
	struct resolver_waiter *w;
	struct ask *a;
	char *name;
	int64_t type = ipc_num(msg, A_RRTYPE, 0);

	if (msg->type != MSG_DNS_QUERY || type < 1 || type > 65535 ||
	    c->n_asks >= RESOLVER_CLIENT_ASKS_MAX)
		return false;
	a = mem_alloc(sizeof(*a));
	a->client = c;
	a->serial = ipc_num(msg, A_SERIAL, 0);
	a->type = (enum dns_type)type;
	LIST_INSERT_HEAD(&c->asks, a, next);
	c->n_asks++;
	name = ipc_dup(msg, A_NAME);
	w = resolver_lookup_ask(
	    name, a->type, (unsigned)ipc_num(msg, A_FLAGS, 0), on_answer, a);
	/* NULL: answered, and a is gone. */
	if (w)
		a->waiter = w;
	free(name);
	return true;
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
		if (!take_query(c, &msg))
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
resolver_client_new(struct event_base *base, int fd)
{
	struct client *c = mem_alloc(sizeof(*c));

	io_set_nonblocking(fd, true);
	ipc_init(&c->ipc, fd);
	LIST_INIT(&c->asks);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	event_add(c->readable, NULL);
}
