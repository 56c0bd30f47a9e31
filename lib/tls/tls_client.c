/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_client.h"

#include <errno.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_client_cache.h"
#include "lib/tls/tls_dane.h"
#include "lib/tls/tls_describe.h"
#include "lib/tls/tls_dump.h"
#include "lib/tls/tls_error.h"
#include "lib/tls/tls_params.h"
#include "lib/tls/tls_stream.h"
#include "lib/tls/tls_verify.h"
#include "lib/tls/tls_webpki.h"

enum {
	/* The matching type of TLSA records (of the private range) that stands
	 * for the digest of fingerprints. */
	MTYPE_FINGERPRINT = 255,
	LIFE_MAX = 100 * 86400, /* seconds a session can be resumed */
};

/* ---- the context ---- */

static struct tls_config
client_config(const char *service, bool lmtp)
{
	/* Without a database nobody has asked for resumption. */
	int64_t life = *conf->smtp_tls_session_cache_database
			   ? conf->smtp_tls_session_cache_timeout / 1000000
			   : 0;

	return (struct tls_config){
	    .chain_files = conf->smtp_tls_chain_files,
	    .cert_file = conf->smtp_tls_cert_file,
	    .key_file = conf->smtp_tls_key_file,
	    .dcert_file = conf->smtp_tls_dcert_file,
	    .dkey_file = conf->smtp_tls_dkey_file,
	    .eccert_file = conf->smtp_tls_eccert_file,
	    .eckey_file = conf->smtp_tls_eckey_file,
	    .chain_param =
		lmtp ? "lmtp_tls_chain_files" : "smtp_tls_chain_files",
	    .cert_params = lmtp ? "lmtp_tls_cert_file, lmtp_tls_eccert_file or "
				  "lmtp_tls_dcert_file"
				: "smtp_tls_cert_file, smtp_tls_eccert_file or "
				  "smtp_tls_dcert_file",
	    .ca_file = conf->smtp_tls_CAfile,
	    .ca_path = conf->smtp_tls_CApath,
	    .dh_file = "",
	    .protocols = "", /* each connection has its own */
	    .digest = conf->smtp_tls_fingerprint_digest,
	    .sni_maps = "",
	    .verify_depth = conf->smtp_tls_scert_verifydepth,
	    .log_level =
		tls_loglevel(lmtp ? "lmtp_tls_loglevel" : "smtp_tls_loglevel",
			     conf->smtp_tls_loglevel),
	    .session_life = life < LIFE_MAX ? life : LIFE_MAX,
	    .service = service,
	};
}

struct tls_context *
tls_client_context(const char *service, bool lmtp)
{
	struct tls_config c = client_config(service, lmtp);
	struct tls_context *t = tls_context_new(&c);

	if (!t)
		return NULL;
	/* Without digests TLSA records are unusable: dane needs some TLS then,
	 * and dane-only fails. */
	tls_dane_prepare(t->ctx, conf->tls_dane_digests);
	if (SSL_CTX_dane_mtype_set(t->ctx, t->digest, MTYPE_FINGERPRINT, 1) <=
	    0) {
		log_warn("OpenSSL cannot match fingerprints: disabling TLS "
			 "support");
		tls_error_log();
		tls_context_free(t);
		return NULL;
	}
	tls_client_cache_prepare(t->ctx, c.session_life);
	return t;
}

struct watch *
tls_client_watch(void)
{
	struct watch *w = watch_new();

	watch_add_list(w, conf->smtp_tls_chain_files);
	watch_add_list(w, conf->smtp_tls_CAfile);
	watch_add_list(w, conf->smtp_tls_trust_anchor_file);
	watch_add_list(w, conf->smtp_tls_cert_file);
	watch_add_list(w, conf->smtp_tls_key_file);
	watch_add_list(w, conf->smtp_tls_dcert_file);
	watch_add_list(w, conf->smtp_tls_dkey_file);
	watch_add_list(w, conf->smtp_tls_eccert_file);
	watch_add_list(w, conf->smtp_tls_eckey_file);
	if (conf->postrider_mta_sts)
		watch_add(w, tls_webpki_file(conf->postrider_mta_sts_ca_file));
	return w;
}

/* ---- what is asked of the server ---- */

static bool
by_names(enum tls_client_level level)
{
	return level == TLS_CLIENT_VERIFY || level == TLS_CLIENT_SECURE;
}

static bool
by_records(enum tls_client_level level)
{
	return level == TLS_CLIENT_DANE || level == TLS_CLIENT_DANE_ONLY ||
	       level == TLS_CLIENT_HALF_DANE;
}

static bool
authenticates(enum tls_client_level level)
{
	return level >= TLS_CLIENT_FINGERPRINT;
}

static bool
set_protocols(SSL *ssl, const struct tls_client_wish *w)
{
	struct tls_protocols p;

	if (!tls_protocols_parse(span_of(w->protocols ? w->protocols : ""),
				 &p)) {
		log_warn("%s: Invalid TLS protocol list \"%s\": aborting TLS "
			 "session",
			 w->peer, w->protocols);
		return false;
	}
	SSL_set_options(ssl, p.off);
	SSL_set_min_proto_version(ssl, p.min);
	SSL_set_max_proto_version(ssl, p.max);
	tls_error_clear();
	return true;
}

static bool
set_ciphers(const struct tls_context *t, SSL *ssl,
	    const struct tls_client_wish *w)
{
	struct buf list = BUF_INIT;
	bool ok = tls_cipher_grade(w->grade, &list);

	if (!ok) {
		log_warn("%s: invalid cipher grade: \"%s\"", w->peer, w->grade);
		goto out;
	}
	if (w->exclude)
		tls_cipher_exclude(w->exclude, &list);
	if (w->exclude_more)
		tls_cipher_exclude(w->exclude_more, &list);
	tls_cipher_exclude(authenticates(w->level) ? "aNULL" : "eNULL", &list);
	if (t->config.log_level >= 2)
		log_info("%s: TLS cipher list \"%s\"", w->peer,
			 buf_cstr(&list));
	ok = SSL_set_cipher_list(ssl, buf_cstr(&list));
	if (!ok) {
		log_warn("%s: error setting cipher grade: \"%s\"", w->peer,
			 w->grade);
		tls_error_log();
	}
out:
	buf_free(&list);
	return ok;
}

static bool
set_names(SSL *ssl, const struct strvec *names)
{
	bool any = false;

	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	for (size_t i = 0; names && i < names->n; i++)
		any |= any ? SSL_add1_host(ssl, names->v[i])
			   : SSL_set1_host(ssl, names->v[i]);
	tls_error_clear();
	return any;
}

/* Hexadecimal digits; colons are optional. */
static bool
fingerprint_bytes(const char *text, struct buf *out)
{
	int high = -1;

	buf_reset(out);
	for (; *text; text++) {
		uint64_t digit;

		if (*text == ':' && high < 0)
			continue;
		if (!num_parse_base(span_make(text, 1), 16, 15, &digit))
			return false;
		if (high < 0) {
			high = (int)digit;
		} else {
			buf_append_byte(out, (char)(high << 4 | (int)digit));
			high = -1;
		}
	}
	return high < 0;
}

/* As records: of a certificate, or of its key, whoever signed it. */
static bool
set_fingerprints(SSL *ssl, const struct strvec *prints)
{
	struct buf bytes = BUF_INIT;
	bool any = false;

	for (size_t i = 0; prints && i < prints->n; i++)
		for (uint8_t selector = 0; selector <= 1; selector++) {
			if (!fingerprint_bytes(prints->v[i], &bytes))
				continue;
			any |=
			    SSL_dane_tlsa_add(ssl, TLSA_DANE_EE, selector,
					      MTYPE_FINGERPRINT,
					      (const unsigned char *)bytes.data,
					      bytes.len) > 0;
		}
	buf_free(&bytes);
	return any;
}

/*
 * RFC 7672 section 2.2: a server with records is there for TLS, and when none
 * of them can be used it is not authenticated. dane-only will not do then.
 */
static void
set_records(SSL *ssl, const struct tls_client_wish *w, bool *unusable)
{
	if (w->tlsa && tls_dane_add(ssl, w->peer, w->tlsa) > 0)
		return;
	log_warn("%s: all TLSA records unusable%s", w->peer,
		 w->level == TLS_CLIENT_DANE_ONLY
		     ? ""
		     : ", fallback to unauthenticated TLS");
	*unusable = true;
}

/* Of a tafile: a server's own certificate may be its trust anchor. */
static bool
set_anchors(SSL *ssl, const struct tls_client_wish *w)
{
	size_t any = tls_dane_add(ssl, w->peer, w->tlsa);

	for (size_t i = 0; i < w->tlsa->n; i++) {
		struct tlsa leaf = w->tlsa->v[i];
		const struct tlsa_list one = {&leaf, 1};

		leaf.usage = TLSA_DANE_EE;
		any += tls_dane_add(ssl, w->peer, &one);
	}
	SSL_dane_clear_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
	return any > 0;
}

/*
 * false: nothing could ever match. The caller takes it for a failed
 * handshake, as a server that is not authenticated must not get mail.
 */
static bool
set_authentication(SSL *ssl, const struct tls_client_wish *w, bool *unusable)
{
	bool anchors = by_names(w->level) && w->tlsa && w->tlsa->n;

	if (!authenticates(w->level))
		return true;
	/* Without the name to ask for, which is set by the caller. */
	if ((anchors || !by_names(w->level)) && SSL_dane_enable(ssl, NULL) <= 0)
		return false;
	if (w->level == TLS_CLIENT_FINGERPRINT)
		return set_fingerprints(ssl, w->fingerprints);
	if (!set_names(ssl, w->names))
		return false;
	if (by_records(w->level))
		set_records(ssl, w, unusable);
	return !anchors || set_anchors(ssl, w);
}

/* A digest of all that a session must not be resumed without. */
static void
session_key(const struct tls_client_wish *w, struct buf *out)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	struct buf all = BUF_INIT;

	buf_reset(out);
	if (!w->session_place || !*w->session_place)
		return;
	buf_printf(&all, "%s\n%d\n%s\n%s\n%s\n%s\n%s\n", w->session_place,
		   (int)w->level, w->protocols ? w->protocols : "", w->grade,
		   w->exclude ? w->exclude : "",
		   w->exclude_more ? w->exclude_more : "",
		   w->sni ? w->sni : "");
	if (w->authorities)
		buf_append_cstr(&all, "authorities\n");
	for (size_t i = 0; w->names && i < w->names->n; i++)
		buf_printf(&all, "name %s\n", w->names->v[i]);
	for (size_t i = 0; w->fingerprints && i < w->fingerprints->n; i++)
		buf_printf(&all, "print %s\n", w->fingerprints->v[i]);
	for (size_t i = 0; w->tlsa && i < w->tlsa->n; i++) {
		const struct tlsa *t = &w->tlsa->v[i];

		buf_printf(&all, "tlsa %d %d %d %zu ", t->usage, t->selector,
			   t->mtype, t->data.len);
		buf_append_span(&all, buf_span(&t->data));
	}
	EVP_Digest(all.data, all.len, digest, NULL, EVP_sha256(), NULL);
	for (size_t i = 0; i < sizeof(digest); i++)
		buf_printf(out, "%02x", digest[i]);
	buf_free(&all);
}

/* ---- the start ---- */

/* Ready for its handshake; NULL: logged. */
static SSL *
new_session(struct tls_context *t, const struct tls_client_wish *w,
	    bool *unusable)
{
	SSL *ssl;

	if (t->config.log_level >= 2)
		log_info("setting up TLS connection to %s", w->peer);
	tls_error_clear();
	ssl = SSL_new(t->ctx);
	if (!ssl) {
		log_warn("%s: OpenSSL gives no connection", w->peer);
		tls_error_log();
		return NULL;
	}
	SSL_set_app_data(ssl, (void *)w->peer);
	SSL_set_connect_state(ssl);
	if (!set_protocols(ssl, w) || !set_ciphers(t, ssl, w))
		goto fail;
	if (!set_authentication(ssl, w, unusable)) {
		log_warn("%s: no name, fingerprint or record to know the "
			 "server by: aborting TLS session",
			 w->peer);
		tls_error_clear();
		goto fail;
	}
	if (w->sni && *w->sni && !SSL_set_tlsext_host_name(ssl, w->sni)) {
		log_warn("%s: error setting SNI hostname to: %s", w->peer,
			 w->sni);
		tls_error_clear();
		goto fail;
	}
	if (w->authorities &&
	    !SSL_set1_verify_cert_store(ssl, w->authorities)) {
		log_warn("%s: error setting authorities", w->peer);
		tls_error_clear();
		goto fail;
	}
	tls_verify_begin(ssl, authenticates(w->level));
	tls_dump_want(ssl, t->config.log_level);
	return ssl;
fail:
	SSL_free(ssl);
	return NULL;
}

static void
log_failure(enum tls_handshake how, const char *peer, struct buf *reason)
{
	switch (how) {
	case TLS_HANDSHAKE_LOST:
		buf_set_cstr(reason, "lost connection");
		break;
	case TLS_HANDSHAKE_TIMEOUT:
		buf_set_cstr(reason, strerror(ETIMEDOUT));
		break;
	case TLS_HANDSHAKE_ERRNO:
		buf_set_cstr(reason, strerror(errno));
		break;
	default:
		log_info("SSL_connect error to %s: -1", peer);
		tls_error_reason(reason);
		tls_error_log();
		return;
	}
	log_info("SSL_connect error to %s: %s", peer, buf_cstr(reason));
	tls_error_clear();
}

static enum tls_security
security(SSL *ssl, const struct tls_client_wish *w,
	 const struct tls_client_result *r)
{
	if (!r->facts.have_cert)
		return TLS_SECURITY_ANONYMOUS;
	if (r->verify_error != X509_V_OK)
		return TLS_SECURITY_UNTRUSTED;
	/* In a session that is resumed the certificate was matched before,
	 * under the same wish. */
	if (!authenticates(w->level) || w->level == TLS_CLIENT_HALF_DANE)
		return TLS_SECURITY_TRUSTED;
	if ((w->level == TLS_CLIENT_FINGERPRINT || by_records(w->level)) &&
	    r->tlsa < 0 && !SSL_session_reused(ssl))
		return TLS_SECURITY_UNTRUSTED;
	return TLS_SECURITY_VERIFIED;
}

static void
judge(SSL *ssl, const struct tls_client_wish *w, struct tls_client_result *r)
{
	uint8_t usage, selector, mtype;
	const unsigned char *data;
	size_t len;

	r->verify_error = (int)SSL_get_verify_result(ssl);
	r->tlsa = -1;
	if (SSL_get0_dane_authority(ssl, NULL, NULL) >= 0 &&
	    SSL_get0_dane_tlsa(ssl, &usage, &selector, &mtype, &data, &len) >=
		0) {
		r->tlsa = 0;
		for (size_t i = 0; w->tlsa && i < w->tlsa->n; i++) {
			const struct tlsa *t = &w->tlsa->v[i];

			if (t->usage == usage && t->selector == selector &&
			    t->mtype == mtype &&
			    span_equal(buf_span(&t->data),
				       span_make((const char *)data, len)))
				r->tlsa = (int)i;
		}
	}
	r->security = security(ssl, w, r);
	if (r->verify_error != X509_V_OK)
		buf_set_cstr(&r->error,
			     X509_verify_cert_error_string(r->verify_error));
}

static void
log_match(SSL *ssl, const struct tls_client_wish *w,
	  const struct tls_client_result *r)
{
	const char *name = SSL_get0_peername(ssl);

	if (r->security == TLS_SECURITY_VERIFIED && name)
		log_info("%s: matched peername: %s", w->peer, name);
}

bool
tls_client_start(struct tls_context *t, struct stream *s,
		 const struct tls_client_wish *wish,
		 struct tls_client_result *result)
{
	struct buf key = BUF_INIT;
	enum tls_handshake how;
	SSL *ssl;

	*result = (struct tls_client_result){.tlsa = -1};
	ssl = new_session(t, wish, &result->unusable);
	if (!ssl) {
		buf_set_cstr(&result->error, "local configuration");
		return false;
	}
	session_key(wish, &key);
	tls_client_cache_offer(ssl, buf_span(&key));
	how = tls_stream_start(s, ssl, wish->timeout);
	if (how != TLS_HANDSHAKE_OK) {
		log_failure(how, wish->peer, &result->error);
		tls_client_cache_drop(buf_span(&key));
		tls_stream_close(s, 0);
		buf_free(&key);
		return false;
	}
	tls_dump_handshake_done(ssl);
	tls_describe(t, ssl, wish->peer, &result->facts);
	judge(ssl, wish, result);
	if (result->unusable && wish->level == TLS_CLIENT_DANE_ONLY)
		log_info("server certificate verification failed for %s: "
			 "num=%d:%s",
			 wish->peer, X509_V_ERR_UNSPECIFIED,
			 X509_verify_cert_error_string(X509_V_ERR_UNSPECIFIED));
	else
		tls_verify_report(ssl);
	if (t->config.log_level >= 2)
		log_match(ssl, wish, result);
	if (t->config.log_level >= 1)
		tls_describe_log_to(&result->facts,
				    tls_security_name(result->security),
				    wish->peer);
	if (wish->keep_any || tls_client_satisfied(wish->level, result))
		tls_client_cache_keep(ssl, buf_span(&key));
	else
		tls_client_cache_drop(buf_span(&key));
	SSL_set_app_data(ssl, NULL);
	buf_free(&key);
	return true;
}
