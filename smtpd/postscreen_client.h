/* SPDX-License-Identifier: MIT */
/*
 * postscreen_client - one connection: what all phases of it share.
 *
 *	start   postscreen_start.c   limits, access list, cache
 *	early   postscreen_early.c   tests before the greeting
 *	engine  postscreen_engine.c  the built-in SMTP server, deep tests
 *	pass    postscreen_pass.c    hand-over to smtpd
 *
 * A phase owns the connection's events and ends with a call of the next one's
 * function, or of postscreen_client_end(). Per connection nothing grows
 * beyond CLIENT_IN_MAX (only while a command is incomplete) and
 * CLIENT_OUT_MAX (only while the client does not read); with TLS, besides, what
 * OpenSSL keeps of a connection and of one record.
 */
#ifndef SMTPD_POSTSCREEN_CLIENT_H
#define SMTPD_POSTSCREEN_CLIENT_H

#include <event2/event.h>

#include "lib/sys/sock.h"
#include "smtpd/postscreen_tests.h"
#include "smtpd/postscreen_tls.h"

enum {
	CLIENT_READ = 4096, /* bytes taken at once */
	CLIENT_OUT_MAX = 64 * 1024,
};

/* What the built-in engine keeps; only there while it talks. */
struct screen_talk;
struct dnsbl_watch;
struct pass;

struct screen {
	int fd;
	struct sock_addr peer, local;
	char addr[SOCK_TEXT_MAX], local_addr[SOCK_TEXT_MAX];
	int port, local_port;
	bool proxied;  /* the addresses are what a proxy says */
	bool counted;  /* for postscreen_client_connection_count_limit */
	bool checking; /* for postscreen_pre_queue_limit */
	bool passing;  /* for postscreen_post_queue_limit */
	bool veto;     /* on this interface nobody gets onto the list */
	bool enforce;  /* mail is refused: no hand-over */
	bool early;    /* it spoke before the greeting, and that is enforced */
	struct screen_tests tests;
	const char *reason; /* the reply to RCPT; static text, or blocked */
	char *blocked;      /* owned text of a reply */
	int64_t since;      /* of the phase; io_monotonic() */
	struct event *read, *timer;
	struct dnsbl_watch *watch;
	struct screen_talk *talk;
	struct screen_tls *tls; /* STARTTLS was answered */
	struct pass *pass;
	struct buf out;  /* not written yet */
	struct buf head; /* what came of a proxy's header */
};

/* Which counts; postscreen_start.c owns them. */
struct screen_counts {
	int clients, checking, passing;
	bool stress;
};

extern struct screen_counts screen_counts;

/* The parameters that are words, checked at start. */
struct screen_actions {
	enum screen_action deny, greet, dnsbl, pipelining, non_smtp,
	    bare_newline;
	unsigned enabled; /* tests */
};

extern struct screen_actions screen_actions;

/* ---- postscreen_start.c ---- */

void postscreen_start_open(void);
/* A client was accepted; fd is taken over. */
void postscreen_start(int fd);
/* The same once both addresses are known. */
void postscreen_start_known(struct screen *s);
/* It counts no more. */
void postscreen_start_forget(struct screen *s);
/* It is not tested any more, and waits for an SMTP server. */
void postscreen_start_passing(struct screen *s);
int64_t postscreen_greet_wait(void);
int64_t postscreen_command_time(void);

/* ---- postscreen_client.c ---- */

struct screen *postscreen_client_new(int fd);
/* DISCONNECT to the log, and everything is released. */
void postscreen_client_end(struct screen *s);
/* The same silently: somebody else has the connection. */
void postscreen_client_free(struct screen *s);
int postscreen_client_count(void);
/* postscreen.c: a connection is over. */
void postscreen_client_gone(void);

/* "[1.2.3.4]:5678", in memory that the next call but three reuses. */
const char *postscreen_who(const struct screen *s);
/* "0.49": seconds since s->since, as logs have it. */
const char *postscreen_elapsed(const struct screen *s);

/*
 * Queue a reply ("550 5.5.1 text" without CR LF; "250-..." too): soft_bounce,
 * the reject footer and CR LF are added. Nothing is written before
 * postscreen_flush().
 */
void postscreen_reply(struct screen *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The reply's text as it would go out, without footer. */
void postscreen_reply_text(const char *reply, struct buf *out);
/* Write what can be written without waiting. false: the client is lost (errno)
 * or does not read. */
bool postscreen_flush(struct screen *s);
/* Say a last word, and end. */
void postscreen_end_with(struct screen *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* "HANGUP after ... in PHASE", and end. */
void postscreen_hangup(struct screen *s, const char *phase);

/* All tests are over: log PASS NEW or OLD when they were passed, and remember
 * it. */
void postscreen_conclude(struct screen *s);
/* The fault counts: with ACTION_ENFORCE or ACTION_DROP reply is the answer to
 * RCPT from now on. */
void postscreen_fail(struct screen *s, enum screen_test which,
		     enum screen_action action, const char *reply);

/* Input as it may be logged: \ooo, \r, \n and the like, of at most 100 bytes.
 * In memory that the next call reuses. */
const char *postscreen_shown(struct span text);

/* ---- the other phases ---- */

void postscreen_early(struct screen *s);
void postscreen_engine_open(void);
void postscreen_engine(struct screen *s);
void postscreen_talk_free(struct screen *s);
void postscreen_pass(struct screen *s);
void postscreen_pass_free(struct screen *s);
void postscreen_proxy_open(void);
bool postscreen_proxy_enabled(void);
void postscreen_proxy(struct screen *s);

/* ---- postscreen_access.c ---- */

enum screen_access { ACCESS_DUNNO, ACCESS_PERMIT, ACCESS_REJECT };

void postscreen_access_open(void);
enum screen_access postscreen_access(const char *addr);
/* postscreen_allowlist_interfaces */
bool postscreen_access_interface(const char *addr);

/* ---- postscreen_text.c ---- */

void postscreen_text_open(void);
/* Add the reject footer to a reply of class 4 or 5 without CR LF. */
void postscreen_footer(const struct screen *s, struct buf *line);
/* The name of a list as postscreen_dnsbl_reply_map has it; false: it cannot
 * be told now. */
bool postscreen_dnsbl_name(const char *domain, struct buf *out);

#endif
