/* SPDX-License-Identifier: MIT */
/* lib/tls: levels and TLSA records of the client. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/tls/tls_client.h"
#include "lib/tls/tls_dane.h"

static void
test_levels(void **state)
{
	static const char *const names[] = {
	    "none",      "may",    "encrypt", "fingerprint", "dane",
	    "dane-only", "verify", "secure",  "SECURE",
	};
	enum tls_client_level level = TLS_CLIENT_NONE;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_true(tls_client_level_parse(span_of(names[i]), &level));
	assert_int_equal(level, TLS_CLIENT_SECURE);
	assert_false(tls_client_level_parse(span_of("half-dane"), &level));
	assert_false(tls_client_level_parse(span_of(""), &level));
	assert_false(tls_client_level_parse(span_of("mayb"), &level));
	assert_string_equal(tls_client_level_name(TLS_CLIENT_HALF_DANE),
			    "half-dane");
	assert_false(tls_client_level_is_mandatory(TLS_CLIENT_MAY));
	assert_true(tls_client_level_is_mandatory(TLS_CLIENT_ENCRYPT));
}

/* The table of who may get mail. */
static void
test_satisfied(void **state)
{
	static const struct {
		enum tls_client_level level;
		enum tls_security least;
	} rows[] = {
	    {TLS_CLIENT_NONE, TLS_SECURITY_NONE},
	    {TLS_CLIENT_MAY, TLS_SECURITY_NONE},
	    {TLS_CLIENT_ENCRYPT, TLS_SECURITY_ANONYMOUS},
	    {TLS_CLIENT_FINGERPRINT, TLS_SECURITY_VERIFIED},
	    {TLS_CLIENT_HALF_DANE, TLS_SECURITY_TRUSTED},
	    {TLS_CLIENT_DANE, TLS_SECURITY_VERIFIED},
	    {TLS_CLIENT_DANE_ONLY, TLS_SECURITY_VERIFIED},
	    {TLS_CLIENT_VERIFY, TLS_SECURITY_VERIFIED},
	    {TLS_CLIENT_SECURE, TLS_SECURITY_VERIFIED},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		for (int s = TLS_SECURITY_NONE; s <= TLS_SECURITY_VERIFIED;
		     s++) {
			struct tls_client_result r = {.security =
							  (enum tls_security)s};

			assert_int_equal(
			    tls_client_satisfied(rows[i].level, &r),
			    s >= (int)rows[i].least);
		}
}

static void
test_tlsa(void **state)
{
	static const char zeros[64];
	struct tlsa_list l = {NULL, 0};

	(void)state;
	assert_true(tlsa_list_add(&l, 3, 1, 1, span_make(zeros, 32)));
	assert_true(tls_dane_usable(&l.v[0]));
	assert_true(tlsa_list_add(&l, 2, 0, 2, span_make(zeros, 64)));
	assert_true(tls_dane_usable(&l.v[1]));
	assert_true(tlsa_list_add(&l, 3, 1, 1, span_make(zeros, 31)));
	assert_false(tls_dane_usable(&l.v[2])); /* length of the digest */
	assert_true(tlsa_list_add(&l, 1, 1, 1, span_make(zeros, 32)));
	assert_false(tls_dane_usable(&l.v[3])); /* usage of the web */
	assert_true(tlsa_list_add(&l, 3, 0, 0, span_make(zeros, 40)));
	assert_false(tls_dane_usable(&l.v[4])); /* no certificate */
	assert_true(tlsa_list_add(&l, 3, 1, 255, span_make(zeros, 32)));
	assert_false(tls_dane_usable(&l.v[5]));
	assert_true(tlsa_list_add(&l, 3, 2, 1, span_make(zeros, 32)));
	assert_false(tls_dane_usable(&l.v[6]));
	while (l.n < TLSA_MAX)
		assert_true(tlsa_list_add(&l, 3, 1, 1, span_make(zeros, 32)));
	assert_false(tlsa_list_add(&l, 3, 1, 1, span_make(zeros, 32)));
	tlsa_list_free(&l);
	assert_int_equal(l.n, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_levels),
	    cmocka_unit_test(test_satisfied),
	    cmocka_unit_test(test_tlsa),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
