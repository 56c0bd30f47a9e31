/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those */
#include <cmocka.h>

#include "lib/dns/dnsxl.h"

static bool
matches(const char *filter, const char *addr)
{
	struct dnsxl_filter f;
	struct buf error = BUF_INIT;

	if (!dnsxl_filter_parse(span_of(filter), &f, &error))
		fail_msg("%s: %s", filter, buf_cstr(&error));
	assert_int_equal(error.len, 0);
	return dnsxl_filter_match(&f, addr);
}

static void
test_match(void **state)
{
	(void)state;
	assert_true(matches("127.0.0.2", "127.0.0.2"));
	assert_false(matches("127.0.0.2", "127.0.0.3"));
	assert_true(matches("127.0.0.002", "127.0.0.2"));
	assert_true(matches("127.0.0.[2..4]", "127.0.0.2"));
	assert_true(matches("127.0.0.[2..4]", "127.0.0.4"));
	assert_false(matches("127.0.0.[2..4]", "127.0.0.5"));
	assert_false(matches("127.0.0.[2..4]", "127.0.0.1"));
	assert_true(matches("127.[0;3].[1..2;7..9].5", "127.3.8.5"));
	assert_false(matches("127.[0;3].[1..2;7..9].5", "127.3.3.5"));
	assert_false(matches("127.[0;3].[1..2;7..9].5", "127.1.8.5"));
	assert_true(
	    matches("[0..255].[0..255].[0..255].[0..255]", "255.0.128.1"));
	assert_true(matches("127.0.0.[2;2;1..3]", "127.0.0.3"));
	assert_false(matches("127.0.0.2", "::1"));
	assert_false(matches("127.0.0.2", "127.0.0"));
	assert_false(matches("127.0.0.2", ""));
}

/* The words of Postfix 3.7. */
static void
test_errors(void **state)
{
	static const struct {
		const char *filter, *error;
	} bad[] = {
	    {"", "empty address pattern"},
	    {"127.0.0", "need \".\" at \"127.0.0><\""},
	    {"127.0.0.", "need decimal number 0..255 or \"[\" at "
			 "\"127.0.0.><\""},
	    {"127.0.0.300", "need decimal number 0..255 or \"[\" at "
			    "\"127.0.0.>300<\""},
	    {"127..0.1", "need decimal number 0..255 or \"[\" at "
			 "\"127.>.<0.1\""},
	    {"127.0.0.[5..3]", "numeric range error at "
			       "\"127.0.0.[5..>3<]\""},
	    {"127.0.0.[1..", "numeric range error at \"127.0.0.[1..><\""},
	    {"127.0.0.[1..300]", "numeric range error at "
				 "\"127.0.0.[1..>300<]\""},
	    {"127.0.0.[2.3]", "numeric range error at \"127.0.0.[2.>3<]\""},
	    {"127.0.0.[1;]", "need decimal number 0..255 at "
			     "\"127.0.0.[1;>]<\""},
	    {"127.0.0.[]", "need decimal number 0..255 at "
			   "\"127.0.0.[>]<\""},
	    {"127.0.0.[1..2..3]", "need \";\" or \"]\" at "
				  "\"127.0.0.[1..2>.<.3]\""},
	    {"127.0.0.[1", "need \";\" or \"]\" at \"127.0.0.[1><\""},
	    {"127.0.0.1.2", "garbage after pattern at \"127.0.0.1>.<2\""},
	    {"127.0.0.2]", "garbage after pattern at \"127.0.0.2>]<\""},
	    {"a.b.c.d", "need decimal number 0..255 or \"[\" at "
			"\">a<.b.c.d\""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct dnsxl_filter f;
		struct buf error = BUF_INIT;

		assert_false(
		    dnsxl_filter_parse(span_of(bad[i].filter), &f, &error));
		assert_string_equal(buf_cstr(&error), bad[i].error);
		buf_free(&error);
	}
}

static const char *
name_of(const char *addr)
{
	static struct buf name;

	buf_reset(&name);
	return dnsxl_address_name(addr, span_of("bl.test"), &name)
		   ? buf_cstr(&name)
		   : NULL;
}

static void
test_names(void **state)
{
	(void)state;
	assert_string_equal(name_of("192.0.2.25"), "25.2.0.192.bl.test");
	assert_string_equal(name_of("2001:db8::1f"),
			    "f.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
			    "0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.test");
	assert_null(name_of("unknown"));
	assert_null(name_of(""));
	assert_null(name_of("192.0.2"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_match),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
