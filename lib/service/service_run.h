/* SPDX-License-Identifier: MIT */
/*
 * service_run - what the parts of the skeleton share, and the few bytes that
 * master and a service exchange over SERVICE_MASTER_FD (a stream socket).
 */
#ifndef LIB_SERVICE_SERVICE_RUN_H
#define LIB_SERVICE_SERVICE_RUN_H

#include <stdbool.h>

#include "lib/base/strvec.h"
#include "lib/service/service.h"

enum {
	RENEW_SETTLE_USEC = 200000, /* files are replaced one after another */
	RENEW_RETRY_USEC = 60 * 1000000,
};

enum {
	/* service to master: start-up is complete */
	SERVICE_SAYS_READY = 'R',
	/* service to master: it ends when its clients are done, start another
	 * one for new clients */
	SERVICE_SAYS_DRAIN = 'D',
	/* service to master: SIGHUP at a reload, do not replace me */
	SERVICE_SAYS_RELOADS = 'H',
	/* service to master: start a new one beside me, with -R */
	SERVICE_SAYS_RENEW = 'N',
	/* service to master: all workers are busy and no more are allowed:
	 * start another with stress=yes; or: that is over */
	SERVICE_SAYS_STRESS = 'T',
	SERVICE_SAYS_CALM = 'C',
	/* master to service: event_wakeup() */
	MASTER_SAYS_WAKEUP = 'W',
};

enum service_type {
	SERVICE_TYPE_STREAM, /* inet, unix */
	SERVICE_TYPE_DATA,   /* fifo, unix-dgram: nothing to accept */
	SERVICE_TYPE_PASS,   /* unix; each connection brings a descriptor */
};

/* The service object of this process. */
struct service_state {
	const struct service *def;
	const char *name;      /* column 1 of master.cf */
	const char *type_name; /* column 2 */
	enum service_type type;
	int n_listen;
	int limit; /* 0: none */
	bool drop_uid;
	bool chroot;
	bool unprivileged;
	bool standalone;
	bool renewal; /* -R */
	bool worker;
	struct strvec over; /* -o */
	struct strvec argv;
};

extern struct service_state service_state;

/* Chroot and change uid as master.cf says. */
void service_jail(void);
/* Load main.cf again; false: it has an error (logged), nothing changed. */
bool service_load_again(void);
/* Tell master; errors do not matter (it is gone, and we shall notice). */
void service_tell_master(char message);

_Noreturn void service_run_sessions(void);
_Noreturn void service_run_event(void);

#endif
