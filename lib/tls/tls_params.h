/* SPDX-License-Identifier: MIT */
/*
 * tls_params - the notations of main.cf for protocols, ciphers, curves and
 * OpenSSL options (TLS_README).
 *
 * Nothing here touches a context; problems are a false return, or a warning
 * where a bad word is left out and the rest is used.
 */
#ifndef LIB_TLS_TLS_PARAMS_H
#define LIB_TLS_TLS_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

struct tls_protocols {
	int min, max; /* TLS1_2_VERSION ...; 0: no bound */
	uint64_t off; /* SSL_OP_NO_TLSv1 ... */
};

/*
 * "TLSv1.2 TLSv1.3", "!SSLv2, !SSLv3", ">=TLSv1.2, <=0304", in any mixture;
 * names without case. What is listed excludes what is not. "" is everything.
 * false: a word makes no sense.
 */
bool tls_protocols_parse(struct span text, struct tls_protocols *p);

/*
 * Append the OpenSSL list of the grade (high, medium, low, export, null), as
 * tls_GRADE_cipherlist has it. false: no such grade.
 */
bool tls_cipher_grade(const char *grade, struct buf *out);
/* Append ":!x" for each x of a list of exclusions. */
void tls_cipher_exclude(const char *list, struct buf *out);

/* SSL_OP_* bits: OpenSSL's work-arounds without tls_disable_workarounds, and
 * tls_ssl_options. */
uint64_t tls_options(void);

/* tls_eecdh_auto_curves with what OpenSSL does not know left out, as "A:B".
 * Empty: none is known, leave it to OpenSSL. */
void tls_groups(const char *list, struct buf *out);

/* smtpd_tls_loglevel: 0 to 4; a bad value is logged and counts as 0. */
int tls_loglevel(const char *param, const char *text);

#endif
