/* SPDX-License-Identifier: MIT */
#include "lib/dns/dns_async.h"

#include <event2/event.h>
#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"

struct dns_ask {
	int64_t serial;
	enum dns_type type;
	dns_ask_fn fn;
	void *arg;
	struct event *timer;
	const char *trouble; /* what the timer is to report */
};

/* One connection for all questions of the process. */
static struct {
	struct ipc ipc;
	bool connected;
	struct event *readable, *writable;
	struct htab *asks; /* by serial */
	int64_t serial;
} conn;

static struct span
key_of(const int64_t *serial)
{
	return span_make((const char *)serial, sizeof(*serial));
}

void
dns_ask_cancel(struct dns_ask **askp)
{
	struct dns_ask *ask = *askp;

	*askp = NULL;
	if (!ask)
		return;
	htab_remove(conn.asks, key_of(&ask->serial));
	event_free(ask->timer);
	free(ask);
}

static void
finish(struct dns_ask *ask, const struct dns_answer *answer)
{
	dns_ask_fn fn = ask->fn;
	void *arg = ask->arg;

	dns_ask_cancel(&ask);
	fn(arg, answer);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dns_ask *ask = arg;
	struct dns_answer a = DNS_ANSWER_INIT;

	(void)fd;
	(void)what;
	a.status = DNS_RETRY;
	buf_set_cstr(&a.reason, ask->trouble);
	finish(ask, &a);
	dns_answer_free(&a);
}

/* The callback is not for now: the caller is still at work. */
static void
fail_soon(struct dns_ask *ask, const char *trouble)
{
	struct timeval now = {0, 0};

	ask->trouble = trouble;
	event_add(ask->timer, &now);
}

static void
disconnect(void)
{
	size_t pos = 0;
	struct span key;
	void *value;

	if (!conn.connected)
		return;
	conn.connected = false;
	event_free(conn.readable);
	event_free(conn.writable);
	ipc_close(&conn.ipc);
	while (htab_next(conn.asks, &pos, &key, &value))
		fail_soon(value, "the resolver closed the connection");
}

static void
push(void)
{
	switch (ipc_push(&conn.ipc)) {
	case IPC_OK:
		break;
	case IPC_AGAIN:
		event_add(conn.writable, NULL);
		break;
	default:
		disconnect();
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	push();
}

static void
take(const struct ipc_msg *msg)
{
	int64_t serial = ipc_num(msg, A_SERIAL, -1);
	struct dns_ask *ask = htab_get(conn.asks, key_of(&serial));
	struct dns_answer a = DNS_ANSWER_INIT;

	if (msg->type != MSG_DNS_ANSWER || !ask)
		return;
	dns_answer_take(msg, ask->type, &a);
	finish(ask, &a);
	dns_answer_free(&a);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	enum ipc_status st = ipc_fill(&conn.ipc);
	struct ipc_msg msg;

	(void)fd;
	(void)what;
	(void)arg;
	if (st == IPC_AGAIN)
		return;
	/* A callback may ask again, and lose the connection over it. */
	while (st == IPC_OK && conn.connected) {
		st = ipc_next(&conn.ipc, &msg);
		if (st == IPC_OK)
			take(&msg);
	}
	if (st != IPC_AGAIN && conn.connected)
		disconnect();
}

static bool
connect_resolver(struct event_base *base)
{
	if (conn.connected)
		return true;
	if (!ipc_connect(&conn.ipc, DNS_RESOLVER_PATH, 1))
		return false;
	io_set_nonblocking(conn.ipc.fd, true);
	conn.readable = event_new(base, conn.ipc.fd, EV_READ | EV_PERSIST,
				  on_readable, NULL);
	conn.writable =
	    event_new(base, conn.ipc.fd, EV_WRITE, on_writable, NULL);
	event_add(conn.readable, NULL);
	conn.connected = true;
	return true;
}

struct dns_ask *
dns_ask(struct event_base *base, const char *name, enum dns_type type,
	dns_ask_fn fn, void *arg)
{
	struct timeval limit = {DNS_ASK_SECONDS, 0};
	struct dns_ask *ask = mem_alloc(sizeof(*ask));

	if (!conn.asks)
		conn.asks = htab_new();
	*ask = (struct dns_ask){
	    .serial = ++conn.serial,
	    .type = type,
	    .fn = fn,
	    .arg = arg,
	    .trouble = "no answer from the resolver in time",
	};
	ask->timer = event_new(base, -1, 0, on_timer, ask);
	htab_put(conn.asks, key_of(&ask->serial), ask);
	if (!connect_resolver(base)) {
		fail_soon(ask, "the resolver cannot be reached");
		return ask;
	}
	event_add(ask->timer, &limit);
	ipc_begin(&conn.ipc, MSG_DNS_QUERY);
	ipc_put_num(&conn.ipc, A_SERIAL, ask->serial);
	ipc_put_cstr(&conn.ipc, A_NAME, name);
	ipc_put_num(&conn.ipc, A_RRTYPE, type);
	ipc_end(&conn.ipc);
	push();
	return ask;
}
