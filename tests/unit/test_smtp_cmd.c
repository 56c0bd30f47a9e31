/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/ipc/proto.h"
#include "lib/smtp/cmd.h"

static void
assert_span(struct span s, const char *want)
{
	assert_int_equal(s.len, strlen(want));
	assert_memory_equal(s.data, want, s.len);
}

static void
test_split(void **state)
{
	struct span verb, arg;

	(void)state;
	cmd_split(span_of("MAIL FROM:<a@b> SIZE=1"), &verb, &arg);
	assert_span(verb, "MAIL");
	assert_span(arg, "FROM:<a@b> SIZE=1");
	cmd_split(span_of("  quit\t "), &verb, &arg);
	assert_span(verb, "quit");
	assert_int_equal(arg.len, 0);
	cmd_split(span_of(""), &verb, &arg);
	assert_int_equal(verb.len, 0);
}

static void
test_params(void **state)
{
	struct span rest = span_of(" SIZE=100  FOO ENVID= A=b=c");
	struct span key, value;

	(void)state;
	assert_true(cmd_next_param(&rest, &key, &value));
	assert_span(key, "SIZE");
	assert_span(value, "100");
	assert_true(cmd_next_param(&rest, &key, &value));
	assert_span(key, "FOO");
	assert_null(value.data);
	assert_true(cmd_next_param(&rest, &key, &value));
	assert_span(key, "ENVID");
	assert_non_null(value.data);
	assert_int_equal(value.len, 0);
	assert_true(cmd_next_param(&rest, &key, &value));
	assert_span(key, "A");
	assert_span(value, "b=c");
	assert_false(cmd_next_param(&rest, &key, &value));
}

static void
test_notify(void **state)
{
	(void)state;
	assert_int_equal(cmd_parse_notify(span_of("never")), NOTIFY_NEVER);
	assert_int_equal(cmd_parse_notify(span_of("SUCCESS,delay,FAILURE")),
			 NOTIFY_SUCCESS | NOTIFY_DELAY | NOTIFY_FAILURE);
	assert_int_equal(cmd_parse_notify(span_of("NEVER,DELAY")), 0);
	assert_int_equal(cmd_parse_notify(span_of("")), 0);
	assert_int_equal(cmd_parse_notify(span_of("SUCCESSFUL")), 0);
	assert_int_equal(cmd_parse_ret(span_of("full")), RET_FULL);
	assert_int_equal(cmd_parse_ret(span_of("HDRS")), RET_HDRS);
	assert_int_equal(cmd_parse_ret(span_of("HDR")), RET_NONE);
}

static void
test_xtext(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	assert_true(xtext_decode(span_of("a+40b+2Bc"), &out));
	assert_string_equal(buf_cstr(&out), "a@b+c");
	assert_false(xtext_decode(span_of("x+4"), &out));
	assert_false(xtext_decode(span_of("x+"), &out));
	assert_false(xtext_decode(span_of("x+G0"), &out));
	/* What was there stays. */
	assert_string_equal(buf_cstr(&out), "a@b+c");
	buf_reset(&out);
	xtext_encode(span_of("a b+c=d\xe4"), &out);
	assert_string_equal(buf_cstr(&out), "a+20b+2Bc+3Dd+E4");
	buf_free(&out);
}

static void
test_orcpt(void **state)
{
	struct buf out = BUF_INIT;
	static const char *const bad[] = {
	    "",         "rfc822",       "rfc822;",    ";a@b",
	    "rf c;a@b", "rfc822;a+0Ab", "rfc822;a+4", "rfc822;a+00b",
	};

	(void)state;
	assert_true(cmd_parse_orcpt(span_of("rfc822;a+40b"), &out));
	assert_string_equal(buf_cstr(&out), "rfc822;a@b");
	buf_reset(&out);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(cmd_parse_orcpt(span_of(bad[i]), &out));
		assert_int_equal(out.len, 0);
	}
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_split),  cmocka_unit_test(test_params),
	    cmocka_unit_test(test_notify), cmocka_unit_test(test_xtext),
	    cmocka_unit_test(test_orcpt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
