/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_dane.h"

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/tls/tls_error.h"

enum { MTYPES = 256, DIGESTS_MAX = 32 };

static const struct {
	const char *name;
	int mtype;
} known[] = {{"sha256", 1}, {"sha512", 2}};

/* "name" or "name=number". 0: bad. */
static int
digest_number(struct span word, struct span *name)
{
	size_t n = sizeof(known) / sizeof(*known);
	long eq = span_find(word, '=');
	int64_t number = 0;

	*name = eq < 0 ? word : span_make(word.data, (size_t)eq);
	if (eq >= 0 &&
	    !num_parse(span_from(word, (size_t)eq + 1), 1, MTYPES - 1, &number))
		return 0;
	for (size_t i = 0; i < n; i++) {
		bool same = span_equal_cstr_nocase(*name, known[i].name);

		if (same && number == 0)
			return known[i].mtype;
		/* The numbers of these are fixed (RFC 6698 section 7.4). */
		if (same != (number == known[i].mtype))
			return 0;
	}
	return (int)number;
}

/* false: it is not used. */
static bool
add_digest(SSL_CTX *ctx, struct span word, int order, bool *seen)
{
	struct span name;
	int mtype = digest_number(word, &name);
	char *text = mem_strndup(name.data, name.len);
	const EVP_MD *md = EVP_get_digestbyname(text);
	bool ok = false;

	if (mtype == 0 && span_find(word, '=') < 0)
		log_warn("tls_dane_digests: digest algorithm %s needs an "
			 "explicit number",
			 text);
	else if (mtype == 0)
		log_warn("tls_dane_digests: bad number in %.*s",
			 SPAN_ARG(word));
	else if (!md)
		log_warn("tls_dane_digests: there is no digest algorithm %s",
			 text);
	else if (seen[mtype])
		log_warn("tls_dane_digests: matching type %d is there twice",
			 mtype);
	else
		ok = SSL_CTX_dane_mtype_set(ctx, md, (uint8_t)mtype,
					    (uint8_t)order) > 0;
	if (ok)
		seen[mtype] = true;
	free(text);
	return ok;
}

bool
tls_dane_prepare(SSL_CTX *ctx, const char *digests)
{
	struct span rest = span_of(digests), word;
	bool seen[MTYPES] = {false};
	int order = DIGESTS_MAX;
	bool any = false;

	if (SSL_CTX_dane_enable(ctx) > 0)
		while (order > 0 && span_next_token(&rest, ", \t\r\n", &word))
			any |= add_digest(ctx, word, order--, seen);
	/* Those that are not listed are off. */
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!seen[known[i].mtype])
			SSL_CTX_dane_mtype_set(ctx, NULL,
					       (uint8_t)known[i].mtype, 0);
	/* RFC 7672 section 3.1.1: usage 3 is about a key, not about names. */
	SSL_CTX_dane_set_flags(ctx, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	tls_error_clear();
	if (!any)
		log_warn("tls_dane_digests: no digest can be used");
	return any;
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
tls_dane_usable(const struct tlsa *t)
{
	if ((t->usage != TLSA_DANE_TA && t->usage != TLSA_DANE_EE) ||
	    t->selector > 1)
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

static bool
add_record(SSL *ssl, const char *peer, const struct tlsa *t)
{
	struct buf text = BUF_INIT;
	int rc;

	rc =
	    SSL_dane_tlsa_add(ssl, t->usage, t->selector, t->mtype,
			      (const unsigned char *)t->data.data, t->data.len);
	if (rc <= 0) {
		tls_error_clear();
		tlsa_format(t, &text);
		log_warn("%s: unusable TLSA RR: %s", peer, buf_cstr(&text));
		buf_free(&text);
	}
	return rc > 0;
}

size_t
tls_dane_add(SSL *ssl, const char *peer, const struct tlsa_list *l)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		n += add_record(ssl, peer, &l->v[i]);
	return n;
}
