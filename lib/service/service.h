/* SPDX-License-Identifier: MIT */
/*
 * service - the skeleton of every daemon that master starts.
 *
 * Two models (docs/ARCHITECTURE.md):
 *
 *   sessions  master executes one process per master.cf line. It loads the
 *	       configuration, opens tables and keys (init), gives up privilege
 *	       (jail), and forks workers as load asks, up to the process
 *	       limit. A worker accepts a client, serves it with plain blocking
 *	       code, and takes the next, max_use times at most, until it was
 *	       idle for max_idle. Each worker waits for all listening sockets
 *	       in an epoll set of its own, exclusively: one is woken per
 *	       client, always the first that can, so that surplus workers
 *	       become idle and end. Memory shared between parent and workers
 *	       says who is idle; the worker that takes the last idle place
 *	       asks the parent for another.
 *   event     one process, one libevent loop.
 *
 * On reload master starts a new process for the line and sends SIGTERM to the
 * old one: a sessions parent and its workers finish the client they have and
 * end; an event service ends its loop in good order (stop).
 *
 * A worker that sees that a table changed on disk ends after its client and
 * makes the parent end, so that master starts afresh.
 */
#ifndef LIB_SERVICE_SERVICE_H
#define LIB_SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/strvec.h"

struct event_base;
struct pollfd;
struct service_peer;

enum service_model {
	SERVICE_SESSIONS,
	SERVICE_EVENT,
};

/* What master.cf may say about it. */
enum {
	SERVICE_SINGLE = 1 << 0,     /* maxproc is 1 whatever it says */
	SERVICE_TAKES_MAIL = 1 << 1, /* cleans up: the settings of the cleanup
				       line in master.cf apply to that */
};

struct service {
	const char *name; /* of the program: "smtpd" */
	enum service_model model;
	unsigned flags;
	/* After the configuration was loaded, still with the privileges that
	 * master started it with: open tables, keys, sockets. */
	void (*init)(void);
	/* After jail, in the parent. */
	void (*after_jail)(void);
	/* sessions: serve one client; the skeleton closes fd. */
	void (*serve)(int fd);
	/* sessions, instead of accept: the whole life of a worker; may be
	 * NULL. */
	void (*worker_start)(void);
	/*
	 * For a service that depends on files which it may not read after
	 * jail(). watch_fd: a descriptor that the (parent) process waits for,
	 * -1: none. watch_changed: called when it can be read; true: the service
	 * is to be renewed. master then starts a new process beside this one
	 * (service_renewal()), which takes over when it is ready; one that
	 * ends in init() leaves the old one at work, which tries again later.
	 */
	int (*watch_fd)(void);
	bool (*watch_changed)(void);
	/*
	 * sessions, in the parent, for what workers keep in shared memory
	 * (service_shared_memory()): the worker of a slot is gone, however it
	 * ended.
	 */
	void (*worker_gone)(int slot);
	/* sessions, in the parent: called when the time that it returned last
	 * has come (io_monotonic(); at first at once). */
	int64_t (*parent_timer)(int64_t now);
	/* sessions: how long the parent stays without workers, microseconds,
	 * when that is more than max_idle: what is shared goes with it. */
	int64_t (*parent_linger)(void);
	/* event: a client connected (or for unix-dgram and fifo, data can be
	 * read from fd, which stays open). The callee owns an accepted fd.
	 * NULL: a connection is a wakeup (postkick), answered by
	 * event_wakeup(). */
	void (*event_client)(int fd);
	/* event: called once before the loop starts. */
	void (*event_start)(struct event_base *base);
	/* event: wake up by master (the wakeup column, or postkick). */
	void (*event_wakeup)(void);
	/*
	 * event: master.cf and main.cf changed, the configuration was loaded
	 * again (when it has an error the old one stays, and this is not
	 * called). A service that has this is not replaced at a reload: what
	 * it has under way goes on.
	 */
	void (*event_reload)(void);
	/* event: asked to end; call service_exit() when ready. NULL: at once.
	 */
	void (*event_stop)(void);
};

/*
 * main() of every daemon. Arguments from master: -n name -t type [-u] [-c]
 * [-l] [-s number of listening descriptors] [-p process limit] [-o name=value]
 * [-v] [-D] [-i instance] [-S]; master.cf's own arguments follow; what the
 * skeleton does not know is left in service_argv(). The listening descriptors
 * start at SERVICE_LISTEN_FD.
 */
int service_main(int argc, char **argv, const struct service *def);

enum {
	SERVICE_MASTER_FD = 3, /* closes when master is gone */
	SERVICE_LISTEN_FD = 4,
};

/* "submission", "smtp", "private/..." as master.cf names it. */
const char *service_name(void);
const struct strvec *service_argv(void);
/* Started without root (or with an unprivileged instance): uids stay. */
bool service_unprivileged(void);
int service_process_limit(void);
/* A line of type pass: clients come from a service in front of this one. */
bool service_is_pass(void);
struct event_base *service_event_base(void);
_Noreturn void service_exit(int status);
/* sessions: was this worker asked to end? serve() functions that handle
 * several requests on one connection ask before each. */
bool service_draining(void);
/*
 * sessions: wait until fd is readable, at most seconds; false on time-out or
 * when asked to end (service_draining() tells).
 */
bool service_wait_readable(int fd, int seconds);
/*
 * sessions: poll(2) for several descriptors (negative ones are ignored), until
 * deadline (io_monotonic(), -1: none). What poll() returns; 0 also when asked
 * to end.
 */
int service_poll(struct pollfd *p, size_t n, int64_t deadline);
/* Started to take over from a process that still works. */
bool service_renewal(void);
/* sessions: zeroed memory that this process shares with all workers that are
 * forked afterwards; for init(). Never NULL, never given back. */
void *service_shared_memory(size_t size);
/* sessions: the number of this worker's slot, below service_slot_count(); two
 * workers at a time never have the same. -1: no worker. */
int service_slot(void);
int service_slot_count(void);
/* type pass: another service had the connection before, and greeted maybe. */
bool service_takes_over(void);
/* sessions, type pass: who the client in hand is, when a proxy in front of the
 * service that passed it has said so (lib/service/service_pass.h); else NULL. */
const struct service_peer *service_passed_peer(void);
/* -S: no master, one client on standard input and output, uid kept. */
bool service_standalone(void);

#endif
