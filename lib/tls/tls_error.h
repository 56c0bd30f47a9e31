/* SPDX-License-Identifier: MIT */
/* tls_error - what OpenSSL has to say, in the log. */
#ifndef LIB_TLS_TLS_ERROR_H
#define LIB_TLS_TLS_ERROR_H

#include "lib/base/buf.h"

/* Log OpenSSL's queue of errors, one warning each, and empty it. */
void tls_error_log(void);
/* The first of them in words, for reports; "" without one. The queue stays. */
void tls_error_reason(struct buf *out);
/* Empty it without a word. */
void tls_error_clear(void);

#endif
