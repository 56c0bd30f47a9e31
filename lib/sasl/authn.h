/* SPDX-License-Identifier: MIT */
/*
 * authn - the server side of SASL (RFC 4422): is the client who it says?
 *
 * Two back ends: "dovecot" asks a server that speaks Dovecot's auth protocol
 * (lib/sasl/dovecot.h; authd(8) is one), "cyrus" asks libsasl2. One of them is
 * opened per process, before jail(); dialogues are blocking, one at a time.
 *
 * Challenges and responses are base64 text, as SMTP has them; the back end
 * decides what is well formed. A back end that is missing, hangs, dies or
 * talks nonsense makes a dialogue end with AUTHN_TEMP, within AUTHN_SECONDS
 * per step; the next dialogue tries anew. Nothing here is fatal but a mistake
 * in the settings.
 */
#ifndef LIB_SASL_AUTHN_H
#define LIB_SASL_AUTHN_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"

enum {
	AUTHN_SECONDS = 30,     /* for one answer of a back end */
	AUTHN_MECHS_MAX = 50,   /* mechanisms of a back end that count */
	AUTHN_NAME_MAX = 1024,  /* bytes of a user name */
	AUTHN_REASON_MAX = 200, /* that go into a reply */
};

/* What a mechanism is like (RFC 4422 section 5, Dovecot's MECH flags). */
enum {
	MECH_PLAINTEXT = 1 << 0,
	MECH_ACTIVE = 1 << 1, /* an attacker in between can use it */
	MECH_DICTIONARY = 1 << 2,
	MECH_ANONYMOUS = 1 << 3,
	MECH_FORWARD_SECRECY = 1 << 4,
	MECH_MUTUAL_AUTH = 1 << 5,
	MECH_PRIVATE = 1 << 6, /* not for clients */
};

/* What mechanisms must be like, from *_sasl_security_options. */
struct authn_policy {
	unsigned avoid, need; /* MECH_* */
};

/* "noplaintext, noactive, nodictionary, noanonymous, forward_secrecy,
 * mutual_auth". false: bad is the word that is none of these. */
bool authn_parse_options(struct span text, struct authn_policy *out,
			 struct span *bad);
bool authn_policy_allows(const struct authn_policy *p, unsigned flags);

struct authn_settings {
	const char *type; /* "dovecot" or "cyrus" */
	/*
	 * dovecot: "inet:host:port", or a socket's path, absolute or below the
	 * working directory. cyrus: the name of its configuration file.
	 */
	const char *path;
	/* dovecot: a socket to ask when path does not exist; or NULL */
	const char *fallback;
	const char *config_path; /* cyrus: directories, ':' between them */
	const char *service;     /* "smtp" */
	const char *hostname;    /* of this server */
	const char *realm;       /* cyrus: of names without one; or "" */
};

/* The settings are kept, not copied. false: reason. */
bool authn_open(const struct authn_settings *settings, struct buf *reason);

/* One client that wants to log in. */
struct authn_client {
	const char *addr, *server_addr; /* IP addresses as text */
	bool secured;                   /* TLS is active */
	struct authn_policy policy;
};

/*
 * The names of the mechanisms that fit, in the back end's order; none when it
 * cannot be asked (logged).
 */
void authn_mechanisms(const struct authn_client *client, struct strvec *out);

enum authn_status {
	AUTHN_OK,       /* username is set */
	AUTHN_CONTINUE, /* challenge is for the client */
	AUTHN_FAIL,     /* reason is set, username perhaps */
	AUTHN_TEMP,     /* the same: nobody could say */
};

struct authn {
	struct buf challenge; /* base64 */
	struct buf username;
	struct buf reason;
	/* private */
	uint32_t id;
	void *conn;
};

#define AUTHN_INIT                                    \
	{                                             \
		BUF_INIT, BUF_INIT, BUF_INIT, 0, NULL \
	}

/*
 * Begin a dialogue; response.data is NULL when the client sent none with the
 * command. Free with authn_free() in any case, also to break it off.
 */
enum authn_status authn_begin(struct authn *a, const struct authn_client *c,
			      struct span mech, struct span response);
enum authn_status authn_step(struct authn *a, struct span response);
void authn_free(struct authn *a);

/* Free a buffer that held a password. */
void authn_wipe(struct buf *b);

/* ---- the back ends ---- */

struct authn_backend {
	bool (*open)(const struct authn_settings *s, struct buf *reason);
	void (*mechanisms)(const struct authn_client *c, struct strvec *out);
	enum authn_status (*begin)(struct authn *a,
				   const struct authn_client *c,
				   struct span mech, struct span response);
	enum authn_status (*step)(struct authn *a, struct span response);
	void (*end)(struct authn *a);
};

extern const struct authn_backend authn_dovecot, authn_cyrus;

#endif
