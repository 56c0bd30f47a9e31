/* SPDX-License-Identifier: MIT */
/*
 * tlsrpt - how TLS with a domain's mail exchangers went, for the reports that
 * the domain asks for (RFC 8460).
 */
#ifndef LIB_SMTP_TLSRPT_H
#define LIB_SMTP_TLSRPT_H

#include <stdbool.h>

#include "lib/base/strvec.h"

/* Section 4.3. The numbers go into files. */
enum tlsrpt_result {
	TLSRPT_SUCCESS,
	TLSRPT_STARTTLS_NOT_SUPPORTED,
	TLSRPT_CERTIFICATE_HOST_MISMATCH,
	TLSRPT_CERTIFICATE_EXPIRED,
	TLSRPT_CERTIFICATE_NOT_TRUSTED,
	TLSRPT_VALIDATION_FAILURE,
	TLSRPT_TLSA_INVALID,
	TLSRPT_DNSSEC_INVALID,
	TLSRPT_DANE_REQUIRED,
	TLSRPT_STS_FETCH_ERROR,
	TLSRPT_STS_POLICY_INVALID,
	TLSRPT_STS_WEBPKI_INVALID,
	TLSRPT_RESULT_COUNT
};

/* The policy that was in force, section 4.4 "policy-type". */
enum tlsrpt_policy_type {
	TLSRPT_NO_POLICY,
	TLSRPT_STS,
	TLSRPT_TLSA,
	TLSRPT_POLICY_COUNT
};

enum {
	TLSRPT_STRINGS_MAX = 300, /* lines of one policy */
	TLSRPT_URIS_MAX = 16,
};

/* "starttls-not-supported"; "success" */
const char *tlsrpt_result_name(enum tlsrpt_result r);
/* "no-policy-found", "sts", "tlsa" */
const char *tlsrpt_policy_name(enum tlsrpt_policy_type t);
/* false: there is none of that name. */
bool tlsrpt_result_parse(struct span name, enum tlsrpt_result *r);
bool tlsrpt_policy_parse(struct span name, enum tlsrpt_policy_type *t);

/*
 * Section 3: is this TXT record one of TLSRPT (others do not count), and to
 * which URIs does it send reports? false: not well-formed, or none to a
 * mailto: or https: URI.
 */
bool tlsrpt_is_record(struct span text);
bool tlsrpt_parse_record(struct span text, struct strvec *uris);

/* Append text as a string of JSON, quotes included (RFC 8259 section 7). What
 * is not UTF-8 becomes '?'. */
struct buf;
void tlsrpt_put_json(struct buf *out, struct span text);

#endif
