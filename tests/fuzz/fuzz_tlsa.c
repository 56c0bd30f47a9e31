/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/dns/tlsa.h"
#include "lib/dns/wire.h"
#include "lib/tls/tls_dane.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
quiet(enum log_level level, const char *process, const char *text)
{
	(void)level;
	(void)process;
	(void)text;
}

static SSL_CTX *
context(void)
{
	static SSL_CTX *ctx;

	if (!ctx) {
		log_set_sink(quiet);
		ctx = SSL_CTX_new(TLS_client_method());
		if (!ctx || !tls_dane_prepare(ctx, "sha512 sha256"))
			abort();
	}
	return ctx;
}

/* A name server's answer to a question for TLSA records, on its way through
 * the list into OpenSSL. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	struct tlsa_list l = {NULL, 0};
	struct buf text = BUF_INIT;
	SSL *ssl = SSL_new(context());

	dns_wire_parse(span_make((const char *)data, size), DNS_TLSA, &a);
	for (size_t i = 0; i < a.n; i++)
		tlsa_list_add_hex(&l, span_of(a.rr[i].text));
	if (l.n > TLSA_MAX || l.n > a.n || !ssl ||
	    SSL_dane_enable(ssl, NULL) <= 0)
		abort();
	for (size_t i = 0; i < l.n; i++) {
		if (l.v[i].data.len == 0 || l.v[i].data.len > TLSA_DATA_MAX)
			abort();
		tls_dane_usable(&l.v[i]);
		tlsa_format(&l.v[i], &text);
	}
	if (tls_dane_add(ssl, "peer", &l) > l.n)
		abort();
	SSL_free(ssl);
	buf_free(&text);
	tlsa_list_free(&l);
	dns_answer_free(&a);
	return 0;
}
