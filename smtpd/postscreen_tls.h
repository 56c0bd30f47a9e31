/* SPDX-License-Identifier: MIT */
/*
 * postscreen_tls - STARTTLS of the built-in SMTP server (RFC 3207), which
 * never waits. What Postfix's tlsproxy logs comes under that name here.
 */
#ifndef SMTPD_POSTSCREEN_TLS_H
#define SMTPD_POSTSCREEN_TLS_H

#include <stdbool.h>
#include <sys/types.h>

struct screen;
/* From STARTTLS on, in struct screen. */
struct screen_tls;

enum screen_tls_state {
	SCREEN_TLS_OK,
	SCREEN_TLS_AGAIN, /* wait, see postscreen_tls_wants_write() */
	SCREEN_TLS_FAILED,
};

/* With the privileges that keys need. A successor that cannot use what is on
 * disk ends here. */
void postscreen_tls_open(void);
/* For struct service. */
int postscreen_tls_watch_fd(void);
bool postscreen_tls_watch_changed(void);

/* Is there a level at which this client may use STARTTLS? */
bool postscreen_tls_wanted(void);
/* Must it use it before it goes on? */
bool postscreen_tls_missing(const struct screen *s);

/* Are there keys and certificates? Logs a client for whom there are none. */
bool postscreen_tls_available(const struct screen *s);

/* The handshake begins. false: there is no TLS after all (logged). */
bool postscreen_tls_begin(struct screen *s);
/* It goes on; a failure is logged, and only postscreen_tls_end() may follow. */
enum screen_tls_state postscreen_tls_step(struct screen *s);
/* Microseconds that a handshake may take. */
int64_t postscreen_tls_time(void);
/* It took longer. */
void postscreen_tls_too_slow(struct screen *s);
/* Say goodbye, without waiting, and release everything. No effect without
 * TLS. */
void postscreen_tls_end(struct screen *s);

/* As recv(2) and send(2) without waiting, on the bare connection when there is
 * no TLS. */
ssize_t postscreen_recv(struct screen *s, void *data, size_t len);
ssize_t postscreen_send(struct screen *s, const void *data, size_t len);
/* Is the last EAGAIN of a handshake or of postscreen_recv() one that waits to
 * write? */
bool postscreen_tls_wants_write(const struct screen *s);
/* Would postscreen_recv() have something to say though nothing comes in? */
bool postscreen_tls_pending(const struct screen *s);

#endif
