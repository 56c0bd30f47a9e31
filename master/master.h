/* SPDX-License-Identifier: MIT */
/*
 * master - what the modules of the supervisor share.
 *
 * A service is a line of master.cf, or one that the program adds. master owns
 * its listening sockets for as long as the line is there, and watches them
 * while no process does; the first client makes it start the service's
 * process. On reload the next process is started beside the old one, and the
 * old one is told to finish once the new one is ready, so that no client is
 * refused.
 */
#ifndef MASTER_MASTER_H
#define MASTER_MASTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/strvec.h"
#include "lib/conf/mastercf.h"
#include "lib/sys/sock.h"

struct event;
struct event_base;
struct service_entry;

/* A process of ours. */
struct child {
	pid_t pid;
	struct service_entry *svc; /* NULL: its service is gone */
	char *path;                /* of the program, for messages */
	int fd;                    /* our end of SERVICE_MASTER_FD */
	struct event *event;       /* on fd */
	bool ready;
	bool reloads;  /* takes SIGHUP, is not replaced */
	bool draining; /* was told, or said, that it ends */
	struct child *next;
};

struct service_entry {
	char *name;
	enum master_type type;
	bool is_private, unpriv, chroot;
	int wakeup; /* seconds, 0: never */
	bool wakeup_if_used;
	int maxproc;
	char *command;
	struct strvec argv;

	bool keep;         /* still configured, while reloading */
	bool changed;      /* the line is another one than before the reload */
	bool stress;       /* all processes are busy: stress=yes */
	bool used;         /* a process was started */
	int64_t failed_at; /* io_monotonic(): the last abnormal end, or 0 */
	struct {
		int fd;
		struct sock_addr addr; /* inet */
		struct event *event;
		bool keep;
	} * listen;
	size_t n_listen;
	bool has_log_pipe; /* as its last listener */
	char *path; /* of a socket or FIFO, relative to queue_directory */

	struct child *current;   /* takes new clients; or NULL */
	struct child *next_one;  /* reload: takes over when it is ready */
	bool restart_on_exit;    /* reload, only one process allowed */
	int64_t throttled_until; /* io_monotonic(), 0: not */
	struct event *throttle;
	struct event *wake;
	struct service_entry *next;
};

struct master {
	struct event_base *base;
	struct service_entry *services;
	struct child *children;
	int verbose;
	bool debug;       /* -D */
	bool keep_stdout; /* -s, -i */
	bool init_mode;   /* -i: process 1 */
	bool unprivileged;
	bool stopping;
	/* What all processes write their log lines to, and postlogd listens on
	 * beside its socket; -1: there is no postlogd. */
	int log_pipe;
};

extern struct master master;

/* ---- master_services.c: the table ---- */

/*
 * Read master.cf and make the table fit it. first: errors are fatal; else
 * they are logged, and the table stays as it was (false).
 */
bool master_services_load(bool first);
struct service_entry *master_services_find(const char *name,
					   enum master_type type);
/* Is it the one that writes maillog_file? */
bool master_services_is_log(const struct service_entry *s);

/* ---- master_listen.c: sockets ---- */

/* Open what the service should listen on and is not open yet, close what it
 * should not; false: reason logged. */
bool master_listen_open(struct service_entry *s);
void master_listen_close(struct service_entry *s);
/* While stopping: clients from the network are refused at once. */
void master_listen_refuse(void);
/* Wait for clients (or not: a process does). */
void master_listen_watch(struct service_entry *s, bool on);

/* ---- master_privilege.c ---- */

/*
 * The effective uid and gid of mail_owner, for directories that belong to
 * him: root does not create or remove files there. Nothing happens when we
 * are not root. false: there is no such account (logged).
 */
bool master_become_owner(void);
void master_become_root(void);

/* ---- master_spawn.c: processes ---- */

/* Start the process unless there is one, or the service is throttled. */
void master_spawn_start(struct service_entry *s);
/* Reload: replace the running process. */
void master_spawn_replace(struct service_entry *s);
/* The service goes away: tell its processes to finish. */
void master_spawn_forget(struct service_entry *s);
/* Collect processes that ended. */
void master_spawn_reap(void);
/* To all, but SIGTERM to postlogd only when it is the last. */
void master_spawn_signal_all(int sig);
/* While stopping: end postlogd when nobody else is left. */
void master_spawn_end_logger(void);
/* (Re)arm the wakeup timer; now: also wake it up at once. */
void master_spawn_set_wakeup(struct service_entry *s, bool now);
/* Forget about past failures. */
void master_spawn_unthrottle(struct service_entry *s);

#endif
