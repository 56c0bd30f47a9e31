/* SPDX-License-Identifier: MIT */
#include "lib/dns/dns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/dns/dns_async.h"
#include "lib/dns/name.h"
#include "lib/dns/wire.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"

/* The connection is kept for the next question. A child process must not
 * read its parent's answers, hence the pid. */
static struct {
	struct ipc ipc;
	bool open;
	pid_t pid;
	int64_t serial;
} conn;

void
dns_answer_free(struct dns_answer *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->rr[i].text);
	free(a->rr);
	free(a->canonical);
	buf_free(&a->reason);
	*a = (struct dns_answer)DNS_ANSWER_INIT;
}

static void
conn_close(void)
{
	if (conn.open)
		ipc_close(&conn.ipc);
	conn.open = false;
}

static bool
conn_open(int timeout)
{
	if (conn.open && conn.pid != getpid())
		conn_close();
	if (conn.open)
		return true;
	conn.pid = getpid();
	conn.open = ipc_connect(&conn.ipc, DNS_RESOLVER_PATH, timeout);
	return conn.open;
}

bool
dns_is_reachable(void)
{
	return conn_open(1);
}

void
dns_use(int fd)
{
	conn_close();
	ipc_init(&conn.ipc, fd);
	conn.pid = getpid();
	conn.open = true;
}

static void
send_query(const char *name, enum dns_type type, unsigned flags)
{
	ipc_begin(&conn.ipc, MSG_DNS_QUERY);
	ipc_put_num(&conn.ipc, A_SERIAL, ++conn.serial);
	ipc_put_cstr(&conn.ipc, A_NAME, name);
	ipc_put_num(&conn.ipc, A_RRTYPE, type);
	ipc_put_num(&conn.ipc, A_FLAGS, flags);
	ipc_end(&conn.ipc);
}

void
dns_answer_take(const struct ipc_msg *msg, enum dns_type type,
		struct dns_answer *a)
{
	int64_t status = ipc_num(msg, A_STATUS, DNS_RETRY);

	a->status = status >= DNS_FOUND && status <= DNS_BAD_NAME
			? (enum dns_status)status
			: DNS_RETRY;
	a->secure = ipc_num(msg, A_SECURE, 0) == 1;
	a->ttl = (int)ipc_num(msg, A_TTL, 0);
	a->canonical = ipc_dup(msg, A_NAME);
	buf_set(&a->reason, ipc_get(msg, A_REASON));
	for (size_t i = 0; i < msg->n; i++) {
		struct dns_rr rr;

		if (msg->v[i].attr == A_RR &&
		    dns_rr_parse(type, msg->v[i].bytes, &rr))
			*dns_answer_add(a) = rr;
	}
}

/* Wait for the answer with our serial; older ones belong to questions that
 * somebody gave up. */
static enum ipc_status
receive(enum dns_type type, int64_t deadline, struct dns_answer *a)
{
	for (;;) {
		int64_t left = (deadline - io_monotonic() + 999999) / 1000000;
		struct ipc_msg msg;
		enum ipc_status st;

		st = ipc_recv(&conn.ipc, &msg, left > 0 ? (int)left : 0);
		if (st == IPC_ERROR && errno == EINTR)
			continue;
		if (st != IPC_OK)
			return st;
		if (msg.type != MSG_DNS_ANSWER)
			return IPC_BAD;
		if (ipc_num(&msg, A_SERIAL, -1) != conn.serial)
			continue;
		dns_answer_take(&msg, type, a);
		return IPC_OK;
	}
}

static const char *
ipc_problem(enum ipc_status st)
{
	switch (st) {
	case IPC_TIMEOUT:
		return "no answer from the resolver in time";
	case IPC_EOF:
		return "the resolver closed the connection";
	case IPC_BAD:
		return "the resolver broke the protocol";
	default:
		return strerror(errno);
	}
}

/* Twice, because a connection that was idle may have become stale. */
static void
ask(const char *name, enum dns_type type, unsigned flags, int timeout,
    struct dns_answer *a)
{
	int64_t deadline = io_monotonic() + timeout * INT64_C(1000000);
	enum ipc_status st = IPC_ERROR;

	for (int attempt = 0; attempt < 2; attempt++) {
		if (!conn_open(timeout)) {
			buf_printf(&a->reason, "connect to %s: %s",
				   DNS_RESOLVER_PATH, strerror(errno));
			return;
		}
		send_query(name, type, flags);
		st = ipc_flush(&conn.ipc, timeout);
		if (st == IPC_OK)
			st = receive(type, deadline, a);
		if (st == IPC_OK)
			return;
		if (st == IPC_TIMEOUT) {
			/* Half a question cannot be taken back. */
			if (ipc_pending(&conn.ipc))
				conn_close();
			break;
		}
		buf_set_cstr(&a->reason, ipc_problem(st));
		conn_close();
	}
	if (a->reason.len == 0)
		buf_set_cstr(&a->reason, ipc_problem(st));
}

/* What the resolver is asked for; false: it cannot be a name. */
static bool
prepare_name(const char *name, enum dns_type type, struct buf *out)
{
	unsigned char addr[16];

	if (type != DNS_PTR)
		return dns_name_to_ascii(span_of(name), out);
	buf_append_cstr(out, name);
	return inet_pton(AF_INET, name, addr) == 1 ||
	       inet_pton(AF_INET6, name, addr) == 1;
}

enum dns_status
dns_query(const char *name, enum dns_type type, unsigned flags, int timeout,
	  struct dns_answer *answer)
{
	struct buf ascii = BUF_INIT;

	dns_answer_free(answer);
	answer->status = DNS_RETRY;
	if (timeout < 1)
		timeout = 1;
	if (prepare_name(name, type, &ascii))
		ask(buf_cstr(&ascii), type, flags, timeout, answer);
	else
		answer->status = DNS_BAD_NAME;
	if (answer->status == DNS_BAD_NAME && answer->reason.len == 0)
		buf_set_cstr(&answer->reason, "Invalid host or domain name");
	buf_free(&ascii);
	if (log_verbose())
		log_debug("dns: %s %s: status %d, %zu records%s%s",
			  dns_type_name(type), name, (int)answer->status,
			  answer->n, answer->reason.len ? ": " : "",
			  buf_cstr(&answer->reason));
	return answer->status;
}
