/* SPDX-License-Identifier: MIT */
/*
 * tls_chain - private keys and certificate chains from PEM text.
 *
 * A chain is a key, its certificate, and the certificates of the authorities
 * above it that the peer may not have. Every problem is logged and names the
 * file. Files are at most TLS_PEM_MAX bytes.
 */
#ifndef LIB_TLS_TLS_CHAIN_H
#define LIB_TLS_TLS_CHAIN_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "lib/base/span.h"

enum { TLS_PEM_MAX = 1 << 20 };

/*
 * The certificate chain of cert_file and the key of key_file, which may be
 * the same file. what is "RSA", "ECDSA" or "DSA", for messages.
 */
bool tls_chain_load_pair(SSL_CTX *ctx, const char *cert_file,
			 const char *key_file, const char *what);

/*
 * A list of files: key, certificate, further certificates, the next key ...;
 * a chain may go on in the next file. One chain for each kind of key.
 */
bool tls_chain_load_files(SSL_CTX *ctx, const char *list);

/* One connection: the same from text; where names it in messages. */
bool tls_chain_use(SSL *ssl, struct span pem, const char *where);

#endif
