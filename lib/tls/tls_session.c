/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_session.h"

#include <errno.h>
#include <string.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_cert.h"
#include "lib/tls/tls_chain.h"
#include "lib/tls/tls_describe.h"
#include "lib/tls/tls_dump.h"
#include "lib/tls/tls_error.h"
#include "lib/tls/tls_params.h"
#include "lib/tls/tls_stream.h"
#include "lib/tls/tls_verify.h"

enum {
	GOODBYE_USEC = 5 * 1000000, /* without tls_fast_shutdown_enable */
};

static int sni_index = -1; /* in an SSL: not NULL when its name was found */

int
tls_session_sni_index(void)
{
	return sni_index;
}

static const char *
peer_of(const SSL *ssl)
{
	const char *peer = SSL_get_app_data(ssl);

	return peer ? peer : "unknown";
}

/* ---- server name indication (RFC 6066) ---- */

/* The name, then its parents as ".parent". false: nothing there. */
static enum table_status
find_chain(struct maps *m, struct span name, struct buf *pem, struct why *why)
{
	enum table_status st = maps_get(m, name, pem, why);

	while (st == TABLE_ABSENT) {
		long dot = span_find(span_from(name, 1), '.');

		if (dot < 0)
			break;
		name = span_from(name, (size_t)dot + 1);
		st = maps_get_partial(m, name, pem, why);
	}
	return st;
}

static int
use_chain_for(struct tls_context *t, SSL *ssl, const char *name)
{
	struct buf pem = BUF_INIT;
	struct why why = WHY_INIT;
	int result = SSL_TLSEXT_ERR_OK;

	switch (find_chain(t->sni, span_of(name), &pem, &why)) {
	case TABLE_FOUND:
		if (!tls_chain_use(ssl, buf_span(&pem), name)) {
			log_warn("error loading private keys and certificates "
				 "from: SNI data for %s",
				 name);
			result = SSL_TLSEXT_ERR_ALERT_FATAL;
		}
		SSL_set_ex_data(ssl, sni_index, t);
		break;
	case TABLE_ABSENT:
		if (t->config.log_level >= 1)
			log_info("TLS SNI %s from %s not matched, using "
				 "default chain",
				 name, peer_of(ssl));
		result = SSL_TLSEXT_ERR_NOACK;
		break;
	case TABLE_RETRY:
		log_warn("%s: %s map lookup problem", "tls_server_sni_maps",
			 name);
		result = SSL_TLSEXT_ERR_ALERT_FATAL;
		break;
	}
	if (pem.data)
		OPENSSL_cleanse(pem.data, pem.cap);
	buf_free(&pem);
	why_free(&why);
	return result;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_context *t = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	if (!name || !t->sni)
		return SSL_TLSEXT_ERR_NOACK;
	if (!addr_valid_hostname(span_of(name))) {
		log_warn("TLS SNI from %s is invalid", peer_of(ssl));
		return SSL_TLSEXT_ERR_NOACK;
	}
	return use_chain_for(t, ssl, name);
}

/* ---- steps, for the log ---- */

static void
on_step(const SSL *ssl, int where, int ret)
{
	const char *side = where & SSL_ST_CONNECT  ? "SSL_connect"
			   : where & SSL_ST_ACCEPT ? "SSL_accept"
						   : "unknown";

	if (where & SSL_CB_LOOP)
		log_info("%s:%s", side, SSL_state_string_long(ssl));
	else if ((where & SSL_CB_ALERT) && (ret & 0xff) == SSL_AD_CLOSE_NOTIFY)
		return; /* the good end */
	else if (where & SSL_CB_ALERT)
		log_info("SSL3 alert %s:%s:%s",
			 where & SSL_CB_READ ? "read" : "write",
			 SSL_alert_type_string_long(ret),
			 SSL_alert_desc_string_long(ret));
	else if ((where & SSL_CB_EXIT) && ret == 0)
		log_info("%s:failed in %s", side, SSL_state_string_long(ssl));
	else if ((where & SSL_CB_EXIT) && ret < 0 &&
		 ((!SSL_want_read(ssl) && !SSL_want_write(ssl)) ||
		  ((where & SSL_ST_CONNECT) &&
		   !strcmp(SSL_state_string_long(ssl), "error"))))
		log_info("%s:error in %s", side, SSL_state_string_long(ssl));
}

void
tls_session_prepare(struct tls_context *t)
{
	if (sni_index < 0)
		sni_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	if (t->config.server)
		SSL_CTX_set_tlsext_servername_callback(t->ctx, on_server_name);
	SSL_CTX_set_tlsext_servername_arg(t->ctx, t);
	tls_verify_prepare(t);
	if (t->config.log_level >= 2)
		SSL_CTX_set_info_callback(t->ctx, on_step);
}

/* ---- the start ---- */

static bool
set_ciphers(const struct tls_context *t, SSL *ssl, const struct tls_wish *w)
{
	struct buf list = BUF_INIT;
	bool ok = false;

	if (!tls_cipher_grade(w->grade, &list)) {
		log_warn("%s: invalid cipher grade: \"%s\"", w->peer, w->grade);
		goto out;
	}
	tls_cipher_exclude(w->exclude, &list);
	tls_cipher_exclude(w->exclude_more, &list);
	/* Who wants a certificate must not agree on none. */
	if (t->config.ask_cert)
		tls_cipher_exclude("aNULL", &list);
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

static void
log_failure(enum tls_handshake how, const char *peer)
{
	switch (how) {
	case TLS_HANDSHAKE_LOST:
		log_info("SSL_accept error from %s: lost connection", peer);
		break;
	case TLS_HANDSHAKE_TIMEOUT:
		log_info("SSL_accept error from %s: %s", peer,
			 strerror(ETIMEDOUT));
		break;
	case TLS_HANDSHAKE_ERRNO:
		log_info("SSL_accept error from %s: %s", peer, strerror(errno));
		break;
	default:
		log_info("SSL_accept error from %s: -1", peer);
		tls_error_log();
	}
	tls_error_clear();
}

/* Ready for its handshake; NULL: logged. */
static SSL *
new_session(struct tls_context *t, const struct tls_wish *wish)
{
	SSL *ssl;

	if (t->config.log_level >= 2)
		log_info("setting up TLS connection from %s", wish->peer);
	tls_error_clear();
	ssl = SSL_new(t->ctx);
	if (!ssl) {
		log_warn("%s: OpenSSL gives no connection", wish->peer);
		tls_error_log();
		return NULL;
	}
	SSL_set_app_data(ssl, (void *)wish->peer);
	if (!set_ciphers(t, ssl, wish)) {
		SSL_free(ssl);
		return NULL;
	}
	SSL_set_accept_state(ssl);
	tls_verify_begin(ssl, wish->need_cert);
	tls_dump_want(ssl, t->config.log_level);
	return ssl;
}

static void
established(struct tls_context *t, SSL *ssl, const struct tls_wish *wish,
	    struct tls_facts *facts)
{
	tls_dump_handshake_done(ssl);
	if (t->config.log_level >= 2 && SSL_session_reused(ssl))
		log_info("%s: Reusing old session (RFC 5077 session ticket)",
			 wish->peer);
	tls_describe(t, ssl, wish->peer, facts);
	if (t->config.log_level >= 1)
		tls_describe_log(facts, wish->peer, wish->log_as);
	SSL_set_app_data(ssl, NULL);
}

bool
tls_session_accept(struct tls_context *t, struct stream *s,
		   const struct tls_wish *wish, struct tls_facts *facts)
{
	SSL *ssl = new_session(t, wish);
	enum tls_handshake how;

	*facts = (struct tls_facts){0};
	if (!ssl)
		return false;
	how = tls_stream_start(s, ssl, wish->timeout);
	if (how != TLS_HANDSHAKE_OK) {
		log_failure(how, wish->peer);
		tls_stream_close(s, 0);
		return false;
	}
	established(t, ssl, wish, facts);
	return true;
}

bool
tls_session_begin(struct tls_context *t, struct stream *s,
		  const struct tls_wish *wish)
{
	SSL *ssl = new_session(t, wish);

	if (ssl)
		tls_stream_begin(s, ssl);
	return ssl;
}

enum tls_handshake
tls_session_step(struct tls_context *t, struct stream *s,
		 const struct tls_wish *wish, struct tls_facts *facts)
{
	enum tls_handshake how = tls_stream_step(s);

	*facts = (struct tls_facts){0};
	if (how == TLS_HANDSHAKE_OK)
		established(t, tls_stream_ssl(s), wish, facts);
	return how;
}

void
tls_session_end(struct stream *s)
{
	tls_stream_close(s, conf->tls_fast_shutdown_enable ? 0 : GOODBYE_USEC);
}

void
tls_facts_free(struct tls_facts *f)
{
	buf_free(&f->protocol);
	buf_free(&f->cipher);
	buf_free(&f->kex);
	buf_free(&f->own_sig);
	buf_free(&f->own_digest);
	buf_free(&f->peer_sig);
	buf_free(&f->peer_digest);
	buf_free(&f->sni);
	buf_free(&f->subject);
	buf_free(&f->issuer);
	buf_free(&f->cert_fingerprint);
	buf_free(&f->key_fingerprint);
}
