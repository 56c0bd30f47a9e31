/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_connect.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

/*
 * The address that inet_interfaces names, when it is the only one of its
 * family and not a loopback address: a host with several addresses wants to
 * be seen with that one.
 */
static bool
own_interface(int family, char out[INET6_ADDRSTRLEN])
{
	struct span rest = span_of(conf->inet_interfaces), word;
	unsigned char addr[16];
	int found = 0;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		char text[INET6_ADDRSTRLEN];

		if (word.len > 2 && word.data[0] == '[')
			word = span_make(word.data + 1, word.len - 2);
		if (word.len >= sizeof(text))
			continue;
		memcpy(text, word.data, word.len);
		text[word.len] = '\0';
		if (inet_pton(family, text, addr) == 1 && ++found == 1)
			memcpy(out, text, word.len + 1);
	}
	return found == 1 && strncmp(out, "127.", 4) != 0 &&
	       strcmp(out, "::1") != 0;
}

/* Without the brackets that it may have. */
static struct span
plain(const char *source)
{
	struct span s = span_of(source);

	if (s.len > 2 && s.data[0] == '[' && s.data[s.len - 1] == ']')
		s = span_make(s.data + 1, s.len - 2);
	return s;
}

/* 0: it is no address. */
static socklen_t
source_address(struct span s, struct sockaddr_storage *sa)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	char text[INET6_ADDRSTRLEN];

	if (s.len >= sizeof(text))
		return 0;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		memcpy(sa, &in, sizeof(in));
		return sizeof(in);
	}
	if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		memcpy(sa, &in6, sizeof(in6));
		return sizeof(in6);
	}
	return 0;
}

/* false: that is not to be done from another address. */
static bool
bind_source(int fd, int family)
{
	struct sockaddr_storage sa;
	char text[INET6_ADDRSTRLEN];
	const char *source = family == AF_INET ? conf->smtp_bind_address
					       : conf->smtp_bind_address6;
	bool configured = source[0] != '\0';
	socklen_t len;

	if (!configured) {
		if (!own_interface(family, text))
			return true;
		source = text;
	}
	len = source_address(plain(source), &sa);
	if (len == 0) {
		log_warn("smtp_connect_addr: bad %s parameter: %s",
			 family == AF_INET ? "smtp_bind_address"
					   : "smtp_bind_address6",
			 source);
		return false;
	}
	errno = EAFNOSUPPORT;
	if (sa.ss_family != family ||
	    bind(fd, (struct sockaddr *)&sa, len) < 0) {
		log_warn("smtp_connect_addr: bind %.*s: %m",
			 SPAN_ARG(plain(source)));
		return !configured || !conf->smtp_bind_address_enforce;
	}
	return true;
}

static int
finish(int fd, int64_t timeout)
{
	int64_t deadline = timeout > 0 ? io_monotonic() + timeout : -1;
	socklen_t len = sizeof(int);
	int error = 0;
	int n;

	do {
		n = io_wait_writable(fd, deadline);
	} while (n < 0 && errno == EINTR);
	if (n == 0) {
		errno = ETIMEDOUT;
		return -1;
	}
	if (n < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -1;
	errno = error;
	return error ? -1 : 0;
}

int
smtp_connect(const struct smtp_addr *a, int64_t timeout)
{
	int family = a->sa.ss_family;
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (family != AF_UNIX && !bind_source(fd, family)) {
		close(fd);
		return SMTP_CONNECT_CONFIG;
	}
	if (family != AF_UNIX) {
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (conf->tcp_windowsize > 0) {
			setsockopt(fd, SOL_SOCKET, SO_SNDBUF,
				   &conf->tcp_windowsize, sizeof(int));
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF,
				   &conf->tcp_windowsize, sizeof(int));
		}
	}
	if (connect(fd, (const struct sockaddr *)&a->sa, a->sa_len) < 0 &&
	    (errno != EINPROGRESS || finish(fd, timeout) < 0)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	io_set_nonblocking(fd, false);
	return fd;
}
