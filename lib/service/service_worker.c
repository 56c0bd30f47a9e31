/* SPDX-License-Identifier: MIT */
#include "lib/service/service_worker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service_pass.h"
#include "lib/service/service_run.h"
#include "lib/sys/io.h"
#include "lib/table/table.h"

/* How long the sender of a descriptor may take (type pass). */
enum { PASS_USEC = 5000000 };

static struct {
	struct slots *slots;
	struct slot *slot;
	int number; /* of slot */
	int poke;
	int epoll;
	volatile sig_atomic_t asked_to_end;
	struct service_peer peer; /* of the client in hand: type pass */
	sigset_t wait_mask;       /* SIGTERM is delivered only while we wait */
} worker = {.number = -1, .epoll = -1};

static void
on_sigterm(int sig)
{
	(void)sig;
	worker.asked_to_end = 1;
}

bool
service_draining(void)
{
	return worker.asked_to_end ||
	       (worker.slots && atomic_load(&worker.slots->drain));
}

int
service_slot(void)
{
	return worker.number;
}

int
service_slot_count(void)
{
	return slots_for_limit(service_state.limit);
}

const struct service_peer *
service_passed_peer(void)
{
	return worker.peer.given ? &worker.peer : NULL;
}

bool
service_wait_readable(int fd, int seconds)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	struct timespec ts = {.tv_sec = seconds};
	int n;

	if (!service_state.worker)
		return poll(&p, 1, seconds * 1000) > 0;
	if (service_draining())
		return false;
	do {
		n = ppoll(&p, 1, &ts, &worker.wait_mask);
	} while (n < 0 && errno == EINTR && !service_draining());
	return n > 0;
}

int
service_poll(struct pollfd *p, size_t n, int64_t deadline)
{
	for (;;) {
		int64_t left = deadline < 0 ? 0 : deadline - io_monotonic();
		struct timespec ts = {0, 0};
		int got;

		if (service_state.worker && service_draining())
			return 0;
		if (left > 0) {
			ts.tv_sec = left / 1000000;
			ts.tv_nsec = left % 1000000 * 1000;
		}
		got = ppoll(p, n, deadline < 0 ? NULL : &ts,
			    service_state.worker ? &worker.wait_mask : NULL);
		if (got >= 0 || errno != EINTR)
			return got;
	}
}

static void
set_signals(void)
{
	struct sigaction sa = {.sa_handler = on_sigterm};
	sigset_t blocked;

	sigaction(SIGTERM, &sa, NULL);
	sa.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &sa, NULL);
	sigemptyset(&blocked);
	worker.wait_mask = blocked;
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

/*
 * One epoll set per worker with EPOLLEXCLUSIVE: a new client wakes one waiting
 * worker, always the first that can, so that those beyond need become idle
 * and end; and any number of listening sockets will do.
 */
static void
watch_listeners(void)
{
	worker.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker.epoll < 0)
		log_fatal("epoll_create: %m");
	for (int i = 0; i < service_state.n_listen; i++) {
		struct epoll_event ev = {
		    .events = EPOLLIN | EPOLLEXCLUSIVE,
		    .data.fd = SERVICE_LISTEN_FD + i,
		};

		if (epoll_ctl(worker.epoll, EPOLL_CTL_ADD, ev.data.fd, &ev) < 0)
			log_fatal("epoll_ctl: %m");
	}
}

/* EINVAL: master does not want this socket any more, and is about to tell. */
static void
accept_failed(void)
{
	if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
		return;
	if (errno == EINVAL) {
		usleep(10000);
		return;
	}
	log_warn("accept connection: %m");
	usleep(100000); /* out of descriptors, most likely */
}

static int
accept_client(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int passed;

	if (fd < 0) {
		accept_failed();
		return -1;
	}
	if (service_state.type != SERVICE_TYPE_PASS)
		return fd;
	passed =
	    service_pass_receive(fd, io_monotonic() + PASS_USEC, &worker.peer);
	close(fd);
	return passed;
}

/*
 * A descriptor of a listening socket that has a client, or -1: end. Nothing
 * was accepted yet, so a client that arrives after a table was changed goes to
 * a process that has read it.
 */
static int
wait_for_client(void)
{
	int64_t deadline = io_monotonic() + conf->max_idle;
	struct epoll_event ev;
	int n = 0;

	while (n <= 0) {
		int64_t left = deadline - io_monotonic();
		int msec = left > 2000000000000 ? 2000000000
						: (int)((left + 999) / 1000);

		if (service_draining() || left <= 0)
			return -1;
		n = epoll_pwait(worker.epoll, &ev, 1, msec, &worker.wait_mask);
		if (n < 0 && errno != EINTR)
			log_fatal("epoll_wait: %m");
	}
	return ev.data.fd;
}

static void
poke_parent(void)
{
	uint64_t one = 1;

	while (write(worker.poke, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void
ask_for_restart(void)
{
	if (!atomic_exchange(&worker.slots->restart, true))
		log_info("a lookup table has changed -- restarting");
	poke_parent();
}

static void
serve_clients(void)
{
	int served = 0;

	while (conf->max_use <= 0 || served < conf->max_use) {
		int listener = wait_for_client();
		int fd;

		if (listener < 0)
			return;
		if (maps_any_changed()) {
			ask_for_restart();
			return;
		}
		fd = accept_client(listener);
		if (fd < 0)
			continue;
		atomic_store(&worker.slot->state, SLOT_BUSY);
		if (!slots_any_idle(worker.slots))
			poke_parent();
		service_state.def->serve(fd);
		close(fd);
		atomic_store(&worker.slot->served, ++served);
		atomic_store(&worker.slot->state, SLOT_IDLE);
	}
}

void
service_worker_run(struct slots *slots, int slot, int poke, pid_t parent)
{
	worker.slots = slots;
	worker.slot = &slots->slot[slot];
	worker.number = slot;
	worker.poke = poke;
	service_state.worker = true;
	set_signals();
	prctl(PR_SET_PDEATHSIG, (long)SIGTERM, 0L, 0L, 0L);
	if (getppid() != parent)
		service_exit(0);
	if (service_state.def->worker_start) {
		service_state.def->worker_start();
		service_exit(0);
	}
	watch_listeners();
	serve_clients();
	service_exit(0);
}
