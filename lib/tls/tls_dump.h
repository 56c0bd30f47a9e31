/* SPDX-License-Identifier: MIT */
/*
 * tls_dump - bytes of a connection in the log, for smtpd_tls_loglevel 3 (the
 * handshake) and 4 (everything, passwords included).
 */
#ifndef LIB_TLS_TLS_DUMP_H
#define LIB_TLS_TLS_DUMP_H

#include <openssl/ssl.h>
#include <stddef.h>

/* Before tls_stream_start(). */
void tls_dump_want(SSL *ssl, int level);
/* For tls_stream.c. No effect on a connection that nobody wants dumped. */
void tls_dump_attach(SSL *ssl, BIO *bio);
void tls_dump_text(SSL *ssl, const char *what, const char *data, size_t len);
/* The handshake is over. */
void tls_dump_handshake_done(SSL *ssl);

#endif
