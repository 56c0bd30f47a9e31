/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those */
#include <cmocka.h>

#include "lib/dns/tlsa.h"
#include "lib/dns/wire.h"
#include "lib/tls/tls_dane.h"

#define DIGEST32 \
	"00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static struct tlsa_list list;

static bool
add(const char *hex)
{
	return tlsa_list_add_hex(&list, span_of(hex));
}

static void
test_parse(void **state)
{
	struct buf text = BUF_INIT;

	(void)state;
	assert_true(add("030101" DIGEST32));
	assert_int_equal(list.n, 1);
	assert_int_equal(list.v[0].usage, 3);
	assert_int_equal(list.v[0].selector, 1);
	assert_int_equal(list.v[0].mtype, 1);
	assert_int_equal(list.v[0].data.len, 32);
	tlsa_format(&list.v[0], &text);
	assert_string_equal(buf_cstr(&text),
			    "3 1 1 00112233445566778899AABBCCDDEEFF00112233445"
			    "566778899AABBCCDDEEFF");
	assert_true(add("ff800900"));
	assert_int_equal(list.v[1].usage, 255);
	/* Too short, odd, no digits. */
	assert_false(add(""));
	assert_false(add("0301"));
	assert_false(add("030101"));
	assert_false(add("030101a"));
	assert_false(add("030101zz"));
	assert_false(add("03010 11"));
	assert_int_equal(list.n, 2);
	buf_free(&text);
	tlsa_list_free(&list);
	assert_int_equal(list.n, 0);
}

static void
test_limits(void **state)
{
	struct buf hex = BUF_INIT;

	(void)state;
	buf_append_cstr(&hex, "030000");
	for (int i = 0; i < TLSA_DATA_MAX; i++)
		buf_append_cstr(&hex, "30");
	assert_true(add(buf_cstr(&hex)));
	buf_append_cstr(&hex, "30");
	assert_false(add(buf_cstr(&hex)));
	for (int i = 1; i < TLSA_MAX; i++)
		assert_true(add("030101aa"));
	assert_false(add("030101aa"));
	assert_int_equal(list.n, TLSA_MAX);
	buf_free(&hex);
	tlsa_list_free(&list);
}

static void
test_name(void **state)
{
	struct buf name = BUF_INIT;

	(void)state;
	tlsa_name("mx.example.com", 25, &name);
	assert_string_equal(buf_cstr(&name), "_25._tcp.mx.example.com");
	buf_free(&name);
}

static void
test_type_names(void **state)
{
	(void)state;
	assert_int_equal(dns_type_by_name(span_of("tlsa")), DNS_TLSA);
	assert_int_equal(dns_type_by_name(span_of("NS")), DNS_NS);
	assert_int_equal(dns_type_by_name(span_of("TYPE52")), 0);
	assert_int_equal(dns_type_by_name(span_of("")), 0);
}

static bool
usable(const char *hex)
{
	bool ok = add(hex) && tls_dane_usable(&list.v[0]);

	tlsa_list_free(&list);
	return ok;
}

static void
test_usable(void **state)
{
	(void)state;
	assert_true(usable("030101" DIGEST32));
	assert_true(usable("020001" DIGEST32));
	assert_true(usable("030102" DIGEST32 DIGEST32));
	assert_false(usable("030102" DIGEST32));
	assert_false(usable("030103" DIGEST32));
	assert_false(usable("030201" DIGEST32));
	assert_false(usable("010101" DIGEST32));
	assert_false(usable("000001" DIGEST32));
	assert_false(usable("030100" DIGEST32));
	assert_false(usable("0200003003020100"));
}

static size_t
added(SSL_CTX *ctx, const char *hex)
{
	SSL *ssl = SSL_new(ctx);
	size_t n;

	assert_true(SSL_dane_enable(ssl, NULL) > 0);
	assert_true(add(hex));
	n = tls_dane_add(ssl, "x", &list);
	tlsa_list_free(&list);
	SSL_free(ssl);
	return n;
}

static void
test_digests(void **state)
{
	static const char *const bad[] = {
	    "", "nonsense", "sha256=2", "sha384=1", "sha256=x", "sha384",
	};
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	(void)state;
	assert_true(tls_dane_prepare(ctx, "sha512 sha256"));
	assert_int_equal(added(ctx, "030101" DIGEST32), 1);
	assert_int_equal(added(ctx, "030102" DIGEST32 DIGEST32), 1);
	assert_int_equal(added(ctx, "030102" DIGEST32), 0);
	SSL_CTX_free(ctx);
	ctx = SSL_CTX_new(TLS_client_method());
	assert_true(tls_dane_prepare(ctx, "sha256=1, sha384=7"));
	assert_int_equal(added(ctx, "030101" DIGEST32), 1);
	assert_int_equal(added(ctx, "030102" DIGEST32 DIGEST32), 0);
	SSL_CTX_free(ctx);
	ctx = SSL_CTX_new(TLS_client_method());
	assert_true(tls_dane_prepare(ctx, "nonsense sha512 sha512=2"));
	assert_int_equal(added(ctx, "030102" DIGEST32 DIGEST32), 1);
	assert_int_equal(added(ctx, "030101" DIGEST32), 0);
	SSL_CTX_free(ctx);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ctx = SSL_CTX_new(TLS_client_method());
		assert_false(tls_dane_prepare(ctx, bad[i]));
		assert_int_equal(added(ctx, "030101" DIGEST32), 0);
		SSL_CTX_free(ctx);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),      cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_name),       cmocka_unit_test(test_usable),
	    cmocka_unit_test(test_type_names), cmocka_unit_test(test_digests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
