/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_policy_talk.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/smtp/policy.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"

enum { LOOKUP_SECONDS = 20, USEC = 1000000 };

bool
policy_server_parse(struct policy_server *s, const char *text)
{
	const char *colon = strchr(text, ':');
	struct span type = span_make(text, colon ? (size_t)(colon - text) : 0);

	s->inet = span_equal_cstr(type, "inet");
	if ((!s->inet && !span_equal_cstr(type, "unix") &&
	     !span_equal_cstr(type, "local")) ||
	    !colon[1] || (s->inet && !strchr(colon + 1, ':')))
		return false;
	s->address = mem_strdup(colon + 1);
	return true;
}

/* ---- connecting ---- */

static int
connect_address(const char *host, int port, int64_t deadline)
{
	struct sock_addr to;

	if (!sock_addr_parse(host, port, &to)) {
		errno = EINVAL;
		return -1;
	}
	return sock_connect_inet(&to, NULL, deadline);
}

static int
connect_name(const char *host, int port, int64_t deadline)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA};
	unsigned families = sock_families(conf->inet_protocols);
	int fd = -1;

	errno = EHOSTUNREACH;
	for (size_t t = 0; t < 2 && fd < 0; t++) {
		struct dns_answer a = DNS_ANSWER_INIT;

		if (!(families & (t ? SOCK_IPV6 : SOCK_IPV4)))
			continue;
		if (dns_query(host, types[t], DNS_HOSTS, LOOKUP_SECONDS, &a) ==
		    DNS_FOUND)
			for (size_t i = 0; i < a.n && fd < 0; i++)
				fd = connect_address(a.rr[i].text, port,
						     deadline);
		dns_answer_free(&a);
	}
	return fd;
}

static int
connect_inet(const struct policy_server *s, int64_t deadline)
{
	struct span all = span_of(s->address);
	long colon = span_rfind(all, ':');
	struct span h = span_make(all.data, (size_t)colon);
	struct sock_addr probe;
	int port, error, fd = -1;
	char *host;

	if (h.len >= 2 && h.data[0] == '[' && h.data[h.len - 1] == ']')
		h = span_make(h.data + 1, h.len - 2);
	host = mem_strndup(h.data, h.len);
	errno = EINVAL;
	if (sock_port(s->address + colon + 1, "", &port))
		fd = sock_addr_parse(host, port, &probe)
			 ? connect_address(host, port, deadline)
			 : connect_name(host, port, deadline);
	error = errno;
	free(host);
	errno = error;
	return fd;
}

static void
hang_up(struct policy_server *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

/* A connection that is still good: what the server says unasked, and its end,
 * are reasons for a new one. */
static bool
is_usable(const struct policy_server *s, int64_t now)
{
	return s->fd >= 0 && now - s->used < s->max_idle &&
	       now - s->since < s->max_ttl &&
	       (s->request_limit <= 0 || s->requests < s->request_limit) &&
	       io_wait_readable(s->fd, now) == 0;
}

static bool
be_connected(struct policy_server *s, int64_t deadline)
{
	int64_t now = io_monotonic();

	if (is_usable(s, now))
		return true;
	hang_up(s);
	s->fd = s->inet
		    ? connect_inet(s, deadline)
		    : sock_connect_unix(s->address, (int)(s->timeout / USEC));
	if (s->fd < 0) {
		int error = errno;

		log_warn("connect to %s: %m", s->address);
		errno = error;
		return false;
	}
	s->since = s->used = now;
	s->requests = 0;
	return true;
}

/* ---- one question ---- */

static bool
send_request(struct policy_server *s, struct span left, int64_t deadline)
{
	while (left.len) {
		ssize_t n = send(s->fd, left.data, left.len,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			left = span_from(left, (size_t)n);
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		if (io_wait_writable(s->fd, deadline) == 0) {
			errno = ETIMEDOUT;
			return false;
		}
	}
	return true;
}

/* More of the reply. false: errno, 0 for the end of the connection. */
static bool
read_more(struct policy_server *s, struct buf *in, int64_t deadline)
{
	enum { PIECE = 2048 };
	ssize_t n;
	int ready;

	do {
		ready = io_wait_readable(s->fd, deadline);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		errno = ETIMEDOUT;
	if (ready <= 0)
		return false;
	n = recv(s->fd, buf_reserve(in, PIECE), PIECE, MSG_DONTWAIT);
	if (n > 0) {
		in->len += (size_t)n;
		in->data[in->len] = '\0';
		return true;
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == 0)
		errno = 0;
	return false;
}

static void
log_broken_off(const struct policy_server *s, struct span in, int error)
{
	const char *part = policy_part(in);

	if (part)
		log_warn("%s on %s while reading input attribute %s",
			 error == ETIMEDOUT ? "timeout"
					    : "premature end-of-input",
			 s->address, part);
}

static bool
read_reply(struct policy_server *s, struct buf *in, struct buf *action,
	   int64_t deadline)
{
	struct span value;
	size_t used;
	enum policy_status st;

	while ((st = policy_parse(buf_span(in), &value, &used)) ==
	       POLICY_MORE) {
		if (!read_more(s, in, deadline)) {
			int error = errno;

			log_broken_off(s, buf_span(in), error);
			errno = error;
			return false;
		}
	}
	errno = 0;
	if (st == POLICY_DONE) {
		buf_set(action, value);
		/* Whatever follows answers no question of ours. */
		if (used < in->len)
			hang_up(s);
		return true;
	}
	log_warn("missing %s action %s %s",
		 st == POLICY_NO_VALUE ? "value for string attribute"
				       : "attribute",
		 st == POLICY_NO_VALUE ? "from" : "in input from", s->address);
	errno = 0;
	return false;
}

static bool
attempt(struct policy_server *s, struct span request, struct buf *action)
{
	int64_t deadline = io_monotonic() + s->timeout;
	struct buf in = BUF_INIT;
	bool ok;
	int error;

	ok = be_connected(s, deadline) && send_request(s, request, deadline) &&
	     read_reply(s, &in, action, deadline);
	error = errno;
	s->used = io_monotonic();
	s->requests++;
	if (!ok)
		hang_up(s);
	buf_free(&in);
	errno = error;
	return ok;
}

/* A server that went away between two questions is no news. */
static bool
is_noteworthy(int error)
{
	return error != 0 && error != EPIPE && error != ENOENT &&
	       error != ECONNRESET;
}

bool
policy_server_ask(struct policy_server *s, struct span request,
		  struct buf *action)
{
	struct timespec delay = {.tv_sec = s->retry_delay / USEC};

	for (int i = 1; !attempt(s, request, action); i++) {
		int error = errno;

		if (i >= s->try_limit || is_noteworthy(error))
			log_warn("problem talking to server %s: %s", s->address,
				 error ? strerror(error) : "Application error");
		if (i >= s->try_limit)
			return false;
		nanosleep(&delay, NULL);
	}
	return true;
}
