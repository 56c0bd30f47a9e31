/* SPDX-License-Identifier: MIT */
#include "lib/service/service_pass.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/num.h"
#include "lib/sys/io.h"

enum { LINE_MAX_BYTES = 256 };

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int))];
};

static void
format_peer(const struct service_peer *peer, struct buf *out)
{
	char client[SOCK_TEXT_MAX], server[SOCK_TEXT_MAX];

	if (peer->given) {
		sock_addr_format(&peer->client, client);
		sock_addr_format(&peer->server, server);
		buf_printf(out, "%s %d %s %d", client,
			   sock_addr_port(&peer->client), server,
			   sock_addr_port(&peer->server));
	}
	buf_append_byte(out, '\n');
}

enum service_pass
service_pass_send(int conn, int fd, const struct service_peer *peer)
{
	struct buf text = BUF_INIT;
	union control control = {.space = {0}};
	struct iovec iov;
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t n;

	format_peer(peer, &text);
	iov = (struct iovec){text.data, text.len};
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	do {
		n = sendmsg(conn, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	buf_free(&text);
	if (n < 0)
		return errno == EAGAIN ? PASS_AGAIN : PASS_FAILED;
	return PASS_DONE;
}

enum service_pass
service_pass_taken(int conn)
{
	char byte;
	ssize_t n = recv(conn, &byte, 1, MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return PASS_AGAIN;
	return n == 1 ? PASS_DONE : PASS_FAILED;
}

/* "ADDRESS PORT" off *text. */
static bool
parse_address(struct span *text, struct sock_addr *out)
{
	struct span addr, word;
	char copy[SOCK_TEXT_MAX];
	int64_t port;

	if (!span_next_token(text, " \n", &addr) || addr.len >= sizeof(copy) ||
	    !span_next_token(text, " \n", &word) ||
	    !num_parse(word, 0, 65535, &port))
		return false;
	memcpy(copy, addr.data, addr.len);
	copy[addr.len] = '\0';
	return sock_addr_parse(copy, (int)port, out);
}

static int
take_descriptor(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int fd = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

int
service_pass_receive(int conn, int64_t deadline, struct service_peer *peer)
{
	char text[LINE_MAX_BYTES];
	struct iovec iov = {text, sizeof(text)};
	union control control;
	struct msghdr msg = {
	    .msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.space,
	    .msg_controllen = sizeof(control.space),
	};
	struct span rest;
	ssize_t n;
	int fd;

	memset(peer, 0, sizeof(*peer));
	if (io_wait_readable(conn, deadline) <= 0)
		return -1;
	n = recvmsg(conn, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	if (n < 0)
		return -1;
	fd = take_descriptor(&msg);
	rest = span_make(text, (size_t)n);
	if (n > 1)
		peer->given = parse_address(&rest, &peer->client) &&
			      parse_address(&rest, &peer->server);
	/* Who sent it may be gone; the client counts. */
	if (fd >= 0)
		send(conn, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	return fd;
}
