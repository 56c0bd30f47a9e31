/* SPDX-License-Identifier: MIT */
/*
 * tls_client_cache - sessions that a client can resume, in the memory of the
 * process. The key of a session says where the server is and what was asked
 * of it; sessions of servers that did not satisfy that are not kept.
 */
#ifndef LIB_TLS_TLS_CLIENT_CACHE_H
#define LIB_TLS_TLS_CLIENT_CACHE_H

#include <openssl/ssl.h>

#include "lib/base/span.h"

enum { TLS_CLIENT_SESSIONS_MAX = 200 };

/* Sessions of ctx can be resumed for life seconds; 0: not at all. */
void tls_client_cache_prepare(SSL_CTX *ctx, int64_t life);
/* Before the handshake: resume if possible. */
void tls_client_cache_offer(SSL *ssl, struct span key);
/* After it: keep its session, and those that the server sends later. */
void tls_client_cache_keep(SSL *ssl, struct span key);
/* Or: none is to be resumed. */
void tls_client_cache_drop(struct span key);

#endif
