/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_verify.h"

#include <openssl/x509_vfy.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/tls/tls_cert.h"

static int context_index = -1; /* of the tls_context in an SSL_CTX */
static int why_index = -1;     /* in an SSL: log the reason */
static int text_index = -1;    /* in an SSL: the reason, until it is logged */
static int depth_index = -1;   /* in an SSL: one more than its depth */
static char yes;

static void
log_step(X509_STORE_CTX *x, const char *peer, int depth, int ok)
{
	X509 *cert = X509_STORE_CTX_get_current_cert(x);
	struct buf name = BUF_INIT;

	if (cert)
		tls_cert_oneline(X509_get_subject_name(cert), &name);
	log_info("%s: depth=%d verify=%d subject=%s", peer, depth, ok,
		 buf_cstr(&name));
	buf_free(&name);
}

/* The reason in words. */
static void
describe(X509_STORE_CTX *x, const char *peer, bool of_client, struct buf *out)
{
	int error = X509_STORE_CTX_get_error(x);
	const char *role = X509_STORE_CTX_get_error_depth(x) > 0 ? "CA"
			   : of_client                           ? "client"
								 : "server";
	X509 *cert = X509_STORE_CTX_get_current_cert(x);
	struct buf issuer = BUF_INIT;

	switch (error) {
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		if (cert)
			tls_cert_oneline(X509_get_issuer_name(cert), &issuer);
		buf_printf(out,
			   "certificate verification failed for %s: untrusted "
			   "issuer %s",
			   peer, buf_cstr(&issuer));
		break;
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
		buf_printf(out,
			   "certificate verification failed for %s: "
			   "self-signed certificate",
			   peer);
		break;
	case X509_V_ERR_CERT_NOT_YET_VALID:
	case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
		buf_printf(out,
			   "%s certificate verification failed for %s: "
			   "certificate not yet valid",
			   role, peer);
		break;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
		buf_printf(out,
			   "%s certificate verification failed for %s: "
			   "certificate has expired",
			   role, peer);
		break;
	case X509_V_ERR_INVALID_PURPOSE:
		buf_printf(out,
			   "certificate verification failed for %s: not "
			   "designated for use as a %s certificate",
			   peer, role);
		break;
	default:
		buf_printf(out,
			   "%s certificate verification failed for %s: "
			   "num=%d:%s",
			   role, peer, error,
			   X509_verify_cert_error_string(error));
	}
	buf_free(&issuer);
}

/* The first error of a chain is the reason for a server, which says it at
 * once. */
static void
log_reason(X509_STORE_CTX *x, SSL *ssl, const char *peer)
{
	struct buf text = BUF_INIT;

	SSL_set_ex_data(ssl, why_index, NULL);
	describe(x, peer, true, &text);
	log_info("%s", buf_cstr(&text));
	buf_free(&text);
}

/* The error nearest to the server's certificate is the reason for a client,
 * which says it when the handshake is over. */
static void
keep_reason(X509_STORE_CTX *x, SSL *ssl, const char *peer)
{
	intptr_t depth = X509_STORE_CTX_get_error_depth(x) + 1;
	intptr_t before = (intptr_t)SSL_get_ex_data(ssl, depth_index);
	struct buf text = BUF_INIT;

	if (before && before <= depth)
		return;
	describe(x, peer, false, &text);
	free(SSL_get_ex_data(ssl, text_index));
	SSL_set_ex_data(ssl, text_index, mem_strndup(text.data, text.len));
	SSL_set_ex_data(ssl, depth_index, (void *)depth);
	buf_free(&text);
}

void
tls_verify_report(SSL *ssl)
{
	char *text = SSL_get_ex_data(ssl, text_index);

	if (text)
		log_info("%s", text);
	SSL_set_ex_data(ssl, text_index, NULL);
	free(text);
}

static void
free_text(void *parent, void *text, CRYPTO_EX_DATA *data, int index, long argl,
	  void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	free(text);
}

/* Called for each certificate. An error stays in the result though the walk
 * goes on. */
static int
on_certificate(int ok, X509_STORE_CTX *x)
{
	SSL *ssl =
	    X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
	const struct tls_context *t =
	    SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_index);
	const char *peer = SSL_get_app_data(ssl);

	if (!peer)
		peer = "unknown";
	if (t->config.log_level >= 2)
		log_step(x, peer, X509_STORE_CTX_get_error_depth(x), ok);
	if (!ok && SSL_get_ex_data(ssl, why_index)) {
		if (t->config.server)
			log_reason(x, ssl, peer);
		else
			keep_reason(x, ssl, peer);
	}
	return 1;
}

void
tls_verify_prepare(struct tls_context *t)
{
	int mode = SSL_VERIFY_NONE;

	if (context_index < 0) {
		context_index =
		    SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
		why_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
		depth_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
		text_index =
		    SSL_get_ex_new_index(0, NULL, NULL, NULL, free_text);
	}
	SSL_CTX_set_ex_data(t->ctx, context_index, t);
	if (t->config.ask_cert)
		mode = SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE;
	SSL_CTX_set_verify(t->ctx, mode, on_certificate);
	/* OpenSSL counts the authorities between leaf and root. */
	SSL_CTX_set_verify_depth(t->ctx, t->config.verify_depth + 1);
}

void
tls_verify_begin(SSL *ssl, bool say_why)
{
	SSL_set_ex_data(ssl, why_index, say_why ? &yes : NULL);
}
