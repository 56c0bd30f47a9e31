/* SPDX-License-Identifier: MIT */
/* tls_error - what OpenSSL has to say, in the log. */
#ifndef LIB_TLS_TLS_ERROR_H
#define LIB_TLS_TLS_ERROR_H

/* Log OpenSSL's queue of errors, one warning each, and empty it. */
void tls_error_log(void);
/* Empty it without a word. */
void tls_error_clear(void);

#endif
