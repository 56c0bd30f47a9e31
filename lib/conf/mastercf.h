/* SPDX-License-Identifier: MIT */
/*
 * mastercf - master.cf (master(5)): one logical line per service.
 *
 * Used by master (to start services), postconf (-M -F -P) and qmgr (process
 * limits of the transports).
 */
#ifndef LIB_CONF_MASTERCF_H
#define LIB_CONF_MASTERCF_H

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"

enum master_type {
	MASTER_INET,
	MASTER_UNIX,
	MASTER_FIFO,
	MASTER_UNIX_DGRAM,
	MASTER_PASS,
};

struct master_service {
	char *name;	/* as written: "smtp", "127.0.0.1:10025", "[::1]:25" */
	enum master_type type;
	bool private;
	bool unpriv;
	bool chroot;
	int wakeup;	    /* seconds, 0: never */
	bool wakeup_if_used;/* the '?' */
	int maxproc;	    /* 0: no limit; '-' is default_process_limit */
	char *command;	    /* program name in daemon_directory */
	struct strvec argv; /* arguments after the command, quoting removed */
	struct strvec field[1]; /* the eight columns as written, for postconf */
	int line;	    /* in master.cf, for messages */
};

struct mastercf {
	struct master_service *v;
	size_t n;
};

/*
 * Parse path. Every error is appended to errors ("FILE: line N: what"), and
 * the lines without one are still returned. false when the file cannot be
 * read or has an error.
 */
bool mastercf_read(const char *path, struct mastercf *out,
		   struct strvec *errors);
void mastercf_free(struct mastercf *m);
const struct master_service *mastercf_find(const struct mastercf *m,
					   const char *name,
					   enum master_type type);
const char *master_type_name(enum master_type t);

#endif
