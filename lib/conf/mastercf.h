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
	char *name; /* as written: "smtp", "127.0.0.1:10025", "[::1]:25" */
	enum master_type type;
	bool private;
	bool unpriv;
	bool chroot;
	int wakeup;          /* seconds, 0: never */
	bool wakeup_if_used; /* the '?' */
	int maxproc;         /* 0: no limit; '-' is default_process_limit */
	char *command;       /* program name in daemon_directory */
	struct strvec argv;  /* arguments after the command, braces removed;
			      * options "-oX" are split into "-o" "X" */
	size_t n_options;    /* how many of them are options of the daemon and
			      * their values */
	struct strvec field[1]; /* the eight columns as written, for postconf */
	int line;               /* in master.cf, for messages */
};

struct mastercf {
	struct master_service *v;
	size_t n;
	size_t cap;
};

/* Columns of master_service.field. */
enum {
	MASTER_FIELD_NAME,
	MASTER_FIELD_TYPE,
	MASTER_FIELD_PRIVATE,
	MASTER_FIELD_UNPRIV,
	MASTER_FIELD_CHROOT,
	MASTER_FIELD_WAKEUP,
	MASTER_FIELD_MAXPROC,
	MASTER_FIELD_COMMAND,
	MASTER_FIELDS,
};

/*
 * Parse path. Every error is appended to errors ("file FILE: line N: what"),
 * and the lines without one are still returned. What is odd but has a meaning
 * is logged as a warning. false when the file cannot be read or has an error.
 */
bool mastercf_read(const char *path, struct mastercf *out,
		   struct strvec *errors);
/* The same from memory; path is for messages. */
bool mastercf_parse(const char *path, struct span text, struct mastercf *out,
		    struct strvec *errors);
/* Parse one logical line. false: what says why not, s is untouched. */
bool mastercf_parse_line(struct span line, struct master_service *s,
			 struct buf *what);
void mastercf_free_service(struct master_service *s);
/*
 * Check and store one column (MASTER_FIELD_NAME to MASTER_FIELD_MAXPROC).
 * false: what says why not.
 */
bool mastercf_set_field(struct master_service *s, int column, const char *text,
			struct buf *what);
/* Replace command and arguments by those in text ("smtpd -o x=y"). */
void mastercf_set_command(struct master_service *s, struct span text);
void mastercf_free(struct mastercf *m);
const struct master_service *mastercf_find(const struct mastercf *m,
					   const char *name,
					   enum master_type type);
const char *master_type_name(enum master_type t);

#endif
