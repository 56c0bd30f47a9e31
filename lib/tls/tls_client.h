/* SPDX-License-Identifier: MIT */
/*
 * tls_client - TLS connections that we open: what a connection must come to,
 * and what it came to. smtp/smtp_tls_policy.h says which wish holds where.
 *
 * A handshake succeeds whatever the server's certificate is worth; the caller
 * compares result->security with what its level needs
 * (tls_client_satisfied()), before anything but QUIT is sent.
 */
#ifndef LIB_TLS_TLS_CLIENT_H
#define LIB_TLS_TLS_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/dns/tlsa.h"
#include "lib/sys/watch.h"
#include "lib/tls/tls_context.h"
#include "lib/tls/tls_session.h"

/* Security levels of smtp_tls_security_level, in order of strength. */
enum tls_client_level {
	TLS_CLIENT_NONE,
	TLS_CLIENT_MAY,
	TLS_CLIENT_ENCRYPT,
	TLS_CLIENT_FINGERPRINT,
	/* TLSA records of a host whose MX record is not signed: they must
	 * match, but then the connection is "Trusted", not "Verified". */
	TLS_CLIENT_HALF_DANE,
	TLS_CLIENT_DANE, /* TLSA records are there and usable */
	TLS_CLIENT_DANE_ONLY,
	TLS_CLIENT_VERIFY,
	TLS_CLIENT_SECURE,
};

/* By name, without case. false: no such level. half-dane is one only for
 * those who set it themselves, not in main.cf. */
bool tls_client_level_parse(struct span name, enum tls_client_level *level);
const char *tls_client_level_name(enum tls_client_level level);
/* TLS, or no delivery. */
bool tls_client_level_is_mandatory(enum tls_client_level level);

/* How the server is known. */
enum tls_security {
	TLS_SECURITY_NONE,      /* no TLS */
	TLS_SECURITY_ANONYMOUS, /* encrypted; the server has no certificate */
	TLS_SECURITY_UNTRUSTED, /* a certificate of nobody we know */
	TLS_SECURITY_TRUSTED,   /* of an authority, or by HALF_DANE */
	TLS_SECURITY_VERIFIED,  /* and its name, or a fingerprint, or TLSA
				   records match */
};

/* Everything is borrowed until tls_client_start() returns, peer until the
 * session ends. NULL or empty is none. */
struct tls_client_wish {
	const char *peer; /* "name[addr]:port", for the log */
	enum tls_client_level level;
	const char *protocols; /* as smtp_tls_protocols */
	const char *grade;     /* of ciphers */
	const char *exclude;
	const char *exclude_more;
	const char *sni; /* name to ask for */
	/* VERIFY, SECURE, and TLSA records of usage 2: names of which one must
	 * match; ".name" is any name below it. */
	const struct strvec *names;
	/* FINGERPRINT: of a certificate or a public key, upper case
	 * hexadecimal with colons, by the digest of the context. */
	const struct strvec *fingerprints;
	/* DANE, DANE_ONLY, HALF_DANE: the records; VERIFY, SECURE: the trust
	 * anchors of a tafile, as records of usage 2, in the place of those
	 * of the context. */
	const struct tlsa_list *tlsa;
	/* VERIFY, SECURE: in the place of the authorities of the context. */
	X509_STORE *authorities;
	int64_t timeout; /* microseconds for the handshake */
	/* Where the server is, "host[addr]:port" and what else must be equal
	 * for a session to be resumed; the policy is added here. "": none. */
	const char *session_place;
	/* For probes: keep the session of a server that is not satisfying. */
	bool keep_any;
};

/* Free with tls_client_result_free(). */
struct tls_client_result {
	enum tls_security security;
	struct tls_facts facts;
	int verify_error; /* X509_V_*; X509_V_OK when trusted */
	struct buf error; /* why the certificate or the handshake failed, for
			     reports; may be empty */
	int tlsa;         /* the record that matched, or -1 */
	bool unusable;    /* OpenSSL could not use any of the records */
};

/*
 * The smtp_tls_* parameters as a context; NULL: logged, and no TLS is
 * available. Before jail(): certificates, keys and authorities are read here.
 */
struct tls_context *tls_client_context(const char *service, bool lmtp);
/* Its files; to be called before they are read. */
struct watch *tls_client_watch(void);

/*
 * Handshake on a stream, with what was sent in the clear dropped. false:
 * logged, result->error says why, and nothing can be read from or written to
 * the peer any more. true: the log line "... TLS connection established to
 * ..." was written.
 */
bool tls_client_start(struct tls_context *t, struct stream *s,
		      const struct tls_client_wish *wish,
		      struct tls_client_result *result);
/* May mail be sent to it at this level? */
bool tls_client_satisfied(enum tls_client_level level,
			  const struct tls_client_result *result);
/* tls_session_end() ends it. */
void tls_client_result_free(struct tls_client_result *r);

const char *tls_security_name(enum tls_security s);

#endif
