/* SPDX-License-Identifier: MIT */
/* authd - what the parts of authd(8) share. */
#ifndef SMTPD_AUTHD_H
#define SMTPD_AUTHD_H

#include <stdbool.h>

#include "lib/base/span.h"

struct event_base;

/* ---- authd_client.c: one connection, Dovecot's auth protocol ---- */

/* Owns fd. */
void authd_client_new(struct event_base *base, int fd);

/* ---- authd_check.c: a password at a time, in a process of its own ---- */

enum authd_verdict {
	AUTHD_OK,
	AUTHD_FAIL,
	AUTHD_TEMP,
};

struct authd_check;
typedef void (*authd_done_fn)(void *arg, enum authd_verdict verdict);

/*
 * Check user and password (copied; NUL and control characters were refused
 * before). done is called later, once, unless the check is cancelled; a
 * refusal comes after a delay. NULL: there are too many already.
 */
struct authd_check *authd_check_start(struct event_base *base, struct span user,
				      struct span password, struct span rip,
				      authd_done_fn done, void *arg);
/* Whoever asked is gone. */
void authd_check_cancel(struct authd_check *c);
bool authd_check_any(void);
/* Called whenever the last one has ended. */
void authd_check_on_idle(void (*fn)(void));

/* ---- authd_pam.c ---- */

/* In a child process: may take long. */
enum authd_verdict authd_pam(const char *user, const char *password,
			     const char *rip);

#endif
