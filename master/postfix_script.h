/* SPDX-License-Identifier: MIT */
/*
 * postfix_script - the verbs of postfix(1). Each logs what it does and returns
 * the exit status of the command.
 */
#ifndef MASTER_POSTFIX_SCRIPT_H
#define MASTER_POSTFIX_SCRIPT_H

#include <stdbool.h>

struct postfix_options {
	int verbose;       /* -v */
	bool debug;        /* -D */
	bool unprivileged; /* not root: everything belongs to one user */
};

/* ---- postfix_control.c ---- */

int postfix_start(const struct postfix_options *o, bool check);
/* Becomes master; returns only on failure. */
int postfix_start_fg(const struct postfix_options *o);
int postfix_stop(bool wait);
int postfix_abort(void);
int postfix_reload(void);
int postfix_status(void);
int postfix_flush(void);
int postfix_logrotate(void);

/* ---- postfix_check.c ---- */

/* Create missing directories, warn about owners and modes; false: something
 * that the mail system cannot work with (logged). */
bool postfix_check(const struct postfix_options *o);
/* Set owners and modes as an installation has them. */
int postfix_set_permissions(const struct postfix_options *o);

#endif
