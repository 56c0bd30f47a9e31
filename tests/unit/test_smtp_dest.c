/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those */
#include <cmocka.h>

#include "lib/smtp/dest.h"

static const char known[] =
    "lmtp=24, smtp=25, smtps=submissions=465, submission=587";
static const struct dest_rules smtp = {false, "smtp", known};
static const struct dest_rules lmtp = {true, "24", known};

static struct dest_list list;
static struct why why = WHY_INIT;

static size_t
parse(const struct dest_rules *rules, const char *text)
{
	dest_list_free(&list);
	why_reset(&why);
	return dest_list_parse(span_of(text), rules, &list, &why) ? list.n : 0;
}

#define ONE(rules, text, want_host, want_port, want_mx)         \
	do {                                                    \
		assert_int_equal(parse(&(rules), text), 1);     \
		assert_string_equal(list.v[0].host, want_host); \
		assert_int_equal(list.v[0].port, want_port);    \
		assert_int_equal(list.v[0].mx, want_mx);        \
		assert_string_equal(list.v[0].name, text);      \
	} while (0)

static void
test_smtp_forms(void **state)
{
	(void)state;
	ONE(smtp, "example.com", "example.com", 25, true);
	assert_true(list.v[0].std_port);
	ONE(smtp, "example.com:2525", "example.com", 2525, true);
	assert_false(list.v[0].std_port);
	ONE(smtp, "example.com:25", "example.com", 25, true);
	assert_true(list.v[0].std_port);
	ONE(smtp, "[mx.example.com]", "mx.example.com", 25, false);
	ONE(smtp, "[mx.example.com]:submission", "mx.example.com", 587, false);
	ONE(smtp, "[mx.example.com]:submissions", "mx.example.com", 465, false);
	ONE(smtp, "[192.0.2.1]:smtps", "192.0.2.1", 465, false);
	ONE(smtp, "192.0.2.1", "192.0.2.1", 25, false);
	ONE(smtp, "[::1]:2525", "::1", 2525, false);
	ONE(smtp, "[ipv6:::1]", "::1", 25, false);
	ONE(smtp, "[IPv6:2001:db8::1]:26", "2001:db8::1", 26, false);
	ONE(smtp, "2001:db8::1", "2001:db8::1", 25, false);
	ONE(smtp, "example.com:", "example.com", 25, true);
	ONE(smtp, "[a]:", "a", 25, false);
	ONE(smtp,
	    "b\xc3\xbc"
	    "cher.example",
	    "b\xc3\xbc"
	    "cher.example",
	    25, true);
	ONE(smtp, "a_b.example:submission", "a_b.example", 587, true);
	assert_string_equal(list.v[0].service, "submission");
	/* Not a prefix here. */
	ONE(smtp, "unix:25", "unix", 25, true);
}

static void
test_lmtp_forms(void **state)
{
	(void)state;
	ONE(lmtp, "unix:private/dovecot-lmtp", "private/dovecot-lmtp", 0,
	    false);
	assert_true(list.v[0].path);
	ONE(lmtp, "unix:/var/run/lmtp:x", "/var/run/lmtp:x", 0, false);
	ONE(lmtp, "inet:host", "host", 24, false);
	assert_false(list.v[0].path);
	ONE(lmtp, "inet:host:2424", "host", 2424, false);
	ONE(lmtp, "inet:[127.0.0.1]:lmtp", "127.0.0.1", 24, false);
	ONE(lmtp, "host:25", "host", 25, false);
	assert_false(list.v[0].std_port);
}

static void
test_lists(void **state)
{
	(void)state;
	assert_int_equal(parse(&smtp, "a.example, [b.example]:26\tc.example"),
			 3);
	assert_string_equal(list.v[0].host, "a.example");
	assert_string_equal(list.v[1].host, "b.example");
	assert_int_equal(list.v[1].port, 26);
	assert_string_equal(list.v[2].host, "c.example");
	/* Appending keeps what is there, also when it fails. */
	assert_true(dest_list_parse(span_of("d.example"), &smtp, &list, &why));
	assert_int_equal(list.n, 4);
	assert_false(
	    dest_list_parse(span_of("e.example, :26"), &smtp, &list, &why));
	assert_int_equal(list.n, 4);
	assert_string_equal(list.v[3].host, "d.example");
}

static void
test_bad(void **state)
{
	static const char *const bad[] = {
	    "",     " , ",     ":25",
	    "[a",   "[]:25",   "[a]x",
	    "a:0",  "a:65536", "a:nosuchservice",
	    "a.",   "[a.]",    "-a",
	    "a..b", "[127.1]", "[a b]",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(parse(&smtp, bad[i]), 0);
		assert_string_equal(why.dsn, "4.3.5");
	}
	assert_int_equal(parse(&lmtp, "unix:"), 0);
	parse(&smtp, "[a]:nosuchservice");
	assert_string_equal(buf_cstr(&why.text),
			    "unknown service: nosuchservice/tcp");
}

static void
test_ports(void **state)
{
	(void)state;
	assert_int_equal(dest_port(span_of("25"), known), 25);
	assert_int_equal(dest_port(span_of("smtps"), known), 465);
	assert_int_equal(dest_port(span_of("submissions"), known), 465);
	assert_int_equal(dest_port(span_of("smtps"), "smtps = 1, x=2"), 1);
	assert_int_equal(dest_port(span_of("465x"), known), 0);
	assert_int_equal(dest_port(span_of(""), known), 0);
	assert_int_equal(dest_port(span_of("-1"), known), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_smtp_forms),
	    cmocka_unit_test(test_lmtp_forms),
	    cmocka_unit_test(test_lists),
	    cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_ports),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	dest_list_free(&list);
	why_free(&why);
	return rc;
}
