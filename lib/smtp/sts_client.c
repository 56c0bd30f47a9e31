/* SPDX-License-Identifier: MIT */
#include "lib/smtp/sts_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"

static const char service_path[] = "private/mta-sts";

/* A connection that is kept for the next time. A child process must not read
 * its parent's answers, hence the pid. */
struct conn {
	struct ipc ipc;
	bool open;
	pid_t pid;
};

static struct conn asking, telling;
static int64_t last_serial;

static void
conn_close(struct conn *c)
{
	if (c->open)
		ipc_close(&c->ipc);
	c->open = false;
}

static bool
conn_is_usable(struct conn *c)
{
	if (c->open && c->pid != getpid())
		conn_close(c);
	return c->open;
}

/* ---- questions ---- */

void
sts_answer_free(struct sts_answer *a)
{
	strvec_free(&a->mx);
	buf_free(&a->id);
	buf_free(&a->reason);
	*a = (struct sts_answer)STS_ANSWER_INIT;
}

static bool
take_answer(const struct ipc_msg *msg, struct sts_answer *a)
{
	int64_t mode = ipc_num(msg, A_MODE, -1);
	int64_t source = ipc_num(msg, A_STATUS, -1);
	int64_t failure = ipc_num(msg, A_RESULT, -1);

	if (mode < MTA_STS_NONE || mode > MTA_STS_ENFORCE ||
	    source < STS_NO_POLICY || source > STS_FETCHED ||
	    failure < TLSRPT_SUCCESS || failure >= TLSRPT_RESULT_COUNT)
		return false;
	a->mode = (enum mta_sts_mode)mode;
	a->source = (enum sts_source)source;
	a->failure = (enum tlsrpt_result)failure;
	a->ttl = (int)ipc_num(msg, A_TTL, 0);
	a->max_age = ipc_num(msg, A_TIME_LIMIT, 0);
	buf_set(&a->id, ipc_get(msg, A_ID));
	buf_set(&a->reason, ipc_get(msg, A_REASON));
	for (size_t i = 0; i < msg->n; i++)
		if (msg->v[i].attr == A_PATTERN)
			strvec_add_span(&a->mx, msg->v[i].bytes);
	return true;
}

/* Older answers belong to questions that somebody gave up. */
static enum ipc_status
receive(int64_t deadline, struct sts_answer *a)
{
	for (;;) {
		int64_t left = (deadline - io_monotonic() + 999999) / 1000000;
		struct ipc_msg msg;
		enum ipc_status st;

		st = ipc_recv(&asking.ipc, &msg, left > 0 ? (int)left : 0);
		if (st == IPC_ERROR && errno == EINTR)
			continue;
		if (st != IPC_OK)
			return st;
		if (msg.type != MSG_STS_POLICY)
			return IPC_BAD;
		if (ipc_num(&msg, A_SERIAL, -1) == last_serial)
			return take_answer(&msg, a) ? IPC_OK : IPC_BAD;
	}
}

static enum ipc_status
ask_once(const char *domain, int timeout, int64_t deadline,
	 struct sts_answer *a)
{
	enum ipc_status st;

	ipc_begin(&asking.ipc, MSG_STS_QUERY);
	ipc_put_num(&asking.ipc, A_SERIAL, ++last_serial);
	ipc_put_cstr(&asking.ipc, A_NAME, domain);
	ipc_end(&asking.ipc);
	st = ipc_flush(&asking.ipc, timeout);
	return st == IPC_OK ? receive(deadline, a) : st;
}

static const char *
problem(enum ipc_status st)
{
	switch (st) {
	case IPC_TIMEOUT:
		return "no answer in time";
	case IPC_EOF:
		return "the service closed the connection";
	case IPC_BAD:
		return "the service broke the protocol";
	default:
		return strerror(errno);
	}
}

/* Twice, because a connection that was idle may have become stale. */
bool
sts_client_ask(const char *domain, int timeout, struct sts_answer *answer)
{
	int64_t deadline = io_monotonic() + timeout * INT64_C(1000000);
	enum ipc_status st = IPC_ERROR;

	sts_answer_free(answer);
	for (int attempt = 0; attempt < 2; attempt++) {
		if (!conn_is_usable(&asking)) {
			if (!ipc_connect(&asking.ipc, service_path, timeout)) {
				buf_printf(&answer->reason, "connect to %s: %s",
					   service_path, strerror(errno));
				return false;
			}
			asking.open = true;
			asking.pid = getpid();
		}
		st = ask_once(domain, timeout, deadline, answer);
		if (st == IPC_OK)
			return true;
		sts_answer_free(answer);
		buf_printf(&answer->reason, "%s: %s", service_path,
			   problem(st));
		conn_close(&asking);
		if (st == IPC_TIMEOUT)
			break;
	}
	return false;
}

/* ---- results ---- */

/* A listener whose queue is full must not hold up mail. */
static bool
connect_at_once(struct conn *c)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return false;
	memcpy(un.sun_path, service_path, sizeof(service_path));
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) < 0) {
		close(fd);
		return false;
	}
	ipc_init(&c->ipc, fd);
	c->open = true;
	c->pid = getpid();
	return true;
}

static void
put_text(enum msg_attr attr, const char *text)
{
	if (text && text[0])
		ipc_put_cstr(&telling.ipc, attr, text);
}

static void
put_list(enum msg_attr attr, const struct strvec *list)
{
	for (size_t i = 0; list && i < list->n && i < TLSRPT_STRINGS_MAX; i++)
		ipc_put_cstr(&telling.ipc, attr, list->v[i]);
}

static bool
tell(const struct tlsrpt_session *s)
{
	enum ipc_status st;

	if (!conn_is_usable(&telling) && !connect_at_once(&telling))
		return true;
	if (!ipc_pending(&telling.ipc)) {
		ipc_begin(&telling.ipc, MSG_TLS_RESULT);
		ipc_put_cstr(&telling.ipc, A_NAME, s->domain);
		ipc_put_num(&telling.ipc, A_KIND, s->type);
		ipc_put_num(&telling.ipc, A_RESULT, s->result);
		put_text(A_SITE, s->policy_domain);
		put_text(A_REASON, s->reason);
		put_text(A_MTA, s->mx_host);
		put_text(A_CLIENT_ADDR, s->client_addr);
		put_text(A_SERVER_ADDR, s->server_addr);
		put_list(A_RR, s->strings);
		put_list(A_PATTERN, s->mx);
		ipc_end(&telling.ipc);
	}
	st = ipc_push(&telling.ipc);
	if (st == IPC_OK || st == IPC_AGAIN)
		return true;
	conn_close(&telling);
	return false;
}

void
tlsrpt_send(const struct tlsrpt_session *s)
{
	/* Again, when the service had been restarted since the last time. */
	if (!tell(s))
		tell(s);
}
