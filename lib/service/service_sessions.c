/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service_run.h"
#include "lib/service/service_slots.h"
#include "lib/service/service_worker.h"
#include "lib/sys/io.h"

enum {
	LOOK_AROUND_USEC = 60 * 1000000,
	LIMIT_WARNING_USEC = 60 * 1000000,
	FORK_RETRY_USEC = 1000000,
	CALM_SECONDS = 1000, /* without stress, until it is over */
};

static struct {
	struct slots *slots;
	/* Per slot, 0: none. Not in the shared memory: a worker must not
	 * choose whom the parent signals. */
	pid_t *worker;
	int limit;
	int poke;
	int workers;
	pid_t pid;
	bool draining;
	bool poked;
	bool killed; /* a worker was, since a client came */
	int64_t empty_since; /* no workers since; io_monotonic() */
	int64_t hold_until;  /* do not fork before */
	int64_t limit_warned;
	int64_t renew_at; /* ask master for a successor then; 0: no need */
	int64_t limit_reached; /* last; at first the start */
	bool told_stress;
	int64_t timer; /* of def->parent_timer */
	struct pollfd *fds;
	volatile sig_atomic_t got_sigterm;
} parent;

static void
on_signal(int sig)
{
	if (sig == SIGTERM)
		parent.got_sigterm = 1;
}

static void
set_signals(sigset_t *wait_mask)
{
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t blocked;

	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGCHLD, &sa, NULL);
	sigemptyset(wait_mask);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGCHLD);
	sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static void
signal_workers(int sig)
{
	for (int i = 0; i < parent.limit; i++) {
		if (parent.worker[i] > 0)
			kill(parent.worker[i], sig);
	}
}

static void
begin_drain(void)
{
	if (parent.draining)
		return;
	parent.draining = true;
	atomic_store(&parent.slots->drain, true);
	signal_workers(SIGTERM);
}

static void
fork_failed(int slot)
{
	log_warn("fork: %m");
	slots_give_back(parent.slots, slot);
	parent.hold_until = io_monotonic() + FORK_RETRY_USEC;
}

static void
start_worker(void)
{
	int slot = slots_take(parent.slots);
	pid_t pid;

	if (slot < 0)
		return;
	pid = fork();
	if (pid == 0)
		service_worker_run(parent.slots, slot, parent.poke, parent.pid);
	if (pid < 0) {
		fork_failed(slot);
		return;
	}
	parent.worker[slot] = pid;
	parent.workers++;
}

/* The line about the process is master's in Postfix. */
static void
log_as_master(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_WARN, "master", fmt, ap);
	va_end(ap);
}

static void
report_death(pid_t pid, int status, bool useless)
{
	const char *dir = conf->daemon_directory;
	const char *program = log_program();

	if (WIFSIGNALED(status))
		log_as_master("process %s/%s pid %ld killed by signal %d", dir,
			      program, (long)pid, WTERMSIG(status));
	else
		log_as_master("process %s/%s pid %ld exit status %d", dir,
			      program, (long)pid, WEXITSTATUS(status));
	if (!useless)
		return;
	log_as_master("%s/%s: bad command startup -- throttling", dir, program);
	parent.hold_until = io_monotonic() + conf->service_throttle_time;
}

static int
find_worker(pid_t pid)
{
	for (int i = 0; i < parent.limit; i++) {
		if (parent.worker[i] == pid)
			return i;
	}
	return -1;
}

static void
reap_workers(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		int i = find_worker(pid);
		struct slot *slot;
		bool never_served;

		if (i < 0)
			continue; /* a child of init() */
		slot = &parent.slots->slot[i];
		never_served = atomic_load(&slot->served) == 0 &&
			       atomic_load(&slot->state) == SLOT_IDLE;
		parent.worker[i] = 0;
		if (service_state.def->worker_gone)
			service_state.def->worker_gone(i);
		slots_give_back(parent.slots, i);
		if (--parent.workers == 0)
			parent.empty_since = io_monotonic();
		if (WIFSIGNALED(status))
			parent.killed = true;
		if (status != 0)
			report_death(pid, status,
				     never_served && !WIFSIGNALED(status));
	}
}

static void
warn_at_limit(void)
{
	const struct service_state *s = &service_state;
	int64_t now = io_monotonic();

	if (strcmp(s->type_name, "inet") != 0 || s->limit <= 1 ||
	    (parent.limit_warned &&
	     now - parent.limit_warned < LIMIT_WARNING_USEC))
		return;
	parent.limit_warned = now;
	log_as_master("service \"%s\" (%s) has reached its process limit "
		      "\"%d\": new clients may experience noticeable delays",
		      s->name, s->name, s->limit);
	log_as_master("to avoid this condition, increase the process count in "
		      "master.cf or reduce the service time per client");
	log_as_master("see http://www.postfix.org/STRESS_README.html for "
		      "examples of stress-adapting configuration settings");
}

/* Settings that depend on stress are another configuration, so another
 * process reads it; this one finishes its clients. */
static void
note_stress(bool at_limit)
{
	int64_t now = io_monotonic();
	bool stressed = *conf->stress;

	if (at_limit)
		parent.limit_reached = now;
	if (parent.draining || parent.told_stress || at_limit == stressed)
		return;
	if (stressed &&
	    now - parent.limit_reached < (int64_t)CALM_SECONDS * 1000000)
		return;
	parent.told_stress = true;
	service_tell_master(at_limit ? SERVICE_SAYS_STRESS : SERVICE_SAYS_CALM);
}

/*
 * The wake-up of a client can go to a worker that is being killed, while
 * others sleep on: after such a death the next client gets a new worker, which
 * looks for itself.
 */
static bool
may_fork(void)
{
	return !parent.draining && parent.workers < parent.limit &&
	       (parent.killed || !slots_any_idle(parent.slots)) &&
	       io_monotonic() >= parent.hold_until;
}

static int64_t
max_empty(void)
{
	int64_t linger = service_state.def->parent_linger
			     ? service_state.def->parent_linger()
			     : 0;

	return linger > conf->max_idle ? linger : conf->max_idle;
}

/* When something other than an event is to be done; io_monotonic(). */
static int64_t
next_deadline(void)
{
	int64_t now = io_monotonic();
	int64_t at = now + LOOK_AROUND_USEC;

	if (parent.workers == 0 && parent.empty_since + max_empty() < at)
		at = parent.empty_since + max_empty();
	if (service_state.def->parent_timer && parent.timer < at)
		at = parent.timer;
	if (parent.hold_until > now && parent.hold_until < at)
		at = parent.hold_until;
	if (parent.renew_at && parent.renew_at < at)
		at = parent.renew_at;
	return at;
}

/* fds: master, poke, the watch, then the listening sockets. */
enum { FDS_FIXED = 3 };

static int
fill_poll_set(void)
{
	const struct service *def = service_state.def;
	bool want_clients = may_fork();
	int n = 0;

	parent.fds[n++] = (struct pollfd){SERVICE_MASTER_FD, POLLIN, 0};
	parent.fds[n++] = (struct pollfd){parent.poke, POLLIN, 0};
	parent.fds[n++] = (struct pollfd){
	    def->watch_fd && !parent.draining ? def->watch_fd() : -1, POLLIN,
	    0};
	for (int i = 0; i < service_state.n_listen; i++) {
		int fd = want_clients ? SERVICE_LISTEN_FD + i : -1;

		parent.fds[n++] = (struct pollfd){fd, POLLIN, 0};
	}
	return n;
}

static void
read_master(void)
{
	char buf[64];
	ssize_t n = recv(SERVICE_MASTER_FD, buf, sizeof(buf), MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		begin_drain(); /* master is gone */
}

static void
wait_for_events(const sigset_t *wait_mask)
{
	int n = fill_poll_set();
	int64_t left = next_deadline() - io_monotonic();
	struct timespec ts = {0};
	uint64_t count;

	if (left > 0)
		ts = (struct timespec){left / 1000000, left % 1000000 * 1000};
	if (parent.got_sigterm ||
	    ppoll(parent.fds, (nfds_t)n, &ts, wait_mask) <= 0)
		return;
	if (parent.fds[0].revents && !parent.draining)
		read_master();
	if (parent.fds[1].revents &&
	    read(parent.poke, &count, sizeof(count)) > 0)
		parent.poked = true;
	if (parent.fds[2].revents && service_state.def->watch_changed())
		parent.renew_at = io_monotonic() + RENEW_SETTLE_USEC;
	for (int i = FDS_FIXED; i < n; i++) {
		if (parent.fds[i].revents)
			parent.poked = true;
	}
}

static void
begin_restart(void)
{
	if (parent.draining)
		return;
	service_tell_master(SERVICE_SAYS_DRAIN);
	begin_drain();
}

/* Ask for a successor; when this process is still at work after a while, that
 * one could not start. */
static void
renew(void)
{
	if (!parent.renew_at || parent.draining ||
	    io_monotonic() < parent.renew_at)
		return;
	parent.renew_at = io_monotonic() + RENEW_RETRY_USEC;
	service_tell_master(SERVICE_SAYS_RENEW);
}

static void
loop_once(const sigset_t *wait_mask)
{
	wait_for_events(wait_mask);
	reap_workers();
	if (parent.got_sigterm)
		begin_drain();
	if (atomic_load(&parent.slots->restart))
		begin_restart();
	renew();
	if (service_state.def->parent_timer && io_monotonic() >= parent.timer)
		parent.timer =
		    service_state.def->parent_timer(io_monotonic());
	if (parent.poked) {
		parent.poked = false;
		if (may_fork()) {
			parent.killed = false;
			start_worker();
		}
		if (parent.workers >= parent.limit &&
		    !slots_any_idle(parent.slots)) {
			warn_at_limit();
			note_stress(true);
		}
	}
	note_stress(false);
	if (parent.workers == 0 &&
	    (parent.draining ||
	     (io_monotonic() >= parent.hold_until &&
	      io_monotonic() - parent.empty_since >= max_empty())))
		service_exit(0);
}

void
service_run_sessions(void)
{
	int limit = slots_for_limit(service_state.limit);
	sigset_t wait_mask;

	if (service_state.type == SERVICE_TYPE_DATA)
		log_fatal("service %s: %s cannot have the type %s",
			  service_state.name, service_state.def->name,
			  service_state.type_name);
	parent.pid = getpid();
	parent.limit = limit;
	parent.slots = slots_new(limit);
	parent.worker = mem_calloc((size_t)limit, sizeof(*parent.worker));
	parent.fds = mem_calloc((size_t)(FDS_FIXED + service_state.n_listen),
				sizeof(*parent.fds));
	for (int i = 0; i < service_state.n_listen; i++)
		io_set_nonblocking(SERVICE_LISTEN_FD + i, true);
	parent.empty_since = parent.limit_reached = io_monotonic();
	parent.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (parent.poke < 0)
		log_fatal("eventfd: %m");
	set_signals(&wait_mask);
	service_tell_master(SERVICE_SAYS_READY);
	start_worker();
	for (;;)
		loop_once(&wait_mask);
}
