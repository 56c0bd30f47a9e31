/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/smtp/haproxy.h"

static const unsigned both = SOCK_IPV4 | SOCK_IPV6;

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BINARY(literal) span_make(literal, sizeof(literal) - 1)

static void
assert_addr(const struct sock_addr *a, const char *text, int port)
{
	char got[SOCK_TEXT_MAX];

	sock_addr_format(a, got);
	assert_string_equal(got, text);
	assert_int_equal(sock_addr_port(a), port);
}

static void
assert_bad(const char *line, const char *reason)
{
	struct haproxy h;

	assert_int_equal(haproxy_parse(span_of(line), both, &h), HAPROXY_BAD);
	assert_string_equal(h.reason, reason);
}

static void
test_text(void **state)
{
	struct haproxy h;

	(void)state;
	assert_int_equal(
	    haproxy_parse(span_of("PROXY TCP4 10.1.2.3 10.9.9.9 1234 25\r\n"
				  "EHLO x\r\n"),
			  both, &h),
	    HAPROXY_OK);
	assert_int_equal(h.used, 38);
	assert_false(h.local);
	assert_addr(&h.client, "10.1.2.3", 1234);
	assert_addr(&h.server, "10.9.9.9", 25);
	assert_int_equal(
	    haproxy_parse(
		span_of("PROXY TCP6 2001:DB8::1 ::ffff:10.9.9.9 0 65535\n"),
		both, &h),
	    HAPROXY_OK);
	assert_addr(&h.client, "2001:db8::1", 0);
	assert_addr(&h.server, "10.9.9.9", 65535);
}

static void
test_bad_text(void **state)
{
	(void)state;
	assert_bad("EHLO foo\r\n", "short protocol header");
	assert_bad("PROXY\r\n", "short protocol header");
	assert_bad("proxy TCP4 10.1.2.3 10.9.9.9 1 2\r\n",
		   "unrecognized protocol header");
	assert_bad("PROXY UNKNOWN\r\n\r\n", "bad or missing protocol type");
	assert_bad("PROXY UNKNOWN a b c d\r\n", "bad or missing protocol type");
	assert_bad("PROXY TCP4 ::1 ::1 1 2\r\n",
		   "bad or missing client address");
	assert_bad("PROXY TCP4 010.1.2.3 10.9.9.9 1 2\r\n",
		   "bad or missing client address");
	assert_bad("PROXY TCP4 10.1.2.3 10.9.9 1 2\r\n",
		   "bad or missing server address");
	assert_bad("PROXY TCP4 10.1.2.3 10.9.9.9 01 2\r\n",
		   "bad or missing client port");
	assert_bad("PROXY TCP4 10.1.2.3 10.9.9.9 -0 2\r\n",
		   "bad or missing client port");
	assert_bad("PROXY TCP4 10.1.2.3 10.9.9.9 1 65536\r\n",
		   "bad or missing server port");
	assert_bad("PROXY TCP4 10.1.2.3 10.9.9.9 1\r\n",
		   "bad or missing server port");
}

static void
test_families(void **state)
{
	struct haproxy h;

	(void)state;
	assert_int_equal(
	    haproxy_parse(span_of("PROXY TCP6 ::1 ::1 1 2\r\n"), SOCK_IPV4, &h),
	    HAPROXY_BAD);
	assert_string_equal(h.reason, "bad or missing protocol type");
	assert_int_equal(
	    haproxy_parse(BINARY(SIGNATURE "\x21\x21\0\0"), SOCK_IPV4, &h),
	    HAPROXY_BAD);
	assert_string_equal(h.reason, "Postfix IPv6 support is disabled");
}

static void
test_binary(void **state)
{
	struct haproxy h;

	(void)state;
	assert_int_equal(
	    haproxy_parse(BINARY(SIGNATURE "\x21\x11\0\x0f\x0a\1\2\3\x0a\x09"
					   "\x09\x09\x04\xd2\0\x19\x04\0\0X"),
			  both, &h),
	    HAPROXY_OK);
	assert_int_equal(h.used, 31);
	assert_addr(&h.client, "10.1.2.3", 1234);
	assert_addr(&h.server, "10.9.9.9", 25);
	assert_int_equal(
	    haproxy_parse(BINARY(SIGNATURE "\x20\x33\0\1x"), both, &h),
	    HAPROXY_OK);
	assert_true(h.local);
	assert_int_equal(h.used, 17);
	assert_int_equal(
	    haproxy_parse(BINARY(SIGNATURE "\x21\x11\0\x0b\x0a\1\2\3\x0a\x09"
					   "\x09\x09\x04\xd2\0"),
			  both, &h),
	    HAPROXY_BAD);
	assert_string_equal(h.reason, "short address field");
	assert_int_equal(haproxy_parse(BINARY(SIGNATURE "\x11"), both, &h),
			 HAPROXY_MORE);
	assert_int_equal(
	    haproxy_parse(BINARY(SIGNATURE "\x21\x11\xff\xff"), both, &h),
	    HAPROXY_BAD);
}

static void
test_more(void **state)
{
	static const char line[] = "PROXY TCP4 10.1.2.3 10.9.9.9 1234 25\r\n";
	char endless[HAPROXY_MAX], whole[HAPROXY_MAX + 100];
	struct haproxy h;

	(void)state;
	/* A line that is too long is bad however much of it came at once. */
	memset(whole, ' ', sizeof(whole));
	memcpy(whole, line, sizeof(line) - 3);
	whole[sizeof(whole) - 1] = '\n';
	assert_int_equal(
	    haproxy_parse(span_make(whole, sizeof(whole)), both, &h),
	    HAPROXY_BAD);
	for (size_t i = 0; i < sizeof(line) - 1; i++)
		assert_int_equal(haproxy_parse(span_make(line, i), both, &h),
				 HAPROXY_MORE);
	memset(endless, 'x', sizeof(endless));
	memcpy(endless, "PROXY ", 6);
	assert_int_equal(
	    haproxy_parse(span_make(endless, sizeof(endless) - 1), both, &h),
	    HAPROXY_MORE);
	assert_int_equal(
	    haproxy_parse(span_make(endless, sizeof(endless)), both, &h),
	    HAPROXY_BAD);
}

static void
test_show(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	haproxy_show(BINARY("a\r\n\0\v\f\\\"\377"), &out);
	assert_string_equal(out.data, "a\\r\\n\\000\\v\\f\\\\\"\\377");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_text),     cmocka_unit_test(test_bad_text),
	    cmocka_unit_test(test_families), cmocka_unit_test(test_binary),
	    cmocka_unit_test(test_more),     cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
