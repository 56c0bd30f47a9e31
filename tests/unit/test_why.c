/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/dsn/why.h"

static void
test_code(void **state)
{
	(void)state;
	assert_int_equal(dsn_code_length(span_of("5.1.1")), 5);
	assert_int_equal(dsn_code_length(span_of("5.1.1 text")), 5);
	assert_int_equal(dsn_code_length(span_of("4.999.123\ttext")), 9);
	assert_int_equal(dsn_code_length(span_of("5.1.1text")), 0);
	assert_int_equal(dsn_code_length(span_of("3.1.1")), 0);
	assert_int_equal(dsn_code_length(span_of("5.1")), 0);
	assert_int_equal(dsn_code_length(span_of("5..1")), 0);
	assert_int_equal(dsn_code_length(span_of("5.1.")), 0);
	assert_int_equal(dsn_code_length(span_of("5.1.1000")), 0);
}

static void
test_split(void **state)
{
	char dsn[DSN_CODE_MAX];

	(void)state;
	assert_true(span_equal_cstr(
	    dsn_split(span_of("4.2.2  mailbox full"), "5.0.0", dsn),
	    "mailbox full"));
	assert_string_equal(dsn, "4.2.2");
	assert_true(span_equal_cstr(
	    dsn_split(span_of("no code here"), "5.0.0", dsn), "no code here"));
	assert_string_equal(dsn, "5.0.0");
}

static void
test_why(void **state)
{
	struct why w = WHY_INIT, copy = WHY_INIT;
	struct buf out = BUF_INIT;

	(void)state;
	assert_false(why_is_set(&w));
	why_set(&w, "5.1.1", "<%s>: %s", "x", "unknown");
	assert_int_equal(why_class(&w), WHY_BOUNCE);
	why_render_smtp(&w, &out);
	assert_string_equal(buf_cstr(&out), "550 5.1.1 <x>: unknown");
	/* An argument that is the text itself. */
	why_set(&w, "4.3.0", "again: %s", buf_cstr(&w.text));
	assert_string_equal(buf_cstr(&w.text), "again: <x>: unknown");
	why_prepend(&w, "(%d) ", 1);
	why_copy(&copy, &w);
	assert_string_equal(buf_cstr(&copy.text), "(1) again: <x>: unknown");
	why_set_class(&copy, WHY_BOUNCE);
	assert_string_equal(copy.dsn, "5.3.0");
	assert_string_equal(why_status_word(&copy), "bounced");
	why_set_code(&w, 421, "4.3.2", "busy");
	buf_reset(&out);
	why_render_smtp(&w, &out);
	assert_string_equal(buf_cstr(&out), "421 4.3.2 busy");
	why_free(&w);
	why_free(&copy);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_code),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_why),
	};

	return cmocka_run_group_tests_name("why", tests, NULL, NULL);
}
