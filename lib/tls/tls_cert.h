/* SPDX-License-Identifier: MIT */
/*
 * tls_cert - what a peer's certificate says of itself.
 *
 * Names come from strangers: they end up in logs, headers and look-up keys.
 * A name is valid UTF-8 without control characters and at most TLS_NAME_MAX
 * bytes, or it is empty.
 */
#ifndef LIB_TLS_TLS_CERT_H
#define LIB_TLS_TLS_CERT_H

#include <openssl/x509.h>
#include <stdbool.h>

#include "lib/base/buf.h"

enum { TLS_NAME_MAX = 256 };

/*
 * Replace out by the first common name of the subject; empty without one.
 * A name that cannot be shown is empty, with a warning; peer is for that.
 */
void tls_cert_subject(const X509 *cert, const char *peer, struct buf *out);
/* The issuer's common name, or without one its organization. */
void tls_cert_issuer(const X509 *cert, const char *peer, struct buf *out);

/* All of a name on one line, "/O=Test/CN=a", non-ASCII bytes as '?'. */
void tls_cert_oneline(const X509_NAME *name, struct buf *out);

/*
 * Digests in upper case hexadecimal with colons, of the whole certificate and
 * of its public key (SubjectPublicKeyInfo). false: out is empty.
 */
bool tls_cert_fingerprint(const X509 *cert, const EVP_MD *md, struct buf *out);
bool tls_key_fingerprint(const X509 *cert, const EVP_MD *md, struct buf *out);

#endif
