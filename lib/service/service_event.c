/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/service/service_run.h"
#include "lib/sys/io.h"

enum {
	ACCEPTS_PER_EVENT = 32, /* then the other events get their turn */
	ACCEPT_PAUSE_MSEC = 100,
};

static struct event_base *event_base;
static struct event **listeners; /* n_listen of them */
static bool stopping;

struct event_base *
service_event_base(void)
{
	return event_base;
}

static void
stop(void)
{
	if (stopping)
		return;
	stopping = true;
	/* Who comes now is for the next process. */
	for (int i = 0; i < service_state.n_listen; i++)
		event_del(listeners[i]);
	if (!service_state.def->event_stop)
		service_exit(0);
	service_state.def->event_stop();
}

static void
on_sigterm(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)arg;
	stop();
}

/* In a chroot main.cf is out of reach: master starts a new process then. */
static bool
can_reload(void)
{
	const struct service_state *s = &service_state;

	return s->def->event_reload && (!s->chroot || s->unprivileged);
}

static void
on_sighup(evutil_socket_t sig, short what, void *arg)
{
	(void)sig;
	(void)what;
	(void)arg;
	if (!stopping && service_load_again())
		service_state.def->event_reload();
}

/* ---- files were replaced ---- */

static struct event *renewal;

static void
renew_in(int64_t usec)
{
	struct timeval tv = {(time_t)(usec / 1000000), usec % 1000000};

	event_add(renewal, &tv);
}

/* When this process is still at work after a while, its successor could not
 * start. */
static void
on_renewal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (stopping)
		return;
	service_tell_master(SERVICE_SAYS_RENEW);
	renew_in(RENEW_RETRY_USEC);
}

static void
on_watch(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (service_state.def->watch_changed())
		renew_in(RENEW_SETTLE_USEC);
}

/* ---- wakeup ---- */

static void
wake_up(void)
{
	if (service_state.def->event_wakeup && !stopping)
		service_state.def->event_wakeup();
}

static void
on_master(evutil_socket_t fd, short what, void *arg)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)what;
	if (n > 0) {
		wake_up();
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		event_del(*(struct event **)arg);
		stop(); /* master is gone */
	}
}

/* postkick: what it writes does not matter, that it connected does. */
static void
wake_up_by_client(int fd)
{
	close(fd);
	wake_up();
}

static void
on_client(evutil_socket_t listener, short what, void *arg)
{
	void (*client)(int) = service_state.def->event_client;

	(void)what;
	(void)arg;
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		int fd =
		    accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			if (client)
				client(fd);
			else
				wake_up_by_client(fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EAGAIN)
			return;
		if (errno != EINVAL) /* master has shut it down */
			log_warn("accept connection: %m");
		usleep(ACCEPT_PAUSE_MSEC * 1000);
		return;
	}
}

/* A fifo or datagram socket without handler is for waking up only. */
static void
on_data(evutil_socket_t fd, short what, void *arg)
{
	char discard[1024];

	(void)what;
	(void)arg;
	if (service_state.def->event_client) {
		service_state.def->event_client(fd);
		return;
	}
	if (read(fd, discard, sizeof(discard)) > 0)
		wake_up();
}

static struct event *
add_event(evutil_socket_t fd, short what, event_callback_fn fn, void *arg)
{
	struct event *ev =
	    event_new(event_base, fd, what | EV_PERSIST, fn, arg);

	if (!ev || event_add(ev, NULL) < 0)
		log_fatal("cannot watch descriptor %d", (int)fd);
	return ev;
}

void
service_run_event(void)
{
	static struct event *master;
	bool stream = service_state.type != SERVICE_TYPE_DATA;

	event_base = event_base_new();
	if (!event_base)
		log_fatal("cannot make an event loop: %m");
	add_event(SIGTERM, EV_SIGNAL, on_sigterm, NULL);
	if (can_reload())
		add_event(SIGHUP, EV_SIGNAL, on_sighup, NULL);
	master = add_event(SERVICE_MASTER_FD, EV_READ, on_master, &master);
	listeners =
	    mem_calloc((size_t)service_state.n_listen, sizeof(struct event *));
	for (int i = 0; i < service_state.n_listen; i++) {
		io_set_nonblocking(SERVICE_LISTEN_FD + i, true);
		listeners[i] = add_event(SERVICE_LISTEN_FD + i, EV_READ,
					 stream ? on_client : on_data, NULL);
	}
	if (service_state.def->watch_fd && service_state.def->watch_fd() >= 0) {
		renewal = event_new(event_base, -1, 0, on_renewal, NULL);
		add_event(service_state.def->watch_fd(), EV_READ, on_watch,
			  NULL);
	}
	if (service_state.def->event_start)
		service_state.def->event_start(event_base);
	if (can_reload())
		service_tell_master(SERVICE_SAYS_RELOADS);
	service_tell_master(SERVICE_SAYS_READY);
	event_base_dispatch(event_base);
	service_exit(0);
}
