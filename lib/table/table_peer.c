/* SPDX-License-Identifier: MIT */
#include "lib/table/table_peer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum { READ_SIZE = 4096 };

static bool
look_up(struct table_peer *p)
{
	const char *protocols = conf ? conf->inet_protocols : "all";

	if (!sock_lookup_host(p->host, sock_families(protocols), &p->addrs))
		return false;
	for (size_t i = 0; i < p->addrs.n; i++)
		sock_addr_set_port(&p->addrs.v[i], p->port);
	return true;
}

/* The host may be missing ("this one"), the port not. */
static bool
split(struct table_peer *p, char **error)
{
	const char *colon = strrchr(p->name, ':');
	const char *known = conf ? conf->known_tcp_ports : "";
	const char *host = p->name;
	size_t len;

	if (!colon) {
		*error =
		    mem_sprintf("need host:port instead of \"%s\"", p->name);
		return false;
	}
	len = (size_t)(colon - host);
	if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
		host++;
		len -= 2;
	}
	p->host = len ? mem_strndup(host, len) : mem_strdup("localhost");
	if (sock_port(colon + 1, known, &p->port))
		return true;
	*error = mem_sprintf("unknown service or port: %s", colon + 1);
	return false;
}

struct table_peer *
table_peer_open(bool is_unix, struct span endpoint, char **error)
{
	struct table_peer *p = mem_alloc(sizeof(*p));

	p->fd = -1;
	p->is_unix = is_unix;
	p->name = mem_strndup(endpoint.data, endpoint.len);
	if (!is_unix && !split(p, error)) {
		table_peer_free(p);
		return NULL;
	}
	if (!is_unix)
		look_up(p);
	return p;
}

void
table_peer_disconnect(struct table_peer *p)
{
	int saved = errno;

	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	buf_reset(&p->in);
	errno = saved;
}

void
table_peer_free(struct table_peer *p)
{
	if (!p)
		return;
	table_peer_disconnect(p);
	buf_free(&p->in);
	sock_addrs_free(&p->addrs);
	free(p->name);
	free(p->host);
	free(p);
}

static int
connect_inet(struct table_peer *p)
{
	int fd = -1;

	if (p->addrs.n == 0 && !look_up(p)) {
		log_warn("host or service %s not found", p->name);
		errno = EADDRNOTAVAIL;
		return -1;
	}
	for (size_t i = 0; fd < 0 && i < p->addrs.n; i++)
		fd = sock_connect_inet(&p->addrs.v[i], NULL, p->deadline);
	return fd;
}

static bool
connected(struct table_peer *p)
{
	if (p->fd >= 0 && p->owner != getpid())
		table_peer_disconnect(p);
	if (p->fd >= 0)
		return true;
	p->fd = p->is_unix ? sock_connect_unix(p->name, TABLE_PEER_SECONDS)
			   : connect_inet(p);
	p->owner = getpid();
	if (p->fd < 0)
		return false;
	io_set_nonblocking(p->fd, true);
	return true;
}

/* After EAGAIN. */
static bool
wait_until(struct table_peer *p, int (*ready)(int, int64_t))
{
	int n;

	if (errno != EAGAIN)
		return errno == EINTR;
	do {
		n = ready(p->fd, p->deadline);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n > 0;
}

bool
table_peer_ask(struct table_peer *p, struct span question)
{
	p->deadline = io_monotonic() + TABLE_PEER_SECONDS * 1000000LL;
	if (!connected(p))
		return false;
	buf_reset(&p->in);
	while (question.len) {
		ssize_t n =
		    send(p->fd, question.data, question.len, MSG_NOSIGNAL);

		if (n > 0) {
			question = span_from(question, (size_t)n);
		} else if (!wait_until(p, io_wait_writable)) {
			table_peer_disconnect(p);
			return false;
		}
	}
	return true;
}

bool
table_peer_read(struct table_peer *p)
{
	for (;;) {
		char *at = buf_reserve(&p->in, READ_SIZE);
		ssize_t n = recv(p->fd, at, READ_SIZE, 0);

		if (n > 0) {
			p->in.len += (size_t)n;
			return true;
		}
		if (n == 0)
			errno = 0;
		if (n == 0 || !wait_until(p, io_wait_readable)) {
			table_peer_disconnect(p);
			return false;
		}
	}
}
