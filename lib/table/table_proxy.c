/* SPDX-License-Identifier: MIT */
/*
 * proxy: - the lookup daemon (lookup(8)) opens the table and answers.
 *
 * Where there is no such daemon (commands, a part of the suite alone) the
 * table is opened here. One connection serves all tables of a process; a
 * forked worker makes one of its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/table/table_impl.h"

enum { TIMEOUT = 100 }; /* seconds */

#define SOCKET "private/lookup"

struct proxy {
	struct table *direct; /* or NULL: asks the daemon */
};

static bool always_direct; /* this process is the daemon */
static struct ipc connection;
static pid_t owner; /* of connection; 0: not connected */

/* Daemons work in the queue directory, also inside a chroot. */
static char *
socket_path(void)
{
	struct stat here, queue;

	if (!conf || stat(".", &here) < 0)
		return NULL;
	if (stat(conf->queue_directory, &queue) < 0 ||
	    (here.st_dev == queue.st_dev && here.st_ino == queue.st_ino))
		return mem_strdup(SOCKET);
	return mem_sprintf("%s/%s", conf->queue_directory, SOCKET);
}

void
table_proxy_direct(void)
{
	always_direct = true;
}

static bool
daemon_exists(void)
{
	char *path = socket_path();
	bool yes = path && access(path, R_OK | W_OK) == 0;

	free(path);
	return yes;
}

static bool
connected(void)
{
	char *path;
	bool ok;

	if (owner == getpid())
		return true;
	if (owner)
		ipc_close(&connection);
	owner = 0;
	path = socket_path();
	ok = path && ipc_connect(&connection, path, TIMEOUT);
	if (!ok)
		log_warn("connect to %s: %s", path ? path : SOCKET,
			 path ? strerror(errno) : "no queue directory");
	else
		owner = getpid();
	free(path);
	return ok;
}

static void
disconnect(void)
{
	ipc_close(&connection);
	owner = 0;
}

static bool
open_proxy(struct table *t)
{
	struct proxy *p;
	struct table *direct = NULL;

	if (!strchr(t->name, ':'))
		return table_fail(t,
				  "open dictionary: expecting "
				  "\"type:name\" form instead of \"%s\"",
				  t->name);
	if (always_direct || (t->flags & (TABLE_NO_PROXY | TABLE_WRITE)) ||
	    !daemon_exists()) {
		direct = table_open(t->name, t->flags | TABLE_QUIET);
		if (direct->error) {
			table_fail(t, "%s", direct->error);
			table_free(direct);
			return false;
		}
	}
	p = mem_alloc(sizeof(*p));
	p->direct = direct;
	t->data = p;
	return true;
}

/* One question and its answer; *sent says whether it reached the daemon. */
static enum ipc_status
ask(const struct table *t, struct span key, struct ipc_msg *msg)
{
	enum ipc_status s;

	ipc_begin(&connection, MSG_TABLE_GET);
	ipc_put_cstr(&connection, A_TABLE, t->name);
	ipc_put(&connection, A_KEY, key);
	ipc_put_num(&connection, A_FLAGS, t->flags & ~TABLE_QUIET);
	ipc_end(&connection);
	s = ipc_flush(&connection, TIMEOUT);
	if (s == IPC_OK)
		s = ipc_recv(&connection, msg, TIMEOUT);
	if (s == IPC_OK && msg->fd >= 0)
		close(msg->fd);
	if (s == IPC_OK && msg->type != MSG_TABLE_VALUE)
		s = IPC_BAD;
	return s;
}

static enum table_status
ask_daemon(struct table *t, struct span key, struct buf *value, struct why *why)
{
	/* The daemon may have ended since the last question. */
	for (int tries = 0; tries < 2; tries++) {
		struct ipc_msg msg;
		enum ipc_status s;

		if (!connected())
			return table_retry(why);
		s = ask(t, key, &msg);
		if (s != IPC_OK) {
			disconnect();
			if (s == IPC_EOF || s == IPC_ERROR)
				continue;
			break;
		}
		switch (ipc_num(&msg, A_STATUS, TABLE_RETRY)) {
		case TABLE_FOUND:
			buf_set(value, ipc_get(&msg, A_VALUE));
			return TABLE_FOUND;
		case TABLE_ABSENT:
			return TABLE_ABSENT;
		default:
			log_warn("%s lookup error: %.*s", t->spec,
				 SPAN_ARG(ipc_get(&msg, A_TEXT)));
			return table_retry(why);
		}
	}
	log_warn("%s: no answer from the lookup service", t->spec);
	return table_retry(why);
}

static enum table_status
get_proxy(struct table *t, struct span key, struct buf *value, struct why *why)
{
	const struct proxy *p = t->data;

	if (p->direct)
		return table_get(p->direct, key, value, why);
	return ask_daemon(t, key, value, why);
}

static bool
put_proxy(struct table *t, struct span key, struct span value, struct why *why)
{
	const struct proxy *p = t->data;

	return table_put(p->direct, key, value, why);
}

static enum table_status
delete_proxy(struct table *t, struct span key, struct why *why)
{
	const struct proxy *p = t->data;

	return table_delete(p->direct, key, why);
}

static enum table_status
next_proxy(struct table *t, bool first, struct buf *key, struct buf *value,
	   struct why *why)
{
	const struct proxy *p = t->data;

	if (p->direct)
		return table_next(p->direct, first, key, value, why);
	log_warn("%s: the lookup service lists no tables", t->spec);
	return table_retry(why);
}

static void
close_proxy(struct table *t)
{
	struct proxy *p = t->data;

	table_free(p->direct);
	free(p);
	t->data = NULL;
}

const struct table_type table_type_proxy = {
    .name = "proxy",
    .open = open_proxy,
    .get = get_proxy,
    .close = close_proxy,
    .put = put_proxy,
    .del = delete_proxy,
    .next = next_proxy,
};
