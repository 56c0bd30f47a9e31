/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_describe.h"

#include <openssl/evp.h>
#include <openssl/objects.h>

#include "lib/base/log.h"
#include "lib/tls/tls_cert.h"
#include "lib/tls/tls_error.h"

static const char *
group_name(const EVP_PKEY *key, char *name, size_t size)
{
	size_t len;

	return EVP_PKEY_get_group_name(key, name, size, &len) ? name : NULL;
}

/* "X25519", "ECDHE (prime256v1)", "DHE (2048 bits)". */
static void
key_exchange(SSL *ssl, struct buf *out)
{
	EVP_PKEY *key = NULL;
	char name[80];

	if (!SSL_get_peer_tmp_key(ssl, &key))
		return;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_DH:
		buf_printf(out, "DHE (%d bits)", EVP_PKEY_get_bits(key));
		break;
	case EVP_PKEY_EC:
		if (group_name(key, name, sizeof(name)))
			buf_printf(out, "ECDHE (%s)", name);
		else
			buf_append_cstr(out, "ECDHE");
		break;
	default:
		if (EVP_PKEY_get0_type_name(key))
			buf_append_cstr(out, EVP_PKEY_get0_type_name(key));
	}
	EVP_PKEY_free(key);
}

/* In TLS 1.3 every RSA signature is RSA-PSS. */
static void
signature(const X509 *cert, struct buf *out)
{
	EVP_PKEY *key = cert ? X509_get0_pubkey(cert) : NULL;
	char name[80];

	if (!key)
		return;
	switch (EVP_PKEY_get_base_id(key)) {
	case EVP_PKEY_RSA:
	case EVP_PKEY_RSA_PSS:
		buf_printf(out, "RSA-PSS (%d bits)", EVP_PKEY_get_bits(key));
		break;
	case EVP_PKEY_EC:
		if (group_name(key, name, sizeof(name)))
			buf_printf(out, "ECDSA (%s)", name);
		else
			buf_append_cstr(out, "ECDSA");
		break;
	default:
		if (EVP_PKEY_get0_type_name(key))
			buf_append_cstr(out, EVP_PKEY_get0_type_name(key));
	}
}

/* Unknown in a session that was resumed: nobody signed anything. */
static void
digest(int known, int nid, struct buf *out)
{
	if (known && nid != NID_undef)
		buf_append_cstr(out, OBJ_nid2sn(nid));
}

static void
describe_tls13(SSL *ssl, const X509 *peer_cert, struct tls_facts *f)
{
	int nid = NID_undef, known;

	key_exchange(ssl, &f->kex);
	known = SSL_get_signature_nid(ssl, &nid);
	/* A client has a certificate even where nobody asked for it. */
	if (SSL_is_server(ssl) || known)
		signature(SSL_get_certificate(ssl), &f->own_sig);
	digest(known, nid, &f->own_digest);
	if (!peer_cert)
		return;
	signature(peer_cert, &f->peer_sig);
	nid = NID_undef;
	known = SSL_get_peer_signature_nid(ssl, &nid);
	digest(known, nid, &f->peer_digest);
}

static void
describe_cert(const struct tls_context *t, SSL *ssl, X509 *cert,
	      const char *peer, struct tls_facts *f)
{
	struct buf name = BUF_INIT;

	f->have_cert = true;
	f->trusted = SSL_get_verify_result(ssl) == X509_V_OK;
	tls_cert_subject(cert, peer, &f->subject);
	tls_cert_issuer(cert, peer, &f->issuer);
	tls_cert_fingerprint(cert, t->digest, &f->cert_fingerprint);
	tls_key_fingerprint(cert, t->digest, &f->key_fingerprint);
	if (t->config.log_level < 2)
		return;
	if (t->config.server) {
		tls_cert_oneline(X509_get_subject_name(cert), &name);
		log_info("subject=%s", buf_cstr(&name));
		tls_cert_oneline(X509_get_issuer_name(cert), &name);
		log_info("issuer=%s", buf_cstr(&name));
	}
	log_info("%s: subject_CN=%s, %s=%s, fingerprint=%s, "
		 "pkey_fingerprint=%s",
		 peer, buf_cstr(&f->subject),
		 t->config.server ? "issuer" : "issuer_CN",
		 buf_cstr(&f->issuer), buf_cstr(&f->cert_fingerprint),
		 buf_cstr(&f->key_fingerprint));
	buf_free(&name);
}

void
tls_describe(const struct tls_context *t, SSL *ssl, const char *peer,
	     struct tls_facts *f)
{
	const SSL_CIPHER *c = SSL_get_current_cipher(ssl);
	X509 *cert = SSL_get1_peer_certificate(ssl);
	const char *sni;

	buf_set_cstr(&f->protocol, SSL_get_version(ssl));
	buf_set_cstr(&f->cipher, SSL_CIPHER_get_name(c));
	f->bits = SSL_CIPHER_get_bits(c, &f->max_bits);
	f->reused = SSL_session_reused(ssl);
	if (SSL_version(ssl) >= TLS1_3_VERSION)
		describe_tls13(ssl, cert, f);
	if (cert)
		describe_cert(t, ssl, cert, peer, f);
	X509_free(cert);
	sni = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	if (sni && SSL_get_ex_data(ssl, tls_session_sni_index()))
		buf_set_cstr(&f->sni, sni);
	tls_error_clear();
}

static void
append_if(struct buf *line, const char *label, const struct buf *value)
{
	if (value->len)
		buf_printf(line, " %s %s", label, buf_cstr(value));
}

void
tls_describe_log(const struct tls_facts *f, const char *peer,
		 const char *log_as)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s TLS connection established from %s",
		   !f->have_cert ? "Anonymous"
		   : f->trusted  ? "Trusted"
				 : "Untrusted",
		   peer);
	append_if(&line, "to", &f->sni);
	buf_printf(&line, ": %s with cipher %s (%d/%d bits)",
		   buf_cstr(&f->protocol), buf_cstr(&f->cipher), f->bits,
		   f->max_bits);
	append_if(&line, "key-exchange", &f->kex);
	append_if(&line, "server-signature", &f->own_sig);
	append_if(&line, "server-digest", &f->own_digest);
	append_if(&line, "client-signature", &f->peer_sig);
	append_if(&line, "client-digest", &f->peer_digest);
	log_info_as(log_as, "%s", buf_cstr(&line));
	buf_free(&line);
}

void
tls_describe_log_to(const struct tls_facts *f, const char *security,
		    const char *peer)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s TLS connection established to %s", security,
		   peer);
	append_if(&line, "to", &f->sni);
	buf_printf(&line, ": %s with cipher %s (%d/%d bits)",
		   buf_cstr(&f->protocol), buf_cstr(&f->cipher), f->bits,
		   f->max_bits);
	append_if(&line, "key-exchange", &f->kex);
	append_if(&line, "server-signature", &f->peer_sig);
	append_if(&line, "server-digest", &f->peer_digest);
	append_if(&line, "client-signature", &f->own_sig);
	append_if(&line, "client-digest", &f->own_digest);
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}
