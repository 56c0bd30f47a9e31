/* SPDX-License-Identifier: MIT */
#include "lib/sys/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/sys/io.h"

enum { UNIX_BACKLOG_USEC = 10000 };

void
sock_addrs_free(struct sock_addrs *a)
{
	free(a->v);
	*a = (struct sock_addrs){NULL, 0};
}

void
sock_addrs_add(struct sock_addrs *a, const struct sock_addr *addr)
{
	for (size_t i = 0; i < a->n; i++) {
		if (sock_addr_same_host(&a->v[i], addr) &&
		    sock_addr_port(&a->v[i]) == sock_addr_port(addr))
			return;
	}
	a->v = mem_realloc(a->v, a->n + 1, sizeof(*a->v));
	a->v[a->n++] = *addr;
}

static bool
parse_ipv6(const char *text, struct sockaddr_in6 *in6)
{
	const char *percent = strchr(text, '%');
	char plain[INET6_ADDRSTRLEN];
	size_t len = percent ? (size_t)(percent - text) : strlen(text);

	if (len >= sizeof(plain))
		return false;
	memcpy(plain, text, len);
	plain[len] = '\0';
	if (inet_pton(AF_INET6, plain, &in6->sin6_addr) != 1)
		return false;
	if (percent)
		in6->sin6_scope_id = if_nametoindex(percent + 1);
	return !percent || in6->sin6_scope_id != 0;
}

bool
sock_addr_parse(const char *text, int port, struct sock_addr *out)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&out->ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&out->ss;

	*out = (struct sock_addr){.len = 0};
	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		out->len = sizeof(*in);
	} else if (parse_ipv6(text, in6)) {
		in6->sin6_family = AF_INET6;
		out->len = sizeof(*in6);
	} else {
		errno = EINVAL;
		return false;
	}
	sock_addr_set_port(out, port);
	return true;
}

void
sock_addr_format(const struct sock_addr *a, char out[SOCK_TEXT_MAX])
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->ss;
	const char *text = NULL;
	char scope[IF_NAMESIZE];
	size_t len;

	if (a->ss.ss_family == AF_INET)
		text = inet_ntop(AF_INET, &in->sin_addr, out, SOCK_TEXT_MAX);
	else if (a->ss.ss_family == AF_INET6 &&
		 IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		text = inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, out,
				 SOCK_TEXT_MAX);
	else if (a->ss.ss_family == AF_INET6)
		text = inet_ntop(AF_INET6, &in6->sin6_addr, out, SOCK_TEXT_MAX);
	if (!text) {
		snprintf(out, SOCK_TEXT_MAX, "unknown");
		return;
	}
	if (a->ss.ss_family == AF_INET6 && in6->sin6_scope_id &&
	    if_indextoname(in6->sin6_scope_id, scope)) {
		len = strlen(out);
		snprintf(out + len, SOCK_TEXT_MAX - len, "%%%s", scope);
	}
}

int
sock_addr_port(const struct sock_addr *a)
{
	if (a->ss.ss_family == AF_INET)
		return ntohs(((const struct sockaddr_in *)&a->ss)->sin_port);
	if (a->ss.ss_family == AF_INET6)
		return ntohs(((const struct sockaddr_in6 *)&a->ss)->sin6_port);
	return 0;
}

void
sock_addr_set_port(struct sock_addr *a, int port)
{
	if (a->ss.ss_family == AF_INET)
		((struct sockaddr_in *)&a->ss)->sin_port =
		    htons((uint16_t)port);
	else if (a->ss.ss_family == AF_INET6)
		((struct sockaddr_in6 *)&a->ss)->sin6_port =
		    htons((uint16_t)port);
}

bool
sock_addr_same_host(const struct sock_addr *a, const struct sock_addr *b)
{
	const struct sockaddr_in6 *a6 = (const struct sockaddr_in6 *)&a->ss;
	const struct sockaddr_in6 *b6 = (const struct sockaddr_in6 *)&b->ss;

	if (a->ss.ss_family != b->ss.ss_family)
		return false;
	if (a->ss.ss_family == AF_INET)
		return ((const struct sockaddr_in *)&a->ss)->sin_addr.s_addr ==
		       ((const struct sockaddr_in *)&b->ss)->sin_addr.s_addr;
	return a->ss.ss_family == AF_INET6 &&
	       memcmp(&a6->sin6_addr, &b6->sin6_addr, sizeof(a6->sin6_addr)) ==
		   0 &&
	       a6->sin6_scope_id == b6->sin6_scope_id;
}

bool
sock_peer(int fd, struct sock_addr *out)
{
	*out = (struct sock_addr){.len = sizeof(out->ss)};
	return getpeername(fd, (struct sockaddr *)&out->ss, &out->len) == 0;
}

bool
sock_local(int fd, struct sock_addr *out)
{
	*out = (struct sock_addr){.len = sizeof(out->ss)};
	return getsockname(fd, (struct sockaddr *)&out->ss, &out->len) == 0;
}

static int
close_failed(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

int
sock_listen_inet(const struct sock_addr *a, int backlog)
{
	const int on = 1;
	int fd = socket(a->ss.ss_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return close_failed(fd);
	if (a->ss.ss_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return close_failed(fd);
	if (bind(fd, (const struct sockaddr *)&a->ss, a->len) < 0 ||
	    listen(fd, backlog) < 0)
		return close_failed(fd);
	return fd;
}

static bool
fill_unix(const char *path, struct sockaddr_un *sun)
{
	size_t len = strlen(path);

	*sun = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (len >= sizeof(sun->sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(sun->sun_path, path, len);
	return true;
}

/* Remove what was left at path when it is of that kind. */
static bool
remove_old(const char *path, mode_t kind)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT;
	if ((st.st_mode & S_IFMT) != kind) {
		errno = EEXIST;
		return false;
	}
	return unlink(path) == 0 || errno == ENOENT;
}

int
sock_listen_unix(const char *path, int type, mode_t mode, int backlog)
{
	struct sockaddr_un sun;
	int fd;

	if (!fill_unix(path, &sun) || !remove_old(path, S_IFSOCK))
		return -1;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0 ||
	    chmod(path, mode) < 0 ||
	    (type == SOCK_STREAM && listen(fd, backlog) < 0))
		return close_failed(fd);
	return fd;
}

int
sock_listen_fifo(const char *path, mode_t mode)
{
	int fd;

	if (!remove_old(path, S_IFIFO) || mkfifo(path, mode) < 0)
		return -1;
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fchmod(fd, mode) < 0)
		return close_failed(fd);
	return fd;
}

static bool
finish_connect(int fd, int64_t deadline)
{
	socklen_t len = sizeof(int);
	int n, error = 0;

	do {
		n = io_wait_writable(fd, deadline);
	} while (n < 0 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	if (n <= 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return false;
	errno = error;
	return error == 0;
}

int
sock_connect_unix(const char *path, int timeout)
{
	int64_t deadline = io_monotonic() + (int64_t)timeout * 1000000;
	struct sockaddr_un sun;
	int fd;

	if (!fill_unix(path, &sun))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	/* EAGAIN: the listener's queue is full, and no event will tell. */
	while (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return close_failed(fd);
		if (io_monotonic() >= deadline) {
			errno = ETIMEDOUT;
			return close_failed(fd);
		}
		poll(NULL, 0, UNIX_BACKLOG_USEC / 1000);
	}
	io_set_nonblocking(fd, false);
	return fd;
}

int
sock_connect_inet(const struct sock_addr *to, const struct sock_addr *from,
		  int64_t deadline)
{
	int fd = socket(to->ss.ss_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	if (from && bind(fd, (const struct sockaddr *)&from->ss, from->len) < 0)
		return close_failed(fd);
	if (connect(fd, (const struct sockaddr *)&to->ss, to->len) < 0 &&
	    (errno != EINPROGRESS || !finish_connect(fd, deadline)))
		return close_failed(fd);
	io_set_nonblocking(fd, false);
	return fd;
}
