/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those */
#include <cmocka.h>

#include "lib/service/agent.h"

static const char *
delay(int64_t usec, int digits)
{
	static struct buf out;

	buf_reset(&out);
	agent_format_delay(usec, digits, &out);
	return buf_cstr(&out);
}

/* Values of the mail log of Postfix. */
static void
test_delay(void **state)
{
	(void)state;
	assert_string_equal(delay(0, 2), "0");
	assert_string_equal(delay(-5, 2), "0");
	assert_string_equal(delay(4900, 2), "0");
	assert_string_equal(delay(5100, 2), "0.01");
	assert_string_equal(delay(50000, 2), "0.05");
	assert_string_equal(delay(100000, 2), "0.1");
	assert_string_equal(delay(174000, 2), "0.17");
	assert_string_equal(delay(996000, 2), "1");
	assert_string_equal(delay(1040000, 2), "1");
	assert_string_equal(delay(1060000, 2), "1.1");
	assert_string_equal(delay(3000400, 2), "3");
	assert_string_equal(delay(9960000, 2), "10");
	assert_string_equal(delay(10400000, 2), "10");
	assert_string_equal(delay(10600000, 2), "11");
	assert_string_equal(delay(99600000, 2), "100");
	assert_string_equal(delay(100700000, 2), "101");
	assert_string_equal(delay(INT64_C(86400) * 1000000, 2), "86400");
}

/* delay_logging_resolution_limit */
static void
test_resolution(void **state)
{
	(void)state;
	assert_string_equal(delay(1234567, 0), "1");
	assert_string_equal(delay(123456, 0), "0");
	assert_string_equal(delay(123456, 1), "0.1");
	assert_string_equal(delay(123456, 6), "0.12");
	assert_string_equal(delay(12345, 6), "0.012");
	assert_string_equal(delay(1234, 6), "0.0012");
	assert_string_equal(delay(12, 6), "0.000012");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_delay),
	    cmocka_unit_test(test_resolution),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
