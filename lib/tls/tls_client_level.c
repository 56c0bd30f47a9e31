/* SPDX-License-Identifier: MIT */
/* Security levels by name, and TLSA records. */
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/tls/tls_client.h"
#include "lib/tls/tls_error.h"

/* In the order of the enumeration. */
static const char *const level_names[] = {
    "none", "may",       "encrypt", "fingerprint", "half-dane",
    "dane", "dane-only", "verify",  "secure",
};

bool
tls_client_level_parse(struct span name, enum tls_client_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names);
	     i++) {
		if (i == TLS_CLIENT_HALF_DANE ||
		    !span_equal_cstr_nocase(name, level_names[i]))
			continue;
		*level = (enum tls_client_level)i;
		return true;
	}
	return false;
}

const char *
tls_client_level_name(enum tls_client_level level)
{
	return level_names[level];
}

bool
tls_client_level_is_mandatory(enum tls_client_level level)
{
	return level >= TLS_CLIENT_ENCRYPT;
}

const char *
tls_security_name(enum tls_security s)
{
	static const char *const names[] = {
	    "None", "Anonymous", "Untrusted", "Trusted", "Verified",
	};

	return names[s];
}

bool
tls_client_satisfied(enum tls_client_level level,
		     const struct tls_client_result *result)
{
	switch (level) {
	case TLS_CLIENT_NONE:
	case TLS_CLIENT_MAY:
		return true;
	case TLS_CLIENT_ENCRYPT:
		return result->security >= TLS_SECURITY_ANONYMOUS;
	case TLS_CLIENT_HALF_DANE:
		return result->security >= TLS_SECURITY_TRUSTED;
	default:
		return result->security == TLS_SECURITY_VERIFIED;
	}
}

void
tls_client_result_free(struct tls_client_result *r)
{
	tls_facts_free(&r->facts);
	buf_free(&r->error);
}

/* ---- TLSA ---- */

bool
tlsa_list_add(struct tlsa_list *l, uint8_t usage, uint8_t selector,
	      uint8_t mtype, struct span data)
{
	struct tlsa *t;

	if (l->n >= TLSA_MAX)
		return false;
	l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
	t = &l->v[l->n++];
	*t = (struct tlsa){usage, selector, mtype, BUF_INIT};
	buf_set(&t->data, data);
	return true;
}

void
tlsa_list_free(struct tlsa_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_free(&l->v[i].data);
	free(l->v);
	*l = (struct tlsa_list){NULL, 0};
}

/* The whole certificate or key is in the record: can it be read? */
static bool
readable(const struct tlsa *t)
{
	const unsigned char *p = (const unsigned char *)t->data.data;
	const unsigned char *end = p + t->data.len;
	X509 *cert;
	EVP_PKEY *key;
	bool ok;

	if (t->selector == 0) {
		cert = d2i_X509(NULL, &p, (long)t->data.len);
		ok = cert && p == end && X509_get0_pubkey(cert);
		X509_free(cert);
	} else {
		key = d2i_PUBKEY(NULL, &p, (long)t->data.len);
		ok = key && p == end;
		EVP_PKEY_free(key);
	}
	tls_error_clear();
	return ok;
}

bool
tlsa_usable(const struct tlsa *t)
{
	if ((t->usage != 2 && t->usage != 3) || t->selector > 1)
		return false;
	switch (t->mtype) {
	case 0:
		return t->data.len > 0 && readable(t);
	case 1:
		return t->data.len == 32;
	case 2:
		return t->data.len == 64;
	default:
		return false;
	}
}
