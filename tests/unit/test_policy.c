/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/smtp/policy.h"

static void
parse(const char *text, enum policy_status want, const char *value)
{
	struct span action = {NULL, 0};
	size_t used = 0;

	assert_int_equal(policy_parse(span_of(text), &action, &used), want);
	if (want == POLICY_DONE)
		assert_true(span_equal_cstr(action, value));
}

static void
test_replies(void **state)
{
	(void)state;
	parse("action=OK\n\n", POLICY_DONE, "OK");
	parse("action=\n\n", POLICY_DONE, "");
	parse("action=a=b c\n\n", POLICY_DONE, "a=b c");
	parse("x=y\naction=OK\nz=\n\n", POLICY_DONE, "OK");
	parse("action=OK\naction=REJECT\n\n", POLICY_DONE, "OK");
	parse("", POLICY_MORE, NULL);
	parse("action=OK", POLICY_MORE, NULL);
	parse("action=OK\n", POLICY_MORE, NULL);
	parse("action=OK\r\n\r\n", POLICY_MORE, NULL);
	parse("\n", POLICY_NO_ACTION, NULL);
	parse("Action=OK\n\n", POLICY_NO_ACTION, NULL);
	parse(" action=OK\n\n", POLICY_NO_ACTION, NULL);
	parse("actions=OK\n\n", POLICY_NO_ACTION, NULL);
	parse("action\n\n", POLICY_NO_VALUE, NULL);
}

static void
test_reply_is_bounded(void **state)
{
	struct buf b = BUF_INIT;
	struct span action;
	size_t used;

	(void)state;
	while (b.len < POLICY_REPLY_MAX) {
		assert_int_equal(policy_parse(buf_span(&b), &action, &used),
				 POLICY_MORE);
		buf_append_cstr(&b, "name=value of it\n");
	}
	assert_int_equal(policy_parse(buf_span(&b), &action, &used),
			 POLICY_NO_ACTION);
	buf_free(&b);
}

static void
test_rest_is_known(void **state)
{
	struct span action;
	size_t used;

	(void)state;
	assert_int_equal(
	    policy_parse(span_of("action=OK\n\nrest"), &action, &used),
	    POLICY_DONE);
	assert_int_equal(used, 11);
}

static void
test_request_cannot_be_extended(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	policy_put(&b, "sender", span_make("a\nb\0c=d", 7));
	policy_put_num(&b, "size", 12);
	policy_put_end(&b);
	assert_string_equal(b.data, "sender=a?b?c=d\nsize=12\n\n");
	buf_free(&b);
}

static void
test_part(void **state)
{
	(void)state;
	assert_null(policy_part(span_of("")));
	assert_string_equal(policy_part(span_of("acti")), "name");
	assert_string_equal(policy_part(span_of("action=O")), "value");
	assert_string_equal(policy_part(span_of("action=O\n")), "name");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_replies),
	    cmocka_unit_test(test_reply_is_bounded),
	    cmocka_unit_test(test_rest_is_known),
	    cmocka_unit_test(test_request_cannot_be_extended),
	    cmocka_unit_test(test_part),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
