/* SPDX-License-Identifier: MIT */
/*
 * tls_webpki - the authorities that the web relies on, for servers that say of
 * themselves that they have a certificate of one (MTA-STS, RFC 8461 section
 * 4.2).
 */
#ifndef LIB_TLS_TLS_WEBPKI_H
#define LIB_TLS_TLS_WEBPKI_H

#include <openssl/ssl.h>

/*
 * Read the authorities, before jail(): of a file, "": those of the system. Once
 * in a process. A file that cannot be read is warned about, and no certificate
 * is good then.
 */
void tls_webpki_open(const char *ca_file);
/* The file that tls_webpki_open() reads, which is to be watched. */
const char *tls_webpki_file(const char *ca_file);

/* For SSL_set1_verify_cert_store(): they take the place of the context's.
 * NULL: tls_webpki_open() was not called. */
X509_STORE *tls_webpki_store(void);

/*
 * After a handshake: is the server's certificate good for host, whatever the
 * connection was told to verify? X509_V_OK, or what is wrong. A resumed
 * session has no certificates to look at: X509_V_ERR_UNSPECIFIED.
 */
int tls_webpki_check(SSL *ssl, const char *host);

#endif
