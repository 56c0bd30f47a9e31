/* SPDX-License-Identifier: MIT */
/* Hand-over of a client to the SMTP server: smtpd_service_name, type pass. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/service/service_pass.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_client.h"

enum {
	RETRY_USEC = 100000, /* the server's queue is full */
	TRIES_MAX = 3,       /* connections that end without an answer */
};

struct pass {
	int conn;
	int lost; /* tries */
	struct service_peer peer;
	struct event *event; /* conn answers, or the next try is due */
	int64_t give_up;     /* io_monotonic() */
};

static void try_again(struct screen *s);

static void
close_connection(struct pass *p)
{
	if (p->event)
		event_free(p->event);
	if (p->conn >= 0)
		close(p->conn);
	p->event = NULL;
	p->conn = -1;
}

void
postscreen_pass_free(struct screen *s)
{
	if (!s->pass)
		return;
	close_connection(s->pass);
	free(s->pass);
	s->pass = NULL;
}

static void
give_up(struct screen *s, const char *why)
{
	log_warn("connect to %s/%s: %s", "private", conf->smtpd_service_name,
		 why);
	postscreen_end_with(s, "421 4.3.2 No system resources");
}

/* Non-blocking; -1: errno. */
static int
connect_server(void)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd, n;

	n = snprintf(sa.sun_path, sizeof(sa.sun_path), "private/%s",
		     conf->smtpd_service_name);
	if (n < 0 || (size_t)n >= sizeof(sa.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct screen *s = arg;

	if (what & EV_TIMEOUT) {
		give_up(s, "the SMTP server does not take the client");
		return;
	}
	switch (service_pass_taken(fd)) {
	case PASS_DONE:
		postscreen_client_free(s);
		return;
	case PASS_AGAIN:
		event_add(s->pass->event, NULL);
		return;
	case PASS_FAILED:
		break;
	}
	/* A process that ended before it looked; nothing is lost. */
	if (++s->pass->lost >= TRIES_MAX)
		give_up(s, "connection closed");
	else
		try_again(s);
}

static void
on_retry(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	try_again(arg);
}

static void
wait_usec(struct screen *s, int64_t usec)
{
	struct timeval tv = {(time_t)(usec / 1000000), usec % 1000000};

	s->pass->event = event_new(service_event_base(), -1, 0, on_retry, s);
	event_add(s->pass->event, &tv);
}

static void
try_again(struct screen *s)
{
	struct pass *p = s->pass;
	int64_t left = p->give_up - io_monotonic();
	struct timeval tv = {(time_t)(left / 1000000), left % 1000000};

	close_connection(p);
	if (left <= 0) {
		give_up(s, strerror(ETIMEDOUT));
		return;
	}
	p->conn = connect_server();
	if (p->conn < 0) {
		if (errno == EAGAIN || errno == EINTR)
			wait_usec(s, RETRY_USEC);
		else
			give_up(s, strerror(errno));
		return;
	}
	if (service_pass_send(p->conn, s->fd, &p->peer) != PASS_DONE) {
		give_up(s, strerror(errno));
		return;
	}
	p->event =
	    event_new(service_event_base(), p->conn, EV_READ, on_answer, s);
	event_add(p->event, &tv);
}

void
postscreen_pass(struct screen *s)
{
	postscreen_start_passing(s);
	s->pass = mem_alloc(sizeof(*s->pass));
	s->pass->conn = -1;
	s->pass->give_up = io_monotonic() + conf->ipc_timeout;
	if (s->proxied) {
		s->pass->peer.given = true;
		s->pass->peer.client = s->peer;
		s->pass->peer.server = s->local;
	}
	io_set_nonblocking(s->fd, false);
	try_again(s);
}
