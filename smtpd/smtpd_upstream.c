/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_upstream.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/smtp/haproxy.h"
#include "lib/sys/io.h"
#include "smtpd/smtpd_peer.h"

/* smtpd_upstream_proxy_protocol is set. */
static bool enabled;

void
smtpd_upstream_open(void)
{
	enabled = conf->smtpd_upstream_proxy_protocol[0];
	if (enabled && strcmp(conf->smtpd_upstream_proxy_protocol, "haproxy"))
		log_fatal("unknown smtpd_upstream_proxy_protocol value: %s",
			  conf->smtpd_upstream_proxy_protocol);
	if (enabled && service_is_pass()) {
		log_warn("ignoring non-empty smtpd_upstream_proxy_protocol "
			 "setting behind postscreen");
		enabled = false;
	}
}

static void
log_refusal(const char *reason, struct span came)
{
	struct buf shown = BUF_INIT;

	haproxy_show(came, &shown);
	log_warn("haproxy read: %s: %s", reason, buf_cstr(&shown));
	buf_free(&shown);
}

/*
 * What has arrived since the bytes in came; they stay in the socket, since
 * what follows the header may be for TLS. false: the log says why.
 */
static bool
peek(int fd, int64_t deadline, struct buf *came)
{
	char *room = buf_reserve(came, HAPROXY_MAX);
	ssize_t n = -1;

	for (;;) {
		int ready = io_wait_readable(fd, deadline);

		if (ready > 0)
			n = recv(fd, room, HAPROXY_MAX, MSG_PEEK);
		if (ready == 0 || n >= 0 || errno != EINTR)
			break;
	}
	if (n > 0) {
		came->len += (size_t)n;
		return true;
	}
	if (came->len == 0)
		log_warn("haproxy read: %s", n == 0 ? "EOF" : "timeout error");
	return false;
}

/* Take bytes that peek() showed out of the socket. */
static bool
take(int fd, size_t n)
{
	char sink[HAPROXY_MAX];

	return io_read_all(fd, sink, n);
}

static bool
read_header(int fd, struct haproxy *h)
{
	int64_t deadline = io_monotonic() + conf->smtpd_upstream_proxy_timeout;
	unsigned families = sock_families(conf->inet_protocols);
	enum haproxy_status st = HAPROXY_MORE;
	struct buf came = BUF_INIT;

	while (st == HAPROXY_MORE) {
		size_t before = came.len;

		if (!peek(fd, deadline, &came)) {
			if (came.len)
				log_refusal(h->reason, buf_span(&came));
			st = HAPROXY_BAD;
			break;
		}
		st = haproxy_parse(buf_span(&came), families, h);
		if (st == HAPROXY_BAD)
			log_refusal(h->reason, buf_span(&came));
		/* Of a bad one as well: what is left unread at the end would
		 * reset the connection, and our reply be lost. */
		if (!take(fd, (st == HAPROXY_OK ? h->used : came.len) - before))
			st = HAPROXY_BAD;
	}
	buf_free(&came);
	return st == HAPROXY_OK;
}

bool
smtpd_upstream_peer(struct smtpd *s)
{
	struct haproxy h = {0};
	bool ok = s->standalone || !enabled || read_header(s->st.in_fd, &h);

	if (ok && h.client.len)
		smtpd_peer_set(&s->peer, &h.client, &h.server);
	else
		smtpd_peer_init(&s->peer, s->standalone ? -1 : s->st.in_fd);
	return ok;
}
