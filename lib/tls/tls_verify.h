/* SPDX-License-Identifier: MIT */
/*
 * tls_verify - the peer's certificate chain. A chain that is not trusted does
 * not end the handshake: what it means is decided after it.
 */
#ifndef LIB_TLS_TLS_VERIFY_H
#define LIB_TLS_TLS_VERIFY_H

#include "lib/tls/tls_context.h"

void tls_verify_prepare(struct tls_context *t);
/* One connection; say_why: log the reason when the chain is not trusted. */
void tls_verify_begin(SSL *ssl, bool say_why);
/* Client: log it now, if there is one. */
void tls_verify_report(SSL *ssl);

#endif
