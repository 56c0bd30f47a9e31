/* SPDX-License-Identifier: MIT */
/*
 * smtp_session - one connection to a remote SMTP or LMTP server: connect,
 * greeting, EHLO (RFC 5321 section 4.1.1.1, RFC 2033), end.
 *
 * Every function that can fail sets why, in Postfix's words, and leaves the
 * session to be freed.
 */
#ifndef SMTP_SMTP_SESSION_H
#define SMTP_SMTP_SESSION_H

#include "lib/smtp/reply.h"
#include "lib/smtp/stream.h"
#include "smtp/smtp_addr.h"
#include "smtp/smtp_auth.h"
#include "smtp/smtp_tls_policy.h"

/* What the server announced. */
enum {
	FEATURE_ESMTP = 1 << 0,
	FEATURE_PIPELINING = 1 << 1,
	FEATURE_8BITMIME = 1 << 2,
	FEATURE_SIZE = 1 << 3,
	FEATURE_DSN = 1 << 4,
	FEATURE_SMTPUTF8 = 1 << 5,
	FEATURE_STARTTLS = 1 << 6,
	FEATURE_XFORWARD = 1 << 7,
	FEATURE_ENHANCED = 1 << 8,
	FEATURE_AUTH = 1 << 9,
	FEATURE_CHUNKING = 1 << 10,
	FEATURE_REQUIRETLS = 1 << 12, /* RFC 8689 */
	FEATURE_DELAY_DOT = 1 << 11,  /* not announced: a PIX is in the way */
};

/* Of smtp_tls.h. */
struct smtp_session_tls {
	struct smtp_tls_policy policy;
	struct tls_client_result result;
	char *peer;  /* as relay, in lower case */
	bool tried;  /* a handshake was begun */
	bool active; /* and ended well */
	bool probe;  /* no mail will be sent: any session can be resumed */
};

struct smtp_session {
	int fd;
	struct stream stream;
	struct reply reply; /* the last one */
	char *host, *addr;
	char *name;    /* "host[addr]" */
	char *relay;   /* "host[addr]:port", as logged */
	char *nexthop; /* of the request it was opened for */
	int port;
	struct dest dest; /* copies, for the policy of later requests */
	struct smtp_addr target;
	struct smtp_session_tls tls;
	bool lmtp;
	bool std_port; /* a reply with our own name is a loop */
	bool fallback; /* reached as fallback relay: not kept */
	unsigned features;
	int64_t size_limit; /* of FEATURE_SIZE; 0: none */
	int uses;           /* deliveries, the present one included */
	int64_t opened;     /* io_monotonic() */
	int64_t idle_since;
	struct smtp_auth *auth; /* NULL: no login */
	bool needs_reset;       /* a transaction was left in the middle */
	bool dead;              /* nothing may be sent any more */
};

/* NULL: why says "connect to host[addr]:port: reason". */
struct smtp_session *smtp_session_open(const struct smtp_addr *a,
				       const struct dest *d, bool lmtp,
				       struct why *why);
/* Close; *s becomes NULL. */
void smtp_session_free(struct smtp_session **s);
/* The same after QUIT, which a dead session does not get. */
void smtp_session_quit(struct smtp_session **s);

/* Greeting, EHLO, HELO or LHLO, TLS as s->tls.policy asks for. queue_id and age
 * (microseconds since the message arrived) are for the workarounds for PIX
 * firewalls. */
bool smtp_session_greet(struct smtp_session *s, const char *nexthop,
			const char *queue_id, int64_t age, struct why *why);

/*
 * Read the reply to what was sent (time limit in microseconds) into s->reply.
 * false: no reply, the session is dead, why says "lost connection with NAME
 * while PHASE" or "conversation with NAME timed out while PHASE".
 */
bool smtp_session_reply(struct smtp_session *s, int64_t timeout,
			const char *phase, struct why *why);
/* The stream had a problem while sending: the same texts. */
void smtp_session_lost(struct smtp_session *s, const char *phase,
		       struct why *why);
/* "host NAME said: REPLY (in reply to COMMAND command)" with its code. */
void smtp_session_said(const struct smtp_session *s, const char *command,
		       struct why *why);
/* "HEADhost NAME WHAT: REPLY", with its code. */
void smtp_session_refused(const struct smtp_session *s, const char *head,
			  const char *what, struct why *why);
/* For the reply to RSET of a session that is kept. */
bool smtp_session_reset(struct smtp_session *s);

#endif
