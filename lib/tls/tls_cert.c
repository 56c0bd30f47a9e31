/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_cert.h"

#include <openssl/asn1.h>
#include <openssl/evp.h>
#include <openssl/objects.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/tls/tls_error.h"

enum { ONELINE_MAX = 512 };

static bool
has_control(const unsigned char *s, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (s[i] < ' ' || s[i] == 127)
			return true;
		/* C1, in UTF-8 */
		if (s[i] == 0xc2 && i + 1 < len && s[i + 1] < 0xa0)
			return true;
	}
	return false;
}

/* false: there is no such attribute, or it cannot be shown. */
static bool
text_name(const X509_NAME *name, int nid, const char *label, const char *peer,
	  struct buf *out)
{
	int at = X509_NAME_get_index_by_NID(name, nid, -1);
	unsigned char *text;
	int len;

	buf_reset(out);
	if (at < 0)
		return false;
	len = ASN1_STRING_to_UTF8(
	    &text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (len < 0) {
		tls_error_clear();
		log_warn("%s: peer %s cannot be decoded", peer, label);
		return false;
	}
	if (len > TLS_NAME_MAX)
		log_warn("%s: peer %s of %d bytes is too long", peer, label,
			 len);
	else if (has_control(text, (size_t)len) ||
		 !utf8_valid((char *)text, (size_t)len))
		log_warn("tls_text_name: %s: non-printable content in peer %s",
			 peer, label);
	else
		buf_append(out, text, (size_t)len);
	OPENSSL_free(text);
	return out->len > 0;
}

void
tls_cert_subject(const X509 *cert, const char *peer, struct buf *out)
{
	text_name(X509_get_subject_name(cert), NID_commonName, "subject CN",
		  peer, out);
}

void
tls_cert_issuer(const X509 *cert, const char *peer, struct buf *out)
{
	const X509_NAME *name = X509_get_issuer_name(cert);

	if (!text_name(name, NID_commonName, "issuer CN", peer, out))
		text_name(name, NID_organizationName, "issuer Organization",
			  peer, out);
}

void
tls_cert_oneline(const X509_NAME *name, struct buf *out)
{
	char text[ONELINE_MAX];

	text[0] = '\0';
	X509_NAME_oneline(name, text, sizeof(text));
	buf_set_cstr(out, text);
	if (out->len)
		utf8_printable(out->data, out->len, '?');
}

static void
append_hex(const unsigned char *digest, unsigned len, struct buf *out)
{
	for (unsigned i = 0; i < len; i++)
		buf_printf(out, "%s%02X", i ? ":" : "", digest[i]);
}

bool
tls_cert_fingerprint(const X509 *cert, const EVP_MD *md, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len;

	buf_reset(out);
	if (!X509_digest(cert, md, digest, &len)) {
		tls_error_clear();
		return false;
	}
	append_hex(digest, len, out);
	return true;
}

bool
tls_key_fingerprint(const X509 *cert, const EVP_MD *md, struct buf *out)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
	unsigned len;
	bool ok;

	buf_reset(out);
	ok = n > 0 && EVP_Digest(der, (size_t)n, digest, &len, md, NULL);
	OPENSSL_free(der);
	if (ok)
		append_hex(digest, len, out);
	else
		tls_error_clear();
	return ok;
}
