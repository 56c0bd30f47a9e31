/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those */
#include <cmocka.h>

#include "lib/dns/name.h"
#include "lib/dns/wire.h"

/* "\x81\x80": an answer without error; one question. */
#define HEAD(answers) "\x12\x34\x81\x80\0\1\0" answers "\0\0\0\0"
#define NXDOMAIN "\x12\x34\x81\x83\0\1\0\0\0\0\0\0"
#define SERVFAIL "\x12\x34\x81\x82\0\1\0\0\0\0\0\0"
#define QUESTION(type) "\1a\2bc\0\0" type "\0\1"
/* Owner: pointer to the question's name at offset 12. */
#define RR(type, len) "\xc0\x0c\0" type "\0\1\0\0\0\x3c\0" len

#define PARSE(type, text) parse(type, text, sizeof(text) - 1)

static struct dns_answer answer = DNS_ANSWER_INIT;

static bool
parse(enum dns_type type, const char *data, size_t len)
{
	/* In memory of exactly that size, for the sanitizer. */
	char *copy = malloc(len ? len : 1);
	bool ok;

	memcpy(copy, data, len);
	ok = dns_wire_parse(span_make(copy, len), type, &answer);
	free(copy);
	return ok;
}

static void
test_addresses(void **state)
{
	(void)state;
	assert_true(PARSE(DNS_A, HEAD("\2") QUESTION("\1")
				     RR("\1", "\4") "\x7f\0\0\1" RR(
					 "\1", "\4") "\x0a\1\2\3"));
	assert_int_equal(answer.status, DNS_FOUND);
	assert_int_equal(answer.n, 2);
	assert_string_equal(answer.rr[0].text, "127.0.0.1");
	assert_string_equal(answer.rr[1].text, "10.1.2.3");
	assert_int_equal(answer.ttl, 60);
	assert_string_equal(answer.canonical, "a.bc");
	assert_true(PARSE(
	    DNS_AAAA, HEAD("\1") QUESTION("\x1c") RR(
			  "\x1c", "\x10") "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"));
	assert_string_equal(answer.rr[0].text, "::1");
	/* Wrong length of an address. */
	assert_false(
	    PARSE(DNS_A, HEAD("\1") QUESTION("\1") RR("\1", "\3") "\x7f\0\0"));
	assert_int_equal(answer.status, DNS_RETRY);
	assert_int_equal(answer.n, 0);
}

static void
test_mx(void **state)
{
	(void)state;
	assert_true(PARSE(DNS_MX, HEAD("\2") QUESTION("\x0f")
				      RR("\x0f", "\6") "\0\x0a\1m\xc0\x0c" RR(
					  "\x0f", "\3") "\0\0\0"));
	assert_int_equal(answer.n, 2);
	assert_int_equal(answer.rr[0].preference, 10);
	assert_string_equal(answer.rr[0].text, "m.a.bc");
	assert_int_equal(answer.rr[1].preference, 0);
	assert_string_equal(answer.rr[1].text, "");
	/* Bytes that no host name has never pass for one. */
	assert_true(PARSE(DNS_MX, HEAD("\1") QUESTION("\x0f")
				      RR("\x0f", "\7") "\0\1\3x.y\0"));
	assert_string_equal(answer.rr[0].text, "x\\046y");
	/* The name goes on behind the record's data. */
	assert_false(PARSE(DNS_MX, HEAD("\1") QUESTION("\x0f")
				       RR("\x0f", "\3") "\0\1\3xyz\0"));
	/* Something is left in the record. */
	assert_false(PARSE(DNS_MX, HEAD("\1") QUESTION("\x0f")
				       RR("\x0f", "\4") "\0\1\0\0"));
}

static void
test_other_types(void **state)
{
	(void)state;
	assert_true(PARSE(DNS_TXT, HEAD("\1") QUESTION("\x10")
				       RR("\x10", "\7") "\2ab\3c\nd"));
	assert_string_equal(answer.rr[0].text, "abc d");
	assert_false(PARSE(DNS_TXT, HEAD("\1") QUESTION("\x10")
					RR("\x10", "\3") "\3ab"));
	assert_true(PARSE(DNS_SRV, HEAD("\1") QUESTION("\x21") RR(
				       "\x21", "\x9") "\0\1\0\2\2\x4b\1s\0"));
	assert_int_equal(answer.rr[0].preference, 1);
	assert_int_equal(answer.rr[0].weight, 2);
	assert_int_equal(answer.rr[0].port, 587);
	assert_string_equal(answer.rr[0].text, "s");
	assert_true(PARSE(DNS_TLSA, HEAD("\1") QUESTION("\x34")
					RR("\x34", "\5") "\3\1\1\xab\xcd"));
	assert_string_equal(answer.rr[0].text, "030101abcd");
}

static void
test_alias(void **state)
{
	(void)state;
	/* a.bc is an alias of x, and x has the address; the order does not
	 * matter. The lowest time to live counts. */
	assert_true(PARSE(
	    DNS_A,
	    HEAD("\2") QUESTION("\1") "\1x\0\0\1\0\1\0\0\0\5\0\4\1\2\3\4" RR(
		"\5", "\3") "\1X\0"));
	assert_int_equal(answer.status, DNS_FOUND);
	assert_string_equal(answer.rr[0].text, "1.2.3.4");
	assert_string_equal(answer.canonical, "X");
	assert_int_equal(answer.ttl, 5);
	/* An alias to nothing, and one to itself. */
	assert_true(
	    PARSE(DNS_A, HEAD("\1") QUESTION("\1") RR("\5", "\3") "\1x\0"));
	assert_int_equal(answer.status, DNS_NO_DATA);
	assert_false(
	    PARSE(DNS_A, HEAD("\1") QUESTION("\1") RR("\5", "\2") "\xc0\x0c"));
}

static void
test_codes(void **state)
{
	(void)state;
	assert_true(PARSE(DNS_A, NXDOMAIN QUESTION("\1")));
	assert_int_equal(answer.status, DNS_NO_NAME);
	assert_true(PARSE(DNS_A, HEAD("\0") QUESTION("\1")));
	assert_int_equal(answer.status, DNS_NO_DATA);
	assert_true(PARSE(DNS_A, SERVFAIL QUESTION("\1")));
	assert_int_equal(answer.status, DNS_RETRY);
	assert_string_equal(buf_cstr(&answer.reason), "response code 2");
	/* Not an answer; two questions; too short. */
	assert_false(
	    PARSE(DNS_A, "\x12\x34\1\0\0\1\0\0\0\0\0\0" QUESTION("\1")));
	assert_false(PARSE(DNS_A, "\x12\x34\x81\x80\0\2\0\0\0\0\0\0" QUESTION(
				      "\1") QUESTION("\1")));
	assert_false(PARSE(DNS_A, "\x12\x34\x81"));
	assert_false(PARSE(DNS_A, ""));
}

static void
test_hostile_names(void **state)
{
	(void)state;
	/* A pointer to itself, forwards, behind the end; labels too long. */
	assert_false(PARSE(DNS_A, HEAD("\0") "\xc0\x0c\0\1\0\1"));
	assert_false(PARSE(DNS_A, HEAD("\0") "\xc0\x0e\1a\0\0\1\0\1"));
	assert_false(PARSE(DNS_A, HEAD("\0") "\xff\xff\0\1\0\1"));
	assert_false(PARSE(DNS_A, HEAD("\0") "\x40"
					     "a\0\0\1\0\1"));
	assert_false(PARSE(DNS_A, HEAD("\0") "\3a"));
	/* Two names that point at each other. */
	assert_false(PARSE(DNS_A, HEAD("\0") "\1a\xc0\x0c\0\1\0\1"));
	/* More records announced than there are. */
	assert_false(PARSE(DNS_A, HEAD("\2") QUESTION("\1")
				      RR("\1", "\4") "\x7f\0\0\1"));
}

static void
test_long_name(void **state)
{
	char packet[512];
	size_t n = 12;

	(void)state;
	memcpy(packet, HEAD("\0"), 12);
	/* 4 labels of 63 bytes and the end are 257 bytes: two too many. */
	for (int i = 0; i < 4; i++) {
		packet[n++] = 63;
		memset(packet + n, 'a', 63);
		n += 63;
	}
	memcpy(packet + n, "\0\0\1\0\1", 5);
	assert_false(parse(DNS_A, packet, n + 5));
	packet[12 + 3 * 64] = 61;
	memcpy(packet + n - 2, "\0\0\1\0\1", 5);
	assert_true(parse(DNS_A, packet, n + 3));
	assert_int_equal(strlen(answer.canonical), 253);
}

static void
test_rr_text(void **state)
{
	struct dns_rr rr;
	struct buf out = BUF_INIT;

	(void)state;
	assert_true(dns_rr_parse(DNS_MX, span_of("10 mx.example.com"), &rr));
	assert_int_equal(rr.preference, 10);
	assert_string_equal(rr.text, "mx.example.com");
	dns_rr_format(DNS_MX, &rr, &out);
	assert_string_equal(buf_cstr(&out), "10 mx.example.com");
	free(rr.text);
	assert_true(dns_rr_parse(DNS_MX, span_of("0 "), &rr));
	assert_string_equal(rr.text, "");
	free(rr.text);
	assert_true(dns_rr_parse(DNS_SRV, span_of("1 2 3 x"), &rr));
	assert_int_equal(rr.port, 3);
	free(rr.text);
	assert_false(dns_rr_parse(DNS_MX, span_of("x mx"), &rr));
	assert_false(dns_rr_parse(DNS_MX, span_of("70000 mx"), &rr));
	assert_false(dns_rr_parse(DNS_MX, span_of("10"), &rr));
	assert_null(rr.text);
	buf_free(&out);
}

static void
test_reverse(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_true(dns_reverse_name("1.2.3.4", &out));
	assert_string_equal(buf_cstr(&out), "4.3.2.1.in-addr.arpa");
	buf_reset(&out);
	assert_true(dns_reverse_name("2001:db8::1", &out));
	assert_string_equal(buf_cstr(&out),
			    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
			    "0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
	assert_false(dns_reverse_name("1.2.3", &out));
	buf_free(&out);
}

static const char *
ascii(const char *name)
{
	static struct buf out;

	buf_reset(&out);
	return dns_name_to_ascii(span_of(name), &out) ? buf_cstr(&out) : NULL;
}

static void
test_names(void **state)
{
	char name[300];

	(void)state;
	assert_string_equal(ascii("Example.com."), "Example.com");
	assert_string_equal(ascii("_25._tcp.mx"), "_25._tcp.mx");
	assert_string_equal(ascii("b\xc3\xbc"
				  "cher.example"),
			    "xn--bcher-kva.example");
	assert_string_equal(ascii("stra\xc3\x9f"
				  "e.de"),
			    "xn--strae-oqa.de");
	assert_null(ascii(""));
	assert_null(ascii("."));
	assert_null(ascii("a..b"));
	assert_null(ascii(".a"));
	assert_null(ascii("a b"));
	assert_null(ascii("a\\b"));
	assert_null(ascii("a\tb"));
	assert_null(ascii("b\xfc"
			  "cher.example"));
	memset(name, 'a', sizeof(name));
	name[64] = '\0';
	assert_null(ascii(name));
	name[63] = '\0';
	assert_non_null(ascii(name));
	memset(name, 'a', sizeof(name));
	for (size_t i = 1; i < 254; i += 2)
		name[i] = '.';
	name[253] = 'a';
	name[254] = '\0';
	assert_null(ascii(name));
	name[253] = '\0';
	assert_non_null(ascii(name));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_mx),
	    cmocka_unit_test(test_other_types),
	    cmocka_unit_test(test_alias),
	    cmocka_unit_test(test_codes),
	    cmocka_unit_test(test_hostile_names),
	    cmocka_unit_test(test_long_name),
	    cmocka_unit_test(test_rr_text),
	    cmocka_unit_test(test_reverse),
	    cmocka_unit_test(test_names),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	dns_answer_free(&answer);
	return rc;
}
