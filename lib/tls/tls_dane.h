/* SPDX-License-Identifier: MIT */
/*
 * tls_dane - OpenSSL's verification by TLSA records (RFC 6698, RFC 7671;
 * digest agility is OpenSSL's).
 */
#ifndef LIB_TLS_TLS_DANE_H
#define LIB_TLS_TLS_DANE_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "lib/dns/tlsa.h"

/*
 * Once per context. digests: those that records may use, best first, by name
 * and with "=N" where N is the number of the matching type
 * (tls_dane_digests); a bad one is logged and left out. false: logged;
 * records with digests cannot be used.
 */
bool tls_dane_prepare(SSL_CTX *ctx, const char *digests);

/* Can the certificate or key that is in the record, or its digest by
 * RFC 6698, be used? */
bool tls_dane_usable(const struct tlsa *t);

/*
 * Add records after SSL_dane_enable(). Those that OpenSSL cannot use are
 * logged with peer, and left out. The number of the others.
 */
size_t tls_dane_add(SSL *ssl, const char *peer, const struct tlsa_list *l);

#endif
