/* SPDX-License-Identifier: MIT */
/*
 * lookup - routes and look-up tables for processes that have none of their
 * own. See lookup(8).
 */
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/route/route.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "lib/table/table.h"

enum {
	TABLES_MAX = 1000,
	CHECK_USEC = 1000000,
	OUT_MAX = 4 * 1024 * 1024, /* answers that a client does not read */
	/* What a client may ask of a table. */
	CLIENT_FLAGS = TABLE_FOLD_FIXED | TABLE_FOLD_REGEX | TABLE_NO_REGSUB |
		       TABLE_FULL_KEY | TABLE_UTF8 | TABLE_BASE64,
};

struct client {
	LIST_ENTRY(client) next;
	struct ipc ipc;
	struct event *readable, *writable;
};

static LIST_HEAD(client_list, client) clients = LIST_HEAD_INITIALIZER(clients);
static struct strvec approved; /* names behind "proxy:" */
static struct htab *tables;    /* "flags name" to struct table */
static bool ending;

/* ---- routes ---- */

static void
put_route(struct ipc *ipc, const struct route *r)
{
	ipc_begin(ipc, MSG_ROUTE);
	ipc_put_num(ipc, A_STATUS, 0);
	ipc_put_num(ipc, A_CLASS, r->class);
	ipc_put(ipc, A_TRANSPORT, buf_span(&r->transport));
	ipc_put(ipc, A_NEXTHOP, buf_span(&r->nexthop));
	ipc_put(ipc, A_RECIPIENT, buf_span(&r->recipient));
	ipc_end(ipc);
}

static void
put_no_route(struct ipc *ipc, const struct why *why)
{
	ipc_begin(ipc, MSG_ROUTE);
	ipc_put_num(ipc, A_STATUS, 1);
	ipc_put_cstr(ipc, A_DSN, why_is_set(why) ? why->dsn : "4.3.0");
	ipc_put(ipc, A_TEXT, buf_span(&why->text));
	ipc_end(ipc);
}

static void
answer_resolve(struct ipc *ipc, const struct ipc_msg *msg)
{
	struct route route = ROUTE_INIT;
	struct why why = WHY_INIT;

	if (route_resolve(ipc_get(msg, A_SENDER), ipc_get(msg, A_RECIPIENT),
			  &route, &why))
		put_route(ipc, &route);
	else
		put_no_route(ipc, &why);
	route_free(&route);
	why_free(&why);
}

/* ---- tables ---- */

/* The tables that proxy_read_maps names: "proxy:type:name". */
static void
read_approved(void)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, span_of(conf->proxy_read_maps), " \t\r\n,", false);
	for (size_t i = 0; i < words.n; i++) {
		const char *name = words.v[i];

		while (!strncmp(name, "proxy:", 6))
			name += 6;
		if (name != words.v[i] && !strvec_has(&approved, name))
			strvec_add(&approved, name);
	}
	strvec_free(&words);
}

/* Close those that changed; who asks for one opens it again. */
static void
close_changed(void)
{
	size_t pos = 0;
	struct span key;
	void *t;

	while (htab_next(tables, &pos, &key, &t)) {
		if (!table_changed(t))
			continue;
		htab_remove(tables, key);
		table_free(t);
	}
}

static struct table *
find_table(const char *name, unsigned flags)
{
	char *key = mem_sprintf("%u %s", flags, name);
	struct table *t = htab_get(tables, span_of(key));

	if (!t && htab_count(tables) < TABLES_MAX) {
		t = table_open(name, flags | TABLE_NO_PROXY);
		htab_put(tables, span_of(key), t);
	}
	free(key);
	return t;
}

static void
put_value(struct ipc *ipc, enum table_status st, const struct buf *value,
	  const struct why *why)
{
	ipc_begin(ipc, MSG_TABLE_VALUE);
	ipc_put_num(ipc, A_STATUS, st);
	if (st == TABLE_FOUND)
		ipc_put(ipc, A_VALUE, buf_span(value));
	if (st == TABLE_RETRY) {
		ipc_put_cstr(ipc, A_DSN, why_is_set(why) ? why->dsn : "4.3.0");
		ipc_put(ipc, A_TEXT, buf_span(&why->text));
	}
	ipc_end(ipc);
}

static enum table_status
get_value(const char *name, const struct ipc_msg *msg, struct buf *value,
	  struct why *why)
{
	struct table *t;

	if (!strvec_has(&approved, name)) {
		log_warn("request for unapproved table: \"%s\"", name);
		log_warn("to approve this table for read-only access, list "
			 "proxy:%s in main.cf:proxy_read_maps",
			 name);
		why_set(why, "4.3.0",
			"lookup service is not configured for table \"%s\"",
			name);
		return TABLE_RETRY;
	}
	t = find_table(name, (unsigned)ipc_num(msg, A_FLAGS, 0) & CLIENT_FLAGS);
	if (!t) {
		why_set(why, "4.3.0", "too many tables are open");
		return TABLE_RETRY;
	}
	return table_get(t, ipc_get(msg, A_KEY), value, why);
}

static void
answer_table(struct ipc *ipc, const struct ipc_msg *msg)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	char *name = ipc_dup(msg, A_TABLE);
	enum table_status st = get_value(name, msg, &value, &why);

	put_value(ipc, st, &value, &why);
	free(name);
	buf_free(&value);
	why_free(&why);
}

/* ---- clients ---- */

static void
client_free(struct client *c)
{
	LIST_REMOVE(c, next);
	event_free(c->readable);
	event_free(c->writable);
	ipc_close(&c->ipc);
	free(c);
}

/* false: the client is gone. */
static bool
client_push(struct client *c)
{
	enum ipc_status st = ipc_push(&c->ipc);

	if (st == IPC_AGAIN && c->ipc.out.len <= OUT_MAX) {
		event_add(c->writable, NULL);
		return true;
	}
	if (st == IPC_OK)
		return true;
	if (st == IPC_AGAIN)
		log_warn("a client does not read its answers");
	client_free(c);
	return false;
}

static bool
answer(struct client *c, const struct ipc_msg *msg)
{
	if (msg->type == MSG_RESOLVE)
		answer_resolve(&c->ipc, msg);
	else if (msg->type == MSG_TABLE_GET)
		answer_table(&c->ipc, msg);
	else
		return false;
	return true;
}

/* Answer what a client has sent. false: the client is gone. */
static bool
client_serve(struct client *c)
{
	enum ipc_status st = ipc_fill(&c->ipc);
	struct ipc_msg msg;

	if (st == IPC_AGAIN)
		return true;
	while (st == IPC_OK && (st = ipc_next(&c->ipc, &msg)) == IPC_OK)
		if (!answer(c, &msg))
			st = IPC_BAD;
	if (st == IPC_AGAIN)
		return client_push(c);
	if (st == IPC_BAD)
		log_warn("bad request from a client");
	client_free(c);
	return false;
}

/* When this process is to end: not before all questions that were sent are
 * answered. */
static void
end_when_idle(void)
{
	struct client *c, *next;

	if (!ending)
		return;
	for (c = LIST_FIRST(&clients); c; c = next) {
		next = LIST_NEXT(c, next);
		if (client_serve(c) && ipc_pending(&c->ipc))
			return;
	}
	service_exit(0);
}

/*
 * Once a second. Routing tables were opened with privileges that are gone:
 * when they change, master starts this service again.
 */
static void
check_tables(void)
{
	static int64_t last;
	int64_t now = io_monotonic();

	if (ending || (last && now - last < CHECK_USEC))
		return;
	last = now;
	close_changed();
	if (!maps_any_changed())
		return;
	log_info("table changed -- restarting");
	ending = true;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	check_tables();
	client_serve(arg);
	end_when_idle();
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	client_push(arg);
	end_when_idle();
}

static void
lookup_client(int fd)
{
	struct client *c = mem_alloc(sizeof(*c));
	struct event_base *base = service_event_base();

	io_set_nonblocking(fd, true);
	ipc_init(&c->ipc, fd);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	event_add(c->readable, NULL);
	LIST_INSERT_HEAD(&clients, c, next);
}

static void
lookup_init(void)
{
	table_proxy_direct();
	tables = htab_new();
	read_approved();
	route_open();
}

static void
lookup_stop(void)
{
	ending = true;
	end_when_idle();
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "lookup",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = lookup_init,
	    .event_client = lookup_client,
	    .event_stop = lookup_stop,
	};

	return service_main(argc, argv, &def);
}
