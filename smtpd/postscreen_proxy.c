/* SPDX-License-Identifier: MIT */
/* postscreen_upstream_proxy_protocol: the header before everything else. */
#include <errno.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/smtp/haproxy.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_client.h"

static bool enabled;

void
postscreen_proxy_open(void)
{
	const char *name = conf->postscreen_upstream_proxy_protocol;

	enabled = *name;
	if (enabled && !span_equal_cstr_nocase(span_of(name), "haproxy"))
		log_fatal("unknown postscreen_upstream_proxy_protocol value: "
			  "%s",
			  name);
}

bool
postscreen_proxy_enabled(void)
{
	return enabled;
}

static void
refuse(struct screen *s, const char *reason, struct span came)
{
	struct buf shown = BUF_INIT;

	haproxy_show(came, &shown);
	log_warn("haproxy read: %s%s%s", reason, came.len ? ": " : "",
		 buf_cstr(&shown));
	buf_free(&shown);
	postscreen_reply(s, "421 4.3.2 No system resources");
	postscreen_flush(s);
	postscreen_client_free(s);
}

/* The bytes are still in the socket, and leave it: what follows them is the
 * client's. */
static bool
take(int fd, size_t n)
{
	char sink[HAPROXY_MAX];

	return recv(fd, sink, n, MSG_DONTWAIT) == (ssize_t)n;
}

static void
known(struct screen *s, const struct haproxy *h)
{
	event_free(s->read);
	s->read = NULL;
	if (!h->local) {
		s->proxied = true;
		s->peer = h->client;
		s->local = h->server;
	}
	postscreen_start_known(s);
}

static void
wait_more(struct screen *s)
{
	int64_t left =
	    s->since + conf->postscreen_upstream_proxy_timeout - io_monotonic();
	struct timeval tv;

	if (left < 1)
		left = 1;
	tv = (struct timeval){(time_t)(left / 1000000), left % 1000000};
	event_add(s->read, &tv);
}

/* An incomplete header is taken, and kept, so that the next byte wakes us. */
static void
on_input(evutil_socket_t fd, short what, void *arg)
{
	struct screen *s = arg;
	struct buf *came = &s->head;
	size_t before = came->len;
	struct haproxy h = {.reason = "time limit exceeded"};
	enum haproxy_status st;
	ssize_t n;

	if (what & EV_TIMEOUT) {
		refuse(s, h.reason, buf_span(came));
		return;
	}
	n = recv(fd, buf_reserve(came, HAPROXY_MAX), HAPROXY_MAX,
		 MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		wait_more(s);
		return;
	}
	if (n <= 0) {
		refuse(s, "EOF", buf_span(came));
		return;
	}
	came->len += (size_t)n;
	st = haproxy_parse(buf_span(came), sock_families(conf->inet_protocols),
			   &h);
	if (!take(fd, (st == HAPROXY_OK ? h.used : came->len) - before))
		st = HAPROXY_BAD;
	if (st == HAPROXY_MORE) {
		wait_more(s);
	} else if (st == HAPROXY_BAD) {
		refuse(s, h.reason, buf_span(came));
	} else {
		buf_free(came);
		known(s, &h);
	}
}

void
postscreen_proxy(struct screen *s)
{
	s->read = event_new(service_event_base(), s->fd, EV_READ, on_input, s);
	wait_more(s);
}
