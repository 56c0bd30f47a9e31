/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_chain.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"
#include "lib/tls/tls_error.h"

/* Chains as they come out of PEM text, one after the other. */
struct chains {
	SSL_CTX *ctx; /* or ssl: where a complete chain goes */
	SSL *ssl;
	const char *where; /* file in hand */
	unsigned block;    /* number of the PEM block in it */
	char *key_where;   /* where the key is from */
	unsigned key_block;
	EVP_PKEY *key;
	X509 *cert;
	STACK_OF(X509) * rest;
	bool key_first; /* a certificate may not come before its key */
	unsigned used;  /* chains that were complete */
};

static void
forget(struct chains *c)
{
	EVP_PKEY_free(c->key);
	X509_free(c->cert);
	sk_X509_pop_free(c->rest, X509_free);
	free(c->key_where);
	c->key_where = NULL;
	c->key = NULL;
	c->cert = NULL;
	c->rest = NULL;
}

static bool
complain(struct chains *c, const char *problem)
{
	log_warn("error loading chain from %s: %s", c->where, problem);
	tls_error_log();
	return false;
}

/* What was collected goes into the context. */
static bool
use_chain(struct chains *c)
{
	int ok;

	if (!c->key && !c->cert)
		return true;
	if (!c->key) {
		log_warn("No private key found in %s", c->where);
		return false;
	}
	if (!c->cert) {
		log_warn("No certs for key at index %u in %s", c->key_block,
			 c->key_where);
		return false;
	}
	ok = c->ctx
		 ? SSL_CTX_use_cert_and_key(c->ctx, c->cert, c->key, c->rest, 1)
		 : SSL_use_cert_and_key(c->ssl, c->cert, c->key, c->rest, 1);
	if (!ok) {
		log_warn("key at index %u in %s does not match next "
			 "certificate",
			 c->key_block, c->key_where);
		tls_error_log();
		return false;
	}
	c->used++;
	forget(c);
	return true;
}

static bool
add_key(struct chains *c, const unsigned char *der, long len)
{
	EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &der, len);

	if (!key)
		return complain(c, "bad private key");
	if (c->key && !use_chain(c)) {
		EVP_PKEY_free(key);
		return false;
	}
	c->key = key;
	c->key_where = mem_strdup(c->where);
	c->key_block = c->block;
	return true;
}

static bool
add_cert(struct chains *c, const unsigned char *der, long len)
{
	X509 *cert;

	if (c->key_first && !c->key)
		return complain(c, "key not first");
	cert = d2i_X509(NULL, &der, len);
	if (!cert)
		return complain(c, "bad certificate");
	if (!c->cert) {
		c->cert = cert;
		return true;
	}
	if (!c->rest)
		c->rest = sk_X509_new_null();
	if (!c->rest || !sk_X509_push(c->rest, cert))
		log_fatal("out of memory");
	return true;
}

static bool
add_block(struct chains *c, const char *type, const char *header,
	  const unsigned char *der, long len)
{
	size_t n = strlen(type);

	if (n >= 11 && !strcmp(type + n - 11, "PRIVATE KEY")) {
		if (header[0] || !strcmp(type, PEM_STRING_PKCS8))
			return complain(c, "the private key is encrypted");
		return add_key(c, der, len);
	}
	if (!strcmp(type, PEM_STRING_X509) ||
	    !strcmp(type, PEM_STRING_X509_OLD) ||
	    !strcmp(type, PEM_STRING_X509_TRUSTED))
		return add_cert(c, der, len);
	return true; /* parameters of a curve, ... */
}

/* false: logged. */
static bool
add_text(struct chains *c, struct span pem)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	char *type, *header;
	unsigned char *der;
	bool ok = true;
	long len;

	if (!bio)
		log_fatal("out of memory");
	c->block = 0;
	while (ok && PEM_read_bio(bio, &type, &header, &der, &len)) {
		c->block++;
		ok = add_block(c, type, header, der, len);
		OPENSSL_free(type);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)len);
	}
	BIO_free(bio);
	if (ok && c->block == 0) {
		log_warn("No PEM data in %s", c->where);
		ok = false;
	}
	tls_error_clear();
	return ok;
}

static void
wipe(struct buf *b)
{
	if (b->data)
		OPENSSL_cleanse(b->data, b->cap);
	buf_free(b);
}

/* opened: false when there is no such file, which is all that is said. */
static bool
add_file(struct chains *c, const char *path, bool *opened)
{
	struct buf text = BUF_INIT;
	bool ok = false;

	c->where = path;
	*opened = io_read_file(path, TLS_PEM_MAX, &text);
	if (*opened)
		ok = add_text(c, buf_span(&text));
	else
		log_warn("error opening chain file: %s: %s", path,
			 strerror(errno));
	wipe(&text);
	return ok;
}

/* ---- certificate and key in files of their own ---- */

/* Nobody is there to be asked for a password. */
static int
no_password(char *out, int size, int writing, void *arg)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)arg;
	return 0;
}

static bool
load_two(SSL_CTX *ctx, const char *cert_file, const char *key_file,
	 const char *what)
{
	SSL_CTX_set_default_passwd_cb(ctx, no_password);
	if (!SSL_CTX_use_certificate_chain_file(ctx, cert_file)) {
		log_warn("cannot get %s certificate from file \"%s\": "
			 "disabling TLS support",
			 what, cert_file);
		tls_error_log();
		return false;
	}
	if (!SSL_CTX_use_PrivateKey_file(ctx, key_file, SSL_FILETYPE_PEM)) {
		log_warn("cannot get %s private key from file \"%s\": "
			 "disabling TLS support",
			 what, key_file);
		tls_error_log();
		return false;
	}
	if (!SSL_CTX_check_private_key(ctx)) {
		tls_error_clear();
		log_warn("%s private key in %s does not match public key in "
			 "%s: disabling TLS support",
			 what, key_file, cert_file);
		return false;
	}
	return true;
}

static void
log_list(const char *list)
{
	log_warn("error loading private keys and certificates from: %s: "
		 "disabling TLS support",
		 list);
}

bool
tls_chain_load_pair(SSL_CTX *ctx, const char *cert_file, const char *key_file,
		    const char *what)
{
	struct chains c = {.ctx = ctx};
	bool ok, opened;

	if (strcmp(cert_file, key_file) != 0)
		return load_two(ctx, cert_file, key_file, what);
	ok = add_file(&c, cert_file, &opened) && use_chain(&c);
	if (!ok && opened)
		log_list(cert_file);
	forget(&c);
	return ok;
}

/* ---- the list ---- */

bool
tls_chain_load_files(SSL_CTX *ctx, const char *list)
{
	struct chains c = {.ctx = ctx, .key_first = true};
	struct span rest = span_of(list), word;
	struct buf path = BUF_INIT;
	bool ok = true, opened = true;

	while (ok && span_next_token(&rest, ", \t\r\n", &word)) {
		buf_set(&path, word);
		ok = add_file(&c, buf_cstr(&path), &opened);
	}
	c.where = buf_cstr(&path);
	ok = ok && use_chain(&c);
	if (!ok && opened)
		log_list(list);
	forget(&c);
	buf_free(&path);
	return ok;
}

bool
tls_chain_use(SSL *ssl, struct span pem, const char *where)
{
	struct chains c = {.ssl = ssl, .where = where, .key_first = true};
	bool ok;

	ok = pem.len <= TLS_PEM_MAX && add_text(&c, pem) && use_chain(&c) &&
	     c.used > 0;
	forget(&c);
	return ok;
}
