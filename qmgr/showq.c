/* SPDX-License-Identifier: MIT */
/*
 * showq - list the queue to whoever connects to public/showq (showq(8)).
 *
 * Reads the queue without a lock; qmgr is asked which messages it is working
 * on. It takes no input from the client.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_notify.h"
#include "lib/queue/showq_proto.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"

enum {
	QMGR_SECONDS = 10,
	SEND_AT = 32 * 1024, /* bytes gathered per write */
};

struct listing {
	int fd;
	struct buf out;
	struct htab *active; /* ids; the value only says that it is there */
	bool broken;         /* nobody reads any more */
};

/* ---- what qmgr has in hand ---- */

static void
add_active(struct htab *active, const struct ipc_msg *msg)
{
	static char there;

	for (size_t i = 0; i < msg->n; i++)
		if (msg->v[i].attr == A_QUEUE_ID)
			htab_put(active, msg->v[i].bytes, &there);
}

/* Without qmgr nothing is active. */
static struct htab *
ask_qmgr(void)
{
	struct htab *active = htab_new();
	struct ipc c;
	struct ipc_msg msg;

	if (!queue_manager_connect(&c, QMGR_SECONDS))
		return active;
	ipc_begin(&c, MSG_LIST_ACTIVE);
	ipc_end(&c);
	if (ipc_flush(&c, QMGR_SECONDS) == IPC_OK)
		while (ipc_recv(&c, &msg, QMGR_SECONDS) == IPC_OK &&
		       msg.type == MSG_ACTIVE)
			add_active(active, &msg);
	ipc_close(&c);
	return active;
}

/* ---- the client ---- */

/* false: the client is gone, or too slow. */
static bool
send_out(struct listing *ls)
{
	const char *p = ls->out.data;
	size_t left = ls->out.len;

	while (left) {
		ssize_t n = send(ls->fd, p, left, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			p += n;
			left -= (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
		    io_wait_writable(ls->fd,
				     io_monotonic() + conf->ipc_timeout) == 0) {
			ls->broken = true;
			return false;
		}
	}
	buf_reset(&ls->out);
	return true;
}

static bool
list_one(void *arg, const struct queue_listing *l)
{
	struct listing *ls = arg;

	showq_put_message(&ls->out, l,
			  htab_get(ls->active, span_of(l->id)) != NULL);
	return ls->out.len < SEND_AT || send_out(ls);
}

static void
serve(int fd)
{
	struct listing ls = {.fd = fd};

	ls.active = ask_qmgr();
	showq_put_greeting(&ls.out);
	if (queue_list(NULL, list_one, &ls))
		showq_put_end(&ls.out);
	else
		log_warn("the queue cannot be read: %m");
	if (!ls.broken)
		send_out(&ls);
	buf_free(&ls.out);
	htab_free(ls.active, NULL);
}

static const struct service showq = {
    .name = "showq",
    .model = SERVICE_SESSIONS,
    .serve = serve,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &showq);
}
