/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/smtp/mta_sts.h"
#include "lib/smtp/tlsrpt.h"

/* id: NULL when the record is not well-formed. */
static void
record(const char *text, const char *want)
{
	struct span id;
	bool ok = mta_sts_parse_record(span_of(text), &id);

	assert_int_equal(ok, want != NULL);
	if (want)
		assert_true(span_equal_cstr(id, want));
}

static void
test_record(void **state)
{
	(void)state;
	record("v=STSv1; id=20160831085700Z;", "20160831085700Z");
	record("v=STSv1;id=1", "1");
	record("v=STSv1; id=1 ; ext=a-b/c+d:e", "1");
	record("v=STSv1; ext_1.x=1;id=2;", "2");
	record("v=STSv1; id=1; id=2;", "1");
	record("v=STSv1; id=abcdefghijklmnopqrstuvwxyz012345;",
	       "abcdefghijklmnopqrstuvwxyz012345");
	record("v=STSv1; id=abcdefghijklmnopqrstuvwxyz0123456;", NULL);
	record("v=STSv1;", NULL);
	record("v=STSv1", NULL);
	record("v=STSv1; id=;", NULL);
	record("v=STSv1; id=a-b;", NULL);
	record("v=STSv1; id=a b;", NULL);
	record("v=STSv1; id = a;", NULL);
	record("v=STSv1;; id=a;", NULL);
	record("v=STSv1; junk; id=a;", NULL);
	record("v=STSv1; x=; id=a;", NULL);
	record("v=STSv1; -x=1; id=a;", NULL);
	record("v=STSv2; id=1;", NULL);
	record("V=STSv1; id=1;", NULL);
	record(" v=STSv1; id=1;", NULL);
	record("v=spf1 -all", NULL);
	record("", NULL);
	assert_true(mta_sts_is_record(span_of("v=STSv1; junk")));
	assert_false(mta_sts_is_record(span_of("v=STSv10; id=1")));
}

#define HEAD "version: STSv1\n"

/* want: reason, NULL when it is a policy. */
static void
policy(const char *text, const char *want, struct mta_sts_policy *p)
{
	const char *reason = "";

	assert_int_equal(mta_sts_parse_policy(span_of(text), p, &reason),
			 want == NULL);
	if (want) {
		assert_string_equal(reason, want);
		assert_int_equal(p->mx.n, 0);
	}
}

static void
test_policy(void **state)
{
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;

	(void)state;
	policy("version: STSv1\r\nmode: enforce\r\nmx: Mail.Example.com\r\n"
	       "mx: *.example.net\r\nmax_age: 604800\r\n",
	       NULL, &p);
	assert_int_equal(p.mode, MTA_STS_ENFORCE);
	assert_int_equal(p.max_age, 604800);
	assert_int_equal(p.mx.n, 2);
	assert_string_equal(p.mx.v[0], "mail.example.com");
	assert_string_equal(p.mx.v[1], "*.example.net");
	/* Without blanks, another order, no end of line, a field of later. */
	policy("max_age:1\nmx:a.b\nmode:testing\nnew-field: x:y\nversion:STSv1",
	       NULL, &p);
	assert_int_equal(p.mode, MTA_STS_TESTING);
	policy(HEAD "mode: none\nmax_age: 86400\n", NULL, &p);
	assert_int_equal(p.mode, MTA_STS_NONE);
	/* What stands twice counts once, but mx. */
	policy(HEAD "mode: testing\nmode: enforce\nmax_age: 5\nmax_age: x\n"
		    "mx: a.b\nmx: c.d\nversion: STSv2\n",
	       NULL, &p);
	assert_int_equal(p.mode, MTA_STS_TESTING);
	assert_int_equal(p.max_age, 5);
	policy(HEAD "mode: none\nmax_age: 9999999999\n", NULL, &p);
	assert_int_equal(p.max_age, MTA_STS_AGE_MAX);
	mta_sts_policy_free(&p);
}

static void
test_bad_policy(void **state)
{
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;
	struct span nul = {"version: STSv1\nmode: none\nmax_age: 1\n\0", 38};
	const char *reason;

	(void)state;
	policy("", "no version", &p);
	policy("version: STSv2\n", "unknown version", &p);
	policy(HEAD "max_age: 1\n", "no mode", &p);
	policy(HEAD "mode: Enforce\n", "unknown mode", &p);
	policy(HEAD "mode: none\n", "no max_age", &p);
	policy(HEAD "max_age: -1\n", "bad max_age", &p);
	policy(HEAD "max_age: -0\n", "bad max_age", &p);
	policy(HEAD "max_age: \n", "bad max_age", &p);
	policy(HEAD "max_age: 12345678901\n", "bad max_age", &p);
	policy(HEAD "mode: enforce\nmax_age: 1\n", "no mx pattern", &p);
	policy(HEAD "mx: *\n", "bad mx pattern", &p);
	policy(HEAD "mx: *.*.example.com\n", "bad mx pattern", &p);
	policy(HEAD "mx: a.*.example.com\n", "bad mx pattern", &p);
	policy(HEAD "mx: a b\n", "bad mx pattern", &p);
	policy(HEAD "mx:\n", "bad mx pattern", &p);
	policy("<html>", "malformed line", &p);
	policy("a b: c\n", "malformed line", &p);
	assert_false(mta_sts_parse_policy(nul, &p, &reason));
	assert_string_equal(reason, "NUL byte");
}

static void
test_policy_is_bounded(void **state)
{
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;
	struct buf text = BUF_INIT;
	const char *reason;

	(void)state;
	buf_append_cstr(&text, HEAD "mode: enforce\nmax_age: 1\n");
	for (int i = 0; i < MTA_STS_MX_MAX; i++)
		buf_printf(&text, "mx: m%d.example.com\n", i);
	assert_true(mta_sts_parse_policy(buf_span(&text), &p, &reason));
	assert_int_equal(p.mx.n, MTA_STS_MX_MAX);
	buf_append_cstr(&text, "mx: one.more\n");
	assert_false(mta_sts_parse_policy(buf_span(&text), &p, &reason));
	buf_set_cstr(&text, HEAD "mode: none\nmax_age: 1\n");
	for (int i = 0; i < MTA_STS_LINES_MAX; i++)
		buf_append_cstr(&text, "x: y\n");
	assert_false(mta_sts_parse_policy(buf_span(&text), &p, &reason));
	assert_string_equal(reason, "too many lines");
	while (text.len <= MTA_STS_POLICY_MAX)
		buf_append_cstr(&text, "x: y\n");
	assert_false(mta_sts_parse_policy(buf_span(&text), &p, &reason));
	assert_string_equal(reason, "too long");
	buf_free(&text);
}

static void
test_match(void **state)
{
	(void)state;
	assert_true(mta_sts_match("mail.example.com", "mail.example.com"));
	assert_true(mta_sts_match("mail.example.com", "MAIL.Example.Com."));
	assert_true(mta_sts_match("*.example.com", "mx1.example.com"));
	assert_false(mta_sts_match("*.example.com", "example.com"));
	assert_false(mta_sts_match("*.example.com", "a.b.example.com"));
	assert_false(mta_sts_match("*.example.com", ".example.com"));
	assert_false(mta_sts_match("*.example.com", "*.example.org"));
	assert_false(mta_sts_match("mail.example.com", "mail.example.co"));
	assert_false(mta_sts_match("mail.example.com", ""));
	assert_false(mta_sts_match("*.", "a."));
}

static void
tlsrpt(const char *text, size_t uris, const char *first)
{
	struct strvec v = STRVEC_INIT;

	assert_int_equal(tlsrpt_parse_record(span_of(text), &v), uris > 0);
	assert_int_equal(v.n, uris);
	if (uris)
		assert_string_equal(v.v[0], first);
	strvec_free(&v);
}

static void
test_tlsrpt_record(void **state)
{
	(void)state;
	tlsrpt("v=TLSRPTv1; rua=mailto:a@b.example", 1, "mailto:a@b.example");
	tlsrpt("v=TLSRPTv1;rua=https://x.example/y , mailto:a@b;", 2,
	       "https://x.example/y");
	tlsrpt("v=TLSRPTv1; x=y; rua=MAILTO:a@b", 1, "MAILTO:a@b");
	tlsrpt("v=TLSRPTv1; rua=mailto:a@b; rua=mailto:c@d", 1, "mailto:a@b");
	tlsrpt("v=TLSRPTv1; rua=ftp://x", 0, NULL);
	tlsrpt("v=TLSRPTv1; rua=", 0, NULL);
	tlsrpt("v=TLSRPTv1; junk; rua=mailto:a@b", 0, NULL);
	tlsrpt("v=TLSRPTv1;", 0, NULL);
	tlsrpt("v=TLSRPTv1; rua=mailto:a@b; junk", 0, NULL);
	tlsrpt("v=TLSRPTv2; rua=mailto:a@b", 0, NULL);
	tlsrpt("rua=mailto:a@b; v=TLSRPTv1;", 0, NULL);
}

static void
test_names(void **state)
{
	enum tlsrpt_result r;
	enum tlsrpt_policy_type t;

	(void)state;
	for (int i = 0; i < TLSRPT_RESULT_COUNT; i++) {
		const char *name = tlsrpt_result_name((enum tlsrpt_result)i);

		assert_true(tlsrpt_result_parse(span_of(name), &r));
		assert_int_equal(r, i);
	}
	for (int i = 0; i < TLSRPT_POLICY_COUNT; i++) {
		const char *name =
		    tlsrpt_policy_name((enum tlsrpt_policy_type)i);

		assert_true(tlsrpt_policy_parse(span_of(name), &t));
		assert_int_equal(t, i);
	}
	assert_false(tlsrpt_result_parse(span_of("succes"), &r));
	assert_false(tlsrpt_policy_parse(span_of(""), &t));
}

static void
test_json(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	tlsrpt_put_json(&out, span_of("a\"\\\n\x7f\xff\xc3\xa9"));
	assert_string_equal(buf_cstr(&out),
			    "\"a\\\"\\\\\\u000a\\u007f?\xc3\xa9\"");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_record),
	    cmocka_unit_test(test_policy),
	    cmocka_unit_test(test_bad_policy),
	    cmocka_unit_test(test_policy_is_bounded),
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_tlsrpt_record),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
