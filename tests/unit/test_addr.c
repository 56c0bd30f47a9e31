/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/addr/addr.h"

static void
check_quote(const char *internal, const char *external)
{
	struct buf out = BUF_INIT;

	addr_quote(span_of(internal), &out);
	assert_string_equal(buf_cstr(&out), external);
	buf_reset(&out);
	addr_unquote(span_of(external), &out);
	assert_string_equal(buf_cstr(&out), internal);
	buf_free(&out);
}

static void
test_quote(void **state)
{
	(void)state;
	check_quote("", "");
	check_quote("a@b.c", "a@b.c");
	check_quote("a b@c.d", "\"a b\"@c.d");
	check_quote("a@b@c", "\"a@b\"@c");
	check_quote("a\"\\b@c", "\"a\\\"\\\\b\"@c");
	check_quote(".a@b", "\".a\"@b");
	check_quote("a.@b", "\"a.\"@b");
	check_quote("a..b@c", "\"a..b\"@c");
	check_quote("@b", "\"\"@b");
	check_quote("a b", "\"a b\"");
	check_quote("\xc3\xbc@b", "\xc3\xbc@b");
	check_quote("a@[1.2.3.4]", "a@[1.2.3.4]");
}

static void
test_parts(void **state)
{
	struct span a = span_of("a@b@c.d");

	(void)state;
	assert_int_equal(addr_at(a), 3);
	assert_true(span_equal_cstr(addr_localpart(a), "a@b"));
	assert_true(span_equal_cstr(addr_domain(a), "c.d"));
	assert_int_equal(addr_at(span_of("x")), -1);
	assert_int_equal(addr_domain(span_of("x")).len, 0);
	assert_true(span_equal_cstr(addr_localpart(span_of("x")), "x"));
}

static void
test_extension(void **state)
{
	static const struct {
		const char *local, *delims;
		size_t n;
	} t[] = {
	    {"user+ext", "+", 4},       {"user", "+", 4},
	    {"user+", "+", 4},          {"+ext", "+", 4},
	    {"user-a+b", "+-", 4},      {"user-a+b", "+", 6},
	    {"Mailer-Daemon", "-", 13}, {"double-bounce", "-", 13},
	    {"owner-list", "-", 10},    {"list-request", "-", 12},
	    {"owner-list", "+-", 10},   {"owner-x+y", "+", 7},
	    {"user+ext", "", 8},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++)
		assert_int_equal(
		    addr_split_extension(span_of(t[i].local), t[i].delims),
		    t[i].n);
}

static void
check_path(const char *arg, bool strict, const char *want, const char *rest)
{
	struct buf out = BUF_INIT;
	struct span left = {NULL, 0};
	const char *what = NULL;
	bool ok = addr_parse_path(span_of(arg), strict, &out, &left, &what);

	if (!want) {
		if (ok)
			print_error("%s was taken as %s\n", arg,
				    buf_cstr(&out));
		assert_false(ok);
		assert_non_null(what);
	} else {
		if (!ok)
			print_error("%s was refused: %s\n", arg, what);
		assert_true(ok);
		assert_string_equal(buf_cstr(&out), want);
		assert_true(span_equal_cstr(left, rest));
	}
	buf_free(&out);
}

static void
test_path(void **state)
{
	static const struct {
		const char *arg, *loose, *strict, *rest;
	} t[] = {
	    {"<a@b.c>", "a@b.c", "a@b.c", ""},
	    {" <a@b.c>", "a@b.c", "a@b.c", ""},
	    {"a@b.c", "a@b.c", NULL, ""},
	    {"<a@b.c", NULL, NULL, ""},
	    {"a@b.c>", "a@b.c", NULL, ""},
	    {"<a@b.c> SIZE=1 X", "a@b.c", "a@b.c", "SIZE=1 X"},
	    {"Name <a@b.c>", "Name", NULL, "<a@b.c>"},
	    {"a@b.c (c)", "a@b.c", NULL, "(c)"},
	    {"<@r:a@b.c>", "a@b.c", "a@b.c", ""},
	    {"<@r1,@r2:a@b.c>", "a@b.c", "a@b.c", ""},
	    {"<a b@c.d>", NULL, NULL, ""},
	    {"<\"a b\"@c.d>", "a b@c.d", "a b@c.d", ""},
	    {"\"a b\"@c.d X", "a b@c.d", NULL, "X"},
	    {"<a@b c>", NULL, NULL, ""},
	    {"<>", "", "", ""},
	    {"< >", "", "", ""},
	    {"<\"\">", "", "", ""},
	    {"<@b>", "@b", NULL, ""},
	    {"<\"\"@b.c>", "@b.c", NULL, ""},
	    {"<a@>", NULL, NULL, ""},
	    {"<a>", "a", "a", ""},
	    {"<a@b@c.d>", "a@b@c.d", "a@b@c.d", ""},
	    {"<a,b@c.d>", NULL, NULL, ""},
	    {"<a@b.c>,<d@e.f>", NULL, NULL, ""},
	    {"<a..b@c.d>", "a..b@c.d", "a..b@c.d", ""},
	    {"<a@b..c>", NULL, NULL, ""},
	    {"<a@.b>", NULL, NULL, ""},
	    {"<a@b.>", "a@b.", "a@b.", ""},
	    {"<a@[1.2.3.4]>", "a@[1.2.3.4]", "a@[1.2.3.4]", ""},
	    {"<a@[1.2.3]>", NULL, NULL, ""},
	    {"<a@[IPv6:::1]>", "a@[IPv6:::1]", "a@[IPv6:::1]", ""},
	    {"<a@[::1]>", NULL, NULL, ""},
	    {"<a@1.2.3.4>", NULL, NULL, ""},
	    {"<a@-b.c>", NULL, NULL, ""},
	    {"<a@b_c.d>", "a@b_c.d", "a@b_c.d", ""},
	    {"<a\\@b@c.d>", "a@b@c.d", "a@b@c.d", ""},
	    {"<\"a\\\"b\"@c.d>", "a\"b@c.d", "a\"b@c.d", ""},
	    {"<a\"b@c.d>", NULL, NULL, ""},
	    {"<a@b.c>>", "a@b.c", "a@b.c", ""},
	    {"<<a@b.c>>", "a@b.c", "a@b.c", ""},
	    {"< a@b.c >", "a@b.c", "a@b.c", ""},
	    {"<a;b@c.d>", NULL, NULL, ""},
	    {"<a@b.c>x", NULL, NULL, ""},
	    {"<a(c)@b.c>", "a@b.c", NULL, ""},
	    {"", NULL, NULL, ""},
	    {"<a@b.c SIZE=3", NULL, NULL, ""},
	    {"x<a@b.c>", "a@b.c", NULL, ""},
	    {"\"unclosed@x", NULL, NULL, ""},
	    {"<\"unclosed@x>", NULL, NULL, ""},
	    {"<[a]@b.c>", "[a]@b.c", "[a]@b.c", ""},
	    {"a,b", NULL, NULL, ""},
	    {"<a@b/c>", NULL, NULL, ""},
	    {"<a@b%c>", NULL, NULL, ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		check_path(t[i].arg, false, t[i].loose, t[i].rest);
		check_path(t[i].arg, true, t[i].strict, t[i].rest);
	}
}

static void
test_domain(void **state)
{
	char label[70];
	struct buf ip = BUF_INIT, fold = BUF_INIT;

	(void)state;
	memset(label, 'x', sizeof(label));
	assert_true(addr_valid_hostname(span_of("a.b-c.d")));
	assert_true(addr_valid_hostname(span_of("a")));
	assert_true(addr_valid_hostname(span_of("1.2.3.x")));
	assert_false(addr_valid_hostname(span_of("")));
	assert_false(addr_valid_hostname(span_of("1.2.3.4")));
	assert_false(addr_valid_hostname(span_of("a.")));
	assert_false(addr_valid_hostname(span_of("a b")));
	assert_false(addr_valid_hostname(span_of("a-.b")));
	assert_true(addr_valid_hostname(span_make(label, 63)));
	assert_false(addr_valid_hostname(span_make(label, 64)));
	assert_true(addr_valid_domain(span_of("b\xc3\xbc.de")));
	assert_false(addr_valid_hostname(span_of("b\xc3\xbc.de")));
	assert_false(addr_valid_domain(span_of("b\xc3.de")));
	assert_false(addr_valid_domain(span_of("b\xc3\xbc \".de")));
	assert_true(addr_valid_domain(span_of("[1.2.3.4]")));
	assert_true(addr_valid_literal(span_of("[1.2.3.4]"), &ip));
	assert_string_equal(buf_cstr(&ip), "1.2.3.4");
	assert_true(addr_valid_literal(span_of("[IPv6:2001:db8::1]"), &ip));
	assert_string_equal(buf_cstr(&ip), "2001:db8::1");
	assert_false(addr_valid_literal(span_of("[]"), &ip));
	assert_false(addr_valid_literal(span_of("[IPv6:1.2.3.4]"), &ip));
	buf_set_cstr(&fold, "UsEr@ExAmPlE");
	addr_fold_domain(&fold);
	assert_string_equal(buf_cstr(&fold), "UsEr@example");
	buf_free(&ip);
	buf_free(&fold);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_quote),     cmocka_unit_test(test_parts),
	    cmocka_unit_test(test_extension), cmocka_unit_test(test_path),
	    cmocka_unit_test(test_domain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
