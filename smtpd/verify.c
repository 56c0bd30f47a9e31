/* SPDX-License-Identifier: MIT */
/* verify - which addresses can be delivered to (verify(8)). */
#include "smtpd/verify.h"

#include <event2/event.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/route/route.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"

enum {
	USEC = 1000000,
	PROBE_SECONDS = 1000, /* a probe that is older is lost */
	OUT_MAX = 256 * 1024, /* answers that a client does not read */
	CLIENTS_MAX = 5000,
};

struct client {
	LIST_ENTRY(client) next;
	struct ipc ipc;
	struct event *readable, *writable;
};

static LIST_HEAD(client_list, client) clients = LIST_HEAD_INITIALIZER(clients);
static size_t n_clients;
static struct event *clean_event;

/* ---- questions ---- */

static int64_t
now_seconds(void)
{
	return io_now() / USEC;
}

static void
answer(struct ipc *ipc, const struct verify_entry *e)
{
	ipc_begin(ipc, MSG_VERIFY_STATUS);
	ipc_put_num(ipc, A_STATUS, e->status);
	ipc_put(ipc, A_TEXT, buf_span(&e->text));
	ipc_end(ipc);
}

static void
forget(struct verify_entry *e)
{
	buf_free(&e->text);
	*e = (struct verify_entry)VERIFY_ENTRY_INIT;
}

static void
query(struct ipc *ipc, struct span address)
{
	struct verify_entry e = VERIFY_ENTRY_INIT;
	int64_t now = now_seconds();
	bool failed;

	if (!verify_cache_get(address, &e) || verify_entry_expired(&e, now))
		forget(&e);
	failed = e.updated && e.status != VERIFY_OK;
	answer(ipc, &e);
	if ((e.updated == 0 || verify_entry_stale(&e, now)) &&
	    now - e.probed > PROBE_SECONDS) {
		e.probed = now;
		verify_cache_put(address, &e);
		verify_probe_send(address);
	} else if (failed && !conf->address_verify_negative_cache) {
		/* It was told once, to whom it was probed for. */
		verify_cache_delete(address);
	}
	buf_free(&e.text);
}

static void
update(struct span address, int64_t status, struct span text)
{
	struct verify_entry e = VERIFY_ENTRY_INIT;
	int64_t now = now_seconds();

	if (status < VERIFY_OK || status > VERIFY_BOUNCE) {
		log_warn("bad recipient status %lld for recipient %.*s",
			 (long long)status, SPAN_ARG(address));
		return;
	}
	if (text.len > VERIFY_TEXT_MAX)
		text.len = VERIFY_TEXT_MAX;
	/* A good address stays good until it expires: one failed probe, by
	 * a host that is down, must not lock it out. */
	if (status != VERIFY_OK && verify_cache_get(address, &e) && e.updated &&
	    e.status == VERIFY_OK && !verify_entry_expired(&e, now)) {
		buf_free(&e.text);
		return;
	}
	e.status = (enum verify_status)status;
	e.probed = 0;
	e.updated = now;
	buf_set(&e.text, text);
	verify_cache_put(address, &e);
	buf_free(&e.text);
}

/* ---- clients ---- */

static void
client_free(struct client *c)
{
	LIST_REMOVE(c, next);
	n_clients--;
	event_free(c->readable);
	event_free(c->writable);
	ipc_close(&c->ipc);
	free(c);
}

static bool
handle(struct client *c, const struct ipc_msg *m)
{
	if (m->fd >= 0) {
		close(m->fd);
		return false;
	}
	if (m->type == MSG_VERIFY_QUERY) {
		query(&c->ipc, ipc_get(m, A_RECIPIENT));
		return c->ipc.out.len < OUT_MAX;
	}
	if (m->type != MSG_VERIFY_UPDATE)
		return false;
	update(ipc_get(m, A_RECIPIENT), ipc_num(m, A_STATUS, -1),
	       ipc_get(m, A_TEXT));
	return true;
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;

	(void)fd;
	(void)what;
	switch (ipc_push(&c->ipc)) {
	case IPC_OK:
		break;
	case IPC_AGAIN:
		event_add(c->writable, NULL);
		break;
	default:
		client_free(c);
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	enum ipc_status st = ipc_fill(&c->ipc);
	struct ipc_msg m;

	(void)fd;
	(void)what;
	if (st == IPC_OK)
		while ((st = ipc_next(&c->ipc, &m)) == IPC_OK)
			if (!handle(c, &m)) {
				st = IPC_BAD;
				break;
			}
	if (st == IPC_BAD)
		log_warn("bad request");
	if (st != IPC_AGAIN && st != IPC_OK)
		client_free(c);
	else if (ipc_pending(&c->ipc))
		on_writable(c->ipc.fd, EV_WRITE, c);
}

static void
accept_client(int fd)
{
	struct event_base *base = service_event_base();
	struct client *c;

	if (n_clients >= CLIENTS_MAX) {
		close(fd);
		return;
	}
	c = mem_alloc(sizeof(*c));
	ipc_init(&c->ipc, fd);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	c->writable = event_new(base, fd, EV_WRITE, on_writable, c);
	event_add(c->readable, NULL);
	LIST_INSERT_HEAD(&clients, c, next);
	n_clients++;
}

/* ---- the service ---- */

static void
on_clean(evutil_socket_t fd, short what, void *arg)
{
	static bool under_way;
	struct timeval soon = {0, 10000}, later = {0, 0};

	(void)fd;
	(void)what;
	(void)arg;
	under_way = verify_cache_clean(!under_way, now_seconds());
	later.tv_sec = conf->address_verify_cache_cleanup_interval / USEC;
	event_add(clean_event, under_way ? &soon : &later);
}

static void
start(struct event_base *base)
{
	struct timeval now = {0, 0};

	if (conf->address_verify_cache_cleanup_interval <= 0)
		return;
	clean_event = event_new(base, -1, 0, on_clean, NULL);
	event_add(clean_event, &now);
}

static void
stop(void)
{
	verify_cache_close();
	service_exit(0);
}

/* The file is made by the mail owner, also where this process is about to be
 * locked up without data_directory. */
static void
open_cache(void)
{
	const struct passwd *pw =
	    geteuid() == 0 ? getpwnam(conf->mail_owner) : NULL;

	if (pw && (setegid(pw->pw_gid) < 0 || seteuid(pw->pw_uid) < 0))
		log_fatal("cannot become %s: %m", conf->mail_owner);
	verify_cache_open();
	if (pw && (seteuid(0) < 0 || setegid(getgid()) < 0))
		log_fatal("cannot become root again: %m");
}

static void
init(void)
{
	open_cache();
	route_open_for_probes();
	cleanup_open();
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "verify",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = init,
	    .event_client = accept_client,
	    .event_start = start,
	    .event_stop = stop,
	};

	return service_main(argc, argv, &def);
}
