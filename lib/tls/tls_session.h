/* SPDX-License-Identifier: MIT */
/*
 * tls_session - one TLS connection: its start, what was agreed on, and the
 * log lines about it.
 *
 * Failures are logged where they happen, as Postfix does; the caller only
 * learns that there is no TLS.
 */
#ifndef LIB_TLS_TLS_SESSION_H
#define LIB_TLS_TLS_SESSION_H

#include "lib/base/buf.h"
#include "lib/smtp/stream.h"
#include "lib/tls/tls_context.h"
#include "lib/tls/tls_stream.h"

/* What a connection wants beyond its context. */
struct tls_wish {
	const char *peer;    /* "name[addr]", for the log; kept until the end */
	const char *grade;   /* of ciphers */
	const char *exclude; /* two lists of ciphers; NULL: none */
	const char *exclude_more;
	bool need_cert;     /* server: log why a client's is not trusted */
	int64_t timeout;    /* microseconds for the handshake */
	const char *log_as; /* Postfix's process for that; NULL: this one */
};

/* The result; free with tls_facts_free(). */
struct tls_facts {
	struct buf protocol, cipher; /* "TLSv1.3", "TLS_AES_256_GCM_SHA384" */
	int bits, max_bits;
	struct buf kex;        /* "X25519"; TLS 1.3 only, as what follows */
	struct buf own_sig;    /* "RSA-PSS (2048 bits)" */
	struct buf own_digest; /* "SHA256" */
	struct buf peer_sig, peer_digest;
	struct buf sni; /* the name that chose the certificate */
	bool have_cert; /* the peer's */
	bool trusted;
	bool reused;                /* a session was resumed */
	struct buf subject, issuer; /* common names */
	struct buf cert_fingerprint, key_fingerprint;
};

/*
 * Handshake on a stream, with what was sent in the clear dropped. false:
 * logged, and nothing more can be read from or written to the peer.
 */
bool tls_session_accept(struct tls_context *t, struct stream *s,
			const struct tls_wish *wish, struct tls_facts *facts);
/*
 * The same for an event loop; see tls_stream_begin(). begin: false as above.
 * step: a failure is not logged; OpenSSL's errors are those of tls_error.h.
 */
bool tls_session_begin(struct tls_context *t, struct stream *s,
		       const struct tls_wish *wish);
enum tls_handshake tls_session_step(struct tls_context *t, struct stream *s,
				    const struct tls_wish *wish,
				    struct tls_facts *facts);
/* Say goodbye and go back to a stream without TLS; it is at its end. */
void tls_session_end(struct stream *s);

void tls_facts_free(struct tls_facts *f);

/* For tls_context.c: the callbacks. */
void tls_session_prepare(struct tls_context *t);
/* For tls_describe.c: set in an SSL whose certificate was chosen by name. */
int tls_session_sni_index(void);

#endif
