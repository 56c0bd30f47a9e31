/* SPDX-License-Identifier: MIT */
/* cyrus - what the server's and the client's side of libsasl2 share. */
#ifndef LIB_SASL_CYRUS_H
#define LIB_SASL_CYRUS_H

#include <sasl/sasl.h>

#include "lib/sasl/authn.h"

/* The library's callbacks have many types in one table. */
typedef int (*cyrus_callback_fn)(void);
/* The entry of SASL_CB_LOG: what the library says goes to our log; what may
 * show passwords does not. */
sasl_callback_t cyrus_log_callback(void);
/* SMTP carries no SASL security layer, hence maxbufsize 0. */
sasl_security_properties_t cyrus_properties(const struct authn_policy *p);

#endif
