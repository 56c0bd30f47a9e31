/* SPDX-License-Identifier: MIT */
/*
 * tls_dane - OpenSSL's verification by TLSA records (RFC 6698, RFC 7671,
 * digest agility included).
 *
 * For tls_client.c: tls_dane_prepare() once per context, tls_dane_begin()
 * before a handshake, tls_dane_matched() after it. Without a begin nothing
 * changes for a connection.
 */
#ifndef LIB_TLS_TLS_DANE_H
#define LIB_TLS_TLS_DANE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "lib/base/strvec.h"
#include "lib/dns/tlsa.h"

/*
 * The digests that records may use, best first: names, with "=N" where N is
 * the number of the matching type (tls_dane_digests). false: logged, and
 * there is no DANE.
 */
bool tls_dane_prepare(SSL_CTX *ctx, const char *digests);

struct tls_dane {
	const char *peer; /* "name[addr]:port", for the log */
	const char *base; /* TLSA base domain: the name that is asked for (SNI)
			     and the first that may be in the certificate */
	const struct strvec *names; /* further names, or NULL */
	const struct tlsa_list *tlsa;
	bool must; /* nothing but a match will do (dane-only) */
};

/*
 * Make the next handshake verify by these records; names are compared for
 * usage 2 only (RFC 7672 section 3.1). Records that OpenSSL cannot use are
 * logged, and left out; when all are, the certificate cannot be verified, and
 * *usable is false. false: logged, there must be no connection.
 */
bool tls_dane_begin(SSL *ssl, const struct tls_dane *d, bool *usable);

/* After a handshake: the chain and, where it matters, the name match a
 * record. Resumed sessions too: OpenSSL keeps the result with the session. */
bool tls_dane_matched(SSL *ssl);

#endif
