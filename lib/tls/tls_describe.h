/* SPDX-License-Identifier: MIT */
/* tls_describe - what a handshake came to, for logs and headers. */
#ifndef LIB_TLS_TLS_DESCRIBE_H
#define LIB_TLS_TLS_DESCRIBE_H

#include "lib/tls/tls_session.h"

/* Fill the facts of a connection whose handshake is done. */
void tls_describe(const struct tls_context *t, SSL *ssl, const char *peer,
		  struct tls_facts *f);
/* "Anonymous TLS connection established from ..."; log_as as in tls_wish. */
void tls_describe_log(const struct tls_facts *f, const char *peer,
		      const char *log_as);
/* "Verified TLS connection established to ..."; security is its first word. */
void tls_describe_log_to(const struct tls_facts *f, const char *security,
			 const char *peer);

#endif
