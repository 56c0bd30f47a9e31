/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_webpki.h"

#include <openssl/x509v3.h>
#include <unistd.h>

#include "lib/base/log.h"

static const char *const bundles[] = {
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
};

static X509_STORE *store;

const char *
tls_webpki_file(const char *ca_file)
{
	if (ca_file[0])
		return ca_file;
	for (size_t i = 0; i < sizeof(bundles) / sizeof(*bundles); i++)
		if (access(bundles[i], R_OK) == 0)
			return bundles[i];
	return bundles[0];
}

void
tls_webpki_open(const char *ca_file)
{
	const char *file = tls_webpki_file(ca_file);

	if (store)
		return;
	store = X509_STORE_new();
	if (!store)
		log_fatal("out of memory");
	if (X509_STORE_load_file(store, file) != 1)
		log_warn("cannot read authorities from %s: no mail exchanger "
			 "satisfies an MTA-STS policy",
			 file);
}

X509_STORE *
tls_webpki_store(void)
{
	return store;
}

/* Only names that the certificate gives as such count (RFC 8461 section 4.2),
 * not its subject. */
static void
expect_host(X509_STORE_CTX *ctx, const char *host)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
		       X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
	X509_VERIFY_PARAM_set1_host(param, host, 0);
}

int
tls_webpki_check(SSL *ssl, const char *host)
{
	X509 *leaf = SSL_get0_peer_certificate(ssl);
	STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	int error = X509_V_ERR_UNSPECIFIED;

	if (ctx && leaf && chain && store &&
	    X509_STORE_CTX_init(ctx, store, leaf, chain) == 1 &&
	    X509_STORE_CTX_set_default(ctx, "ssl_server") == 1) {
		expect_host(ctx, host);
		error = X509_verify_cert(ctx) == 1
			    ? X509_V_OK
			    : X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	return error;
}
