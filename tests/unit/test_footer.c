/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/smtp/footer.h"

static void
check(const char *reply, const char *footer, const char *want)
{
	struct buf line = BUF_INIT, text = BUF_INIT;

	buf_set_cstr(&line, reply);
	buf_set_cstr(&text, footer);
	footer_add(&line, &text);
	assert_string_equal(buf_cstr(&line), want);
	buf_free(&line);
	buf_free(&text);
}

static void
test_footer(void **state)
{
	(void)state;
	check("550 5.1.1 No", "see x", "550-5.1.1 No\r\n550 5.1.1 see x");
	check("550 No", "a\\nb", "550-No\r\n550-a\r\n550 b");
	check("450 4.7.1 Later", "\\c. Sorry\\nb",
	      "450-4.7.1 Later. Sorry\r\n450 4.7.1 b");
	check("450 4.7.1 Later", "\\c!", "450 4.7.1 Later!");
	check("550 5.1.1", "a", "550-5.1.1\r\n550 a");
	check("550 No", "", "550-No\r\n550 ");
	check("550 No", "a\r\n250 b", "550-No\r\n550 a  250 b");
	check("550", "a", "550");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_footer)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
