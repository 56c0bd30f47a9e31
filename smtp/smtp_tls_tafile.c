/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_tafile.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"
#include "lib/tls/tls_dane.h"

enum {
	FILE_MAX = 1 << 20,
};

static struct htab *files; /* path: struct tlsa_list */

static bool
parse(struct span pem, struct tlsa_list *out)
{
	BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
	char *type, *header;
	unsigned char *der;
	bool ok = bio;
	long len;

	while (ok && PEM_read_bio(bio, &type, &header, &der, &len)) {
		int selector = !strcmp(type, PEM_STRING_X509)     ? 0
			       : !strcmp(type, PEM_STRING_PUBLIC) ? 1
								  : -1;
		struct span data = span_make((char *)der, (size_t)len);

		ok = selector >= 0 &&
		     tlsa_list_add(out, 2, (uint8_t)selector, 0, data) &&
		     tls_dane_usable(&out->v[out->n - 1]);
		OPENSSL_free(type);
		OPENSSL_free(header);
		OPENSSL_free(der);
	}
	BIO_free(bio);
	return ok && out->n > 0;
}

/* NULL: logged, or not when quiet. */
static struct tlsa_list *
load(const char *path, bool quiet)
{
	struct tlsa_list *l = files ? htab_get(files, span_of(path)) : NULL;
	struct buf text = BUF_INIT;

	if (l)
		return l;
	if (!io_read_file(path, FILE_MAX, &text)) {
		if (!quiet)
			log_warn("error opening trust anchor file: %s: %s",
				 path, strerror(errno));
		return NULL;
	}
	l = mem_alloc(sizeof(*l));
	*l = (struct tlsa_list){NULL, 0};
	if (!parse(buf_span(&text), l)) {
		if (!quiet)
			log_warn("no certificates and public keys, or others, "
				 "in trust anchor file: %s",
				 path);
		tlsa_list_free(l);
		free(l);
		l = NULL;
	} else {
		if (!files)
			files = htab_new();
		htab_put(files, span_of(path), l);
	}
	buf_free(&text);
	return l;
}

static bool
add_file(const char *path, struct tlsa_list *out)
{
	const struct tlsa_list *l;

	l = load(path, false);
	if (!l)
		return false;
	for (size_t i = 0; i < l->n; i++)
		if (!tlsa_list_add(out, l->v[i].usage, l->v[i].selector,
				   l->v[i].mtype, buf_span(&l->v[i].data)))
			return false;
	return true;
}

void
smtp_tls_tafile_read(const char *list)
{
	struct span rest = span_of(list), word;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		char *path = mem_strndup(word.data, word.len);

		load(path, true);
		free(path);
	}
}

bool
smtp_tls_tafile_add(const char *list, struct tlsa_list *out)
{
	struct span rest = span_of(list), word;
	bool ok = true;

	while (ok && span_next_token(&rest, ", \t\r\n", &word)) {
		char *path = mem_strndup(word.data, word.len);

		ok = add_file(path, out);
		free(path);
	}
	return ok;
}
