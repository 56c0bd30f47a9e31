/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/milter/milter_proto.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"

enum { READ_SIZE = 16 * 1024 };

/* ---- connecting ---- */

static void
add_addresses(struct sock_addrs *to, const struct milter_spec *spec,
	      enum dns_type type, struct buf *error)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	int seconds = (int)((spec->connect_timeout + 999999) / 1000000);

	if (dns_query(spec->host, type, DNS_HOSTS, seconds, &a) == DNS_RETRY &&
	    error->len == 0)
		buf_append_span(error, buf_span(&a.reason));
	for (size_t i = 0; i < a.n; i++) {
		struct sock_addr addr;

		if (sock_addr_parse(a.rr[i].text, spec->port, &addr))
			sock_addrs_add(to, &addr);
	}
	dns_answer_free(&a);
}

static int
open_inet(const struct milter_spec *spec, int64_t deadline, struct buf *error)
{
	struct sock_addrs addrs = {NULL, 0};
	unsigned families = sock_families(conf->inet_protocols);
	struct sock_addr addr;
	int fd = -1, err = 0;

	if (sock_addr_parse(spec->host, spec->port, &addr)) {
		sock_addrs_add(&addrs, &addr);
	} else {
		if (families & SOCK_IPV4)
			add_addresses(&addrs, spec, DNS_A, error);
		if (families & SOCK_IPV6)
			add_addresses(&addrs, spec, DNS_AAAA, error);
	}
	for (size_t i = 0; i < addrs.n && fd < 0; i++) {
		fd = sock_connect_inet(&addrs.v[i], NULL, deadline);
		err = errno;
	}
	if (addrs.n)
		buf_reset(error);
	else if (error->len == 0)
		buf_append_cstr(error, "Host not found");
	sock_addrs_free(&addrs);
	/* A packet is answered before the next one goes. */
	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1},
			   sizeof(int));
	errno = err;
	return fd;
}

static int
open_unix(const struct milter_spec *spec, int64_t deadline)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	size_t len = strlen(spec->path);
	int fd, err;

	if (len >= sizeof(sun.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(sun.sun_path, spec->path, len);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* EAGAIN: its backlog is full, and nothing tells when it is not. */
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		err = errno;
		if (err == EAGAIN && io_monotonic() < deadline) {
			usleep(10000);
			continue;
		}
		close(fd);
		errno = err == EAGAIN ? ETIMEDOUT : err;
		return -1;
	}
	return fd;
}

bool
milter_conn_open(struct milter_conn *c, const struct milter_spec *spec)
{
	int64_t deadline = io_monotonic() + spec->connect_timeout;

	buf_reset(&c->error);
	buf_reset(&c->in);
	c->used = 0;
	if (spec->path)
		c->fd = open_unix(spec, deadline);
	else
		c->fd = open_inet(spec, deadline, &c->error);
	if (c->fd >= 0) {
		io_set_nonblocking(c->fd, true);
		return true;
	}
	if (c->error.len == 0)
		buf_printf(&c->error, "%m");
	return false;
}

void
milter_conn_close(struct milter_conn *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	buf_free(&c->in);
	buf_free(&c->error);
	c->used = 0;
}

void
milter_conn_rest(struct milter_conn *c)
{
	if (c->used == c->in.len) {
		buf_free(&c->in);
		c->used = 0;
	}
}

/* ---- packets ---- */

bool
milter_conn_write(struct milter_conn *c, struct span data, int64_t deadline)
{
	while (data.len) {
		ssize_t n = send(c->fd, data.data, data.len, MSG_NOSIGNAL);

		if (n > 0) {
			data = span_from(data, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return false;
		n = io_wait_writable(c->fd, deadline);
		if (n == 0) {
			errno = ETIMEDOUT;
			return false;
		}
		if (n < 0 && errno != EINTR)
			return false;
	}
	return true;
}

/* Have at least want bytes behind those that were used. */
static bool
fill(struct milter_conn *c, size_t want, int64_t deadline)
{
	while (c->in.len < want) {
		char *room = buf_reserve(&c->in, READ_SIZE);
		ssize_t n = recv(c->fd, room, READ_SIZE, 0);

		if (n > 0) {
			c->in.len += (size_t)n;
			c->in.data[c->in.len] = '\0';
			continue;
		}
		if (n == 0) {
			errno = 0;
			return false;
		}
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return false;
		n = io_wait_readable(c->fd, deadline);
		if (n == 0) {
			errno = ETIMEDOUT;
			return false;
		}
		if (n < 0 && errno != EINTR)
			return false;
	}
	return true;
}

static bool
cannot_read(struct milter_conn *c, char after, const char *what)
{
	buf_reset(&c->error);
	buf_printf(&c->error,
		   "can't read %s reply packet %s: ", milter_event_name(after),
		   what);
	/* The milter has hung up: Postfix's words for that. */
	if (errno)
		buf_printf(&c->error, "%m");
	else
		buf_append_cstr(&c->error, "Application error");
	return false;
}

bool
milter_conn_read(struct milter_conn *c, char after, int64_t deadline,
		 char *type, struct span *data)
{
	uint32_t length;

	buf_consume(&c->in, c->used);
	c->used = 0;
	if (!fill(c, 4, deadline))
		return cannot_read(c, after, "header");
	if (!milter_parse_length((const unsigned char *)c->in.data, &length)) {
		buf_reset(&c->error);
		if (length == 0)
			buf_append_cstr(&c->error, "bad packet length: 0");
		else
			buf_printf(&c->error,
				   "unreasonable packet length: %lu > %d",
				   (unsigned long)length, MILTER_PACKET_MAX);
		return false;
	}
	if (!fill(c, 5 + (size_t)length, deadline))
		return cannot_read(c, after, "data");
	c->used = 5 + (size_t)length;
	*type = c->in.data[4];
	*data = span_make(c->in.data + 5, length);
	return true;
}
