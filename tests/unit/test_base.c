/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/strvec.h"
#include "lib/base/utf8.h"

static void
test_span(void **state)
{
	struct span rest = span_of(" a, b ,,c"), token;

	(void)state;
	assert_true(span_equal_cstr(span_trim(span_of(" \tx y\r\n")), "x y"));
	assert_int_equal(span_find(span_of("a@b@c"), '@'), 1);
	assert_int_equal(span_rfind(span_of("a@b@c"), '@'), 3);
	assert_int_equal(span_rfind(span_of(""), '@'), -1);
	assert_true(span_starts_nocase(span_of("MAIL FROM:"), "mail"));
	assert_false(span_starts_nocase(span_of("MA"), "mail"));
	assert_true(span_ends_nocase(span_of("x.COM"), ".com"));
	assert_true(span_next_token(&rest, ", ", &token));
	assert_true(span_equal_cstr(token, "a"));
	assert_true(span_next_token(&rest, ", ", &token));
	assert_true(span_equal_cstr(token, "b"));
	assert_true(span_next_token(&rest, ", ", &token));
	assert_true(span_equal_cstr(token, "c"));
	assert_false(span_next_token(&rest, ", ", &token));
	assert_int_equal(span_from(span_of("ab"), 5).len, 0);
}

static void
test_buf(void **state)
{
	struct buf b = BUF_INIT;
	char *s;

	(void)state;
	assert_string_equal(buf_cstr(&b), "");
	for (int i = 0; i < 1000; i++)
		buf_printf(&b, "%03d,", i);
	assert_int_equal(b.len, 4000);
	assert_memory_equal(b.data + 3996, "999,", 5);
	buf_consume(&b, 3996);
	assert_string_equal(buf_cstr(&b), "999,");
	/* A part of itself. */
	buf_set(&b, span_make(b.data + 1, 2));
	assert_string_equal(buf_cstr(&b), "99");
	buf_truncate(&b, 100);
	assert_int_equal(b.len, 2);
	buf_append_byte(&b, '\0');
	buf_append_cstr(&b, "x");
	assert_int_equal(b.len, 4);
	s = buf_steal(&b);
	assert_memory_equal(s, "99\0x", 5);
	assert_null(b.data);
	free(s);
	buf_free(&b);
}

static void
test_num(void **state)
{
	int64_t n = 7;
	uint64_t u;

	(void)state;
	assert_true(num_parse(span_of("-12"), -20, 20, &n));
	assert_int_equal(n, -12);
	assert_false(num_parse(span_of("21"), -20, 20, &n));
	assert_false(num_parse(span_of(""), -20, 20, &n));
	assert_false(num_parse(span_of("-"), -20, 20, &n));
	assert_false(num_parse(span_of("1x"), -20, 20, &n));
	assert_false(num_parse(span_of(" 1"), -20, 20, &n));
	assert_false(num_parse(span_of("99999999999999999999"), INT64_MIN,
			       INT64_MAX, &n));
	assert_int_equal(n, -12);
	assert_true(num_parse_base(span_of("fF"), 16, 255, &u));
	assert_int_equal(u, 255);
	assert_false(num_parse_base(span_of("8"), 8, 255, &u));
	assert_false(num_parse_base(span_of("100"), 16, 255, &u));
}

static void
test_strvec(void **state)
{
	struct strvec v = STRVEC_INIT;

	(void)state;
	strvec_split(&v, span_of(" a,{b, {c d}} ,e"), ", ", true);
	assert_int_equal(v.n, 3);
	assert_string_equal(v.v[1], "{b, {c d}}");
	assert_null(v.v[3]);
	strvec_reset(&v);
	strvec_split(&v, span_of("{b, c}"), ", ", false);
	assert_int_equal(v.n, 2);
	assert_true(strvec_has_nocase(&v, "C}"));
	assert_false(strvec_has(&v, "C}"));
	strvec_free(&v);
}

static void
test_htab(void **state)
{
	struct htab *h = htab_new();
	char key[16];
	size_t pos = 0, seen = 0;
	struct span k;
	void *value;

	(void)state;
	for (int round = 0; round < 3; round++)
		for (intptr_t i = 1; i <= 5000; i++) {
			snprintf(key, sizeof(key), "k%d", (int)i);
			htab_put(h, span_of(key), (void *)i);
			if (i % 3 == 0)
				assert_ptr_equal(
				    htab_remove(h, span_of(key)), (void *)i);
		}
	assert_int_equal(htab_count(h), 5000 - 5000 / 3);
	assert_null(htab_get(h, span_of("k3")));
	assert_ptr_equal(htab_get(h, span_of("k4")), (void *)4);
	assert_ptr_equal(htab_put(h, span_of("k4"), (void *)44), (void *)4);
	assert_null(htab_remove(h, span_of("none")));
	while (htab_next(h, &pos, &k, &value)) {
		struct span copy = k;

		seen++;
		assert_true(copy.len >= 2);
		htab_remove(h, k);
	}
	assert_int_equal(seen, 5000 - 5000 / 3);
	assert_int_equal(htab_count(h), 0);
	htab_free(h, NULL);
}

static void
test_utf8(void **state)
{
	char text[] = "a\x01\xc3\xa4\xff\xe2\x82";

	(void)state;
	assert_int_equal(utf8_sequence("\xc3\xa4", 2), 2);
	assert_int_equal(utf8_sequence("\xc3", 1), 0);
	assert_int_equal(utf8_sequence("\xc0\x80", 2), 0);
	assert_int_equal(utf8_sequence("\xed\xa0\x80", 3), 0);
	assert_int_equal(utf8_sequence("\xf4\x90\x80\x80", 4), 0);
	assert_int_equal(utf8_sequence("\xf0\x9f\x98\x80", 4), 4);
	utf8_printable(text, sizeof(text) - 1, '?');
	assert_string_equal(text, "a?\xc3\xa4???");
	assert_true(utf8_is_ascii("abc", 3));
	assert_false(utf8_valid("\x80", 1));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_span),   cmocka_unit_test(test_buf),
	    cmocka_unit_test(test_num),	   cmocka_unit_test(test_strvec),
	    cmocka_unit_test(test_htab),   cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
