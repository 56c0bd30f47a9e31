/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_notify.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum {
	RETRY_USEC = 1000000,
	KEEP_MEMORY = 4096,
	BACKLOG_MAX = 64 * 1024, /* bytes that a slow qmgr may leave unread */
};

void
queue_notify_init(struct queue_notify *n)
{
	*n = (struct queue_notify){0};
	n->link.fd = -1;
}

void
queue_notify_close(struct queue_notify *n)
{
	if (n->connected)
		ipc_close(&n->link);
	n->connected = false;
}

static void
manager_path(struct buf *path)
{
	buf_printf(path, "public/%s", conf->queue_service_name);
}

bool
queue_manager_connect(struct ipc *c, int timeout)
{
	struct buf path = BUF_INIT;
	bool ok;

	manager_path(&path);
	ok = ipc_connect(c, buf_cstr(&path), timeout);
	buf_free(&path);
	return ok;
}

/* Not even a full backlog is waited for. */
static int
connect_now(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct buf path = BUF_INIT;
	int fd;

	manager_path(&path);
	if (path.len >= sizeof(sa.sun_path)) {
		buf_free(&path);
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sa.sun_path, buf_cstr(&path), path.len);
	buf_free(&path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static bool
connect_to_qmgr(struct queue_notify *n)
{
	int64_t now;
	int fd;

	if (n->connected)
		return true;
	now = io_monotonic();
	if (now < n->next_try)
		return false;
	n->next_try = now + RETRY_USEC;
	fd = connect_now();
	if (fd < 0)
		return false;
	ipc_init(&n->link, fd);
	n->connected = true;
	return true;
}

/* false: the connection is of no use. */
static bool
send_enqueued(struct queue_notify *n, const char *id, const char *segment,
	      int64_t offset, int64_t length)
{
	struct ipc *c = &n->link;
	enum ipc_status st;

	ipc_begin(c, MSG_ENQUEUED);
	ipc_put_cstr(c, A_QUEUE_ID, id);
	ipc_put_cstr(c, A_SEGMENT, segment);
	ipc_put_num(c, A_OFFSET, offset);
	ipc_put_num(c, A_LENGTH, length);
	ipc_end(c);
	st = ipc_push(c);
	if (c->out.len == 0 && c->out.cap > KEEP_MEMORY)
		buf_free(&c->out);
	return st == IPC_OK || (st == IPC_AGAIN && c->out.len < BACKLOG_MAX);
}

void
queue_notify_enqueued(struct queue_notify *n, const char *id,
		      const char *segment, int64_t offset, int64_t length)
{
	int saved = errno;

	/* Twice: a qmgr that was restarted has closed the old connection. */
	for (int i = 0; i < 2 && connect_to_qmgr(n); i++) {
		if (send_enqueued(n, id, segment, offset, length)) {
			/* A connection that breaks later may be renewed at
			 * once, one that never worked not. */
			n->next_try = 0;
			break;
		}
		queue_notify_close(n);
	}
	errno = saved;
}
