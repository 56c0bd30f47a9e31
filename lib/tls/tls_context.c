/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_context.h"

#include <errno.h>
#include <openssl/conf.h>
#include <openssl/decoder.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_chain.h"
#include "lib/tls/tls_error.h"
#include "lib/tls/tls_params.h"
#include "lib/tls/tls_session.h"
#include "lib/tls/tls_ticket.h"

/* tls_config_file: default, none, or a path. */
static bool
start_library(void)
{
	OPENSSL_INIT_SETTINGS *settings = OPENSSL_INIT_new();
	const char *file = conf->tls_config_file;
	uint64_t flags = OPENSSL_INIT_LOAD_CONFIG;
	bool ok = settings != NULL;

	if (ok && *conf->tls_config_name)
		ok = OPENSSL_INIT_set_config_appname(settings,
						     conf->tls_config_name);
	if (!strcmp(file, "none"))
		flags = OPENSSL_INIT_NO_LOAD_CONFIG;
	else if (ok && strcmp(file, "default") != 0) {
		ok = OPENSSL_INIT_set_config_filename(settings, file);
		/* One that was asked for must be there. */
		OPENSSL_INIT_set_config_file_flags(settings, 0);
	}
	ok = ok && OPENSSL_init_ssl(flags, settings);
	OPENSSL_INIT_free(settings);
	if (!ok) {
		log_warn("error loading the '%s' settings from the %s OpenSSL "
			 "configuration file, disabling TLS support",
			 *conf->tls_config_name ? conf->tls_config_name
						: "global",
			 file);
		tls_error_log();
	}
	return ok;
}

static bool
set_protocols(struct tls_context *t)
{
	struct tls_protocols p;

	if (!tls_protocols_parse(span_of(t->config.protocols), &p)) {
		log_warn("Invalid TLS protocol list \"%s\": disabling TLS "
			 "support",
			 t->config.protocols);
		return false;
	}
	t->protocols_off = p.off;
	SSL_CTX_set_options(t->ctx, p.off);
	/* Bounds of versions that this library does not know are none. */
	SSL_CTX_set_min_proto_version(t->ctx, p.min);
	SSL_CTX_set_max_proto_version(t->ctx, p.max);
	tls_error_clear();
	return true;
}

static bool
set_digest(struct tls_context *t)
{
	t->digest = EVP_MD_fetch(NULL, t->config.digest, NULL);
	if (t->digest)
		return true;
	tls_error_clear();
	log_warn("Digest algorithm \"%s\" not found", t->config.digest);
	log_warn("disabling TLS support");
	return false;
}

static bool
set_authorities(struct tls_context *t)
{
	const struct tls_config *c = &t->config;
	const char *file = *c->ca_file ? c->ca_file : NULL;
	const char *path = *c->ca_path ? c->ca_path : NULL;

	if ((file || path) &&
	    !SSL_CTX_load_verify_locations(t->ctx, file, path)) {
		log_info("cannot load Certification Authority data, "
			 "%s%s%s%s%s%s: disabling TLS support",
			 file ? "CAfile=\"" : "", file ? file : "",
			 file ? "\"" : "", path ? "CApath=\"" : "",
			 path ? path : "", path ? "\"" : "");
		tls_error_log();
		return false;
	}
	if (conf->tls_append_default_CA &&
	    !SSL_CTX_set_default_verify_paths(t->ctx)) {
		log_warn("the system's Certification Authorities cannot be "
			 "loaded: disabling TLS support");
		tls_error_log();
		return false;
	}
	/* What a client may choose its certificate by. */
	if (c->server && c->ask_cert && file)
		SSL_CTX_set_client_CA_list(t->ctx,
					   SSL_load_client_CA_file(file));
	return true;
}

static bool
load_legacy(struct tls_context *t)
{
	const struct tls_config *c = &t->config;
	const struct {
		const char *cert, *key, *what;
	} pairs[] = {
	    {c->cert_file, c->key_file, "RSA"},
	    {c->dcert_file, c->dkey_file, "DSA"},
	    {c->eccert_file, c->eckey_file, "ECDSA"},
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (*pairs[i].cert && strcmp(pairs[i].cert, "none") != 0 &&
		    !tls_chain_load_pair(t->ctx, pairs[i].cert, pairs[i].key,
					 pairs[i].what))
			return false;
	return true;
}

static bool
set_certificates(struct tls_context *t)
{
	const struct tls_config *c = &t->config;
	bool legacy = *c->cert_file || *c->dcert_file || *c->eccert_file;

	if (*c->chain_files) {
		if (legacy)
			log_warn("Both %s and one or more of the legacy  %s "
				 "are non-empty; the legacy  parameters will "
				 "be ignored",
				 c->chain_param, c->cert_params);
		return tls_chain_load_files(t->ctx, c->chain_files);
	}
	if (!legacy && c->server && !*c->sni_maps) {
		log_warn("No server certs available. TLS won't be enabled");
		return false;
	}
	return load_legacy(t);
}

static EVP_PKEY *
decode_dh(BIO *bio)
{
	EVP_PKEY *key = NULL;
	OSSL_DECODER_CTX *d = OSSL_DECODER_CTX_new_for_pkey(
	    &key, "PEM", NULL, "DH", EVP_PKEY_KEY_PARAMETERS, NULL, NULL);

	if (!d || !OSSL_DECODER_from_bio(d, bio)) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	OSSL_DECODER_CTX_free(d);
	return key;
}

static void
set_dh(struct tls_context *t)
{
	const char *file = t->config.dh_file;
	EVP_PKEY *dh;
	BIO *bio;

	SSL_CTX_set_dh_auto(t->ctx, 1);
	if (!*file || !strcmp(file, "auto"))
		return;
	bio = BIO_new_file(file, "r");
	if (!bio) {
		log_warn("error opening DH parameter file \"%s\": %s -- using "
			 "compiled-in defaults",
			 file, strerror(errno));
		tls_error_clear();
		return;
	}
	dh = decode_dh(bio);
	BIO_free(bio);
	if (dh && SSL_CTX_set0_tmp_dh_pkey(t->ctx, dh)) {
		SSL_CTX_set_dh_auto(t->ctx, 0);
		return;
	}
	EVP_PKEY_free(dh);
	log_warn("error decoding DH parameters from file \"%s\" -- using "
		 "compiled-in defaults",
		 file);
	tls_error_log();
}

static void
set_groups(struct tls_context *t)
{
	struct buf groups = BUF_INIT;

	tls_groups(conf->tls_eecdh_auto_curves, &groups);
	/* The curve list knows nothing of TLS 1.3's finite fields. */
	if (groups.len && !SSL_CTX_set1_groups_list(t->ctx, buf_cstr(&groups)))
		tls_error_clear();
	buf_free(&groups);
}

static void
set_options(struct tls_context *t)
{
	SSL_CTX_set_options(t->ctx, tls_options() | SSL_OP_NO_COMPRESSION |
					SSL_OP_NO_RENEGOTIATION |
					SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (t->config.server && conf->tls_preempt_cipherlist)
		SSL_CTX_set_options(t->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_mode(t->ctx, SSL_MODE_RELEASE_BUFFERS |
				     SSL_MODE_ENABLE_PARTIAL_WRITE |
				     SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(t->ctx, 1);
	/* Parameters say what is strong enough. */
	SSL_CTX_set_security_level(t->ctx, 0);
}

/*
 * What must be the same for a session to be resumed: the service, and what it
 * asks of a client's certificate.
 */
static void
session_context(const struct tls_config *c, struct buf *out)
{
	struct buf file = BUF_INIT;

	buf_printf(out, "%s\n%d\n%d\n%s\n%s\n%s\n", c->service, c->ask_cert,
		   c->verify_depth, c->ca_path, conf->myhostname, c->ca_file);
	if (c->ask_cert && *c->ca_file) {
		BIO *bio = BIO_new_file(c->ca_file, "r");
		char chunk[4096];
		int n;

		while (bio && (n = BIO_read(bio, chunk, sizeof(chunk))) > 0 &&
		       file.len < TLS_PEM_MAX)
			buf_append(&file, chunk, (size_t)n);
		BIO_free(bio);
		buf_append_span(out, buf_span(&file));
	}
	buf_free(&file);
	tls_error_clear();
}

static void
set_sessions(struct tls_context *t)
{
	const struct tls_config *c = &t->config;
	unsigned char id[SHA256_DIGEST_LENGTH];
	struct buf context = BUF_INIT;

	/* No session is kept in memory: a ticket has it. */
	SSL_CTX_set_session_cache_mode(
	    t->ctx, c->always_issue_ids
			? SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
			      SSL_SESS_CACHE_NO_AUTO_CLEAR
			: SSL_SESS_CACHE_OFF);
	session_context(c, &context);
	EVP_Digest(context.data, context.len, id, NULL, EVP_sha256(), NULL);
	SSL_CTX_set_session_id_context(t->ctx, id, sizeof(id));
	if (c->session_life > 0)
		t->tickets =
		    tls_tickets_open(c->ticket_file, conf->mail_owner,
				     conf->tls_session_ticket_cipher,
				     c->session_life, buf_span(&context));
	buf_free(&context);
	if (!t->tickets) {
		SSL_CTX_set_options(t->ctx, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(t->ctx, 0);
		return;
	}
	SSL_CTX_set_num_tickets(t->ctx, 1);
	SSL_CTX_set_timeout(t->ctx, (long)c->session_life);
	tls_tickets_attach(t->tickets, t->ctx, c->log_level >= 2);
}

struct tls_context *
tls_context_new(const struct tls_config *c)
{
	struct tls_context *t = mem_alloc(sizeof(*t));

	t->config = *c;
	if (c->log_level >= 2)
		log_info("initializing the %s-side TLS engine",
			 c->server ? "server" : "client");
	if (!start_library() || !set_digest(t))
		goto fail;
	t->ctx =
	    SSL_CTX_new(c->server ? TLS_server_method() : TLS_client_method());
	if (!t->ctx) {
		log_warn("OpenSSL gives no %s context: disabling TLS support",
			 c->server ? "server" : "client");
		tls_error_log();
		goto fail;
	}
	set_options(t);
	if (!set_protocols(t) || !set_authorities(t) || !set_certificates(t))
		goto fail;
	set_dh(t);
	set_groups(t);
	if (c->server)
		set_sessions(t);
	if (*c->sni_maps)
		t->sni = maps_open("tls_server_sni_maps", c->sni_maps,
				   TABLE_FOLD_FIXED | TABLE_BASE64);
	tls_session_prepare(t);
	return t;
fail:
	tls_context_free(t);
	return NULL;
}

void
tls_context_free(struct tls_context *t)
{
	SSL_CTX_free(t->ctx);
	EVP_MD_free(t->digest);
	tls_tickets_free(t->tickets);
	if (t->sni)
		maps_free(t->sni);
	free(t);
}
