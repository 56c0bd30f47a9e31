/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/addr/alias.h"
#include "lib/base/buf.h"

/* The destinations of text, each followed by '|' ... as "[a][b]". */
static void
check(const char *text, const char *want)
{
	struct strvec v = STRVEC_INIT;
	struct buf got = BUF_INIT;

	assert_true(alias_parse(span_of(text), &v));
	for (size_t i = 0; i < v.n; i++)
		buf_printf(&got, "[%s]", v.v[i]);
	assert_string_equal(buf_cstr(&got), want);
	strvec_free(&v);
	buf_free(&got);
}

/* What Postfix 3.7.11 made of the same right-hand sides. */
static void
test_parse(void **state)
{
	(void)state;
	check("u1, u3", "[u1][u3]");
	check("a b c", "[a][b][c]");
	check(",,u1", "[u1]");
	check("|\"echo x y\"", "[|echo x y]");
	check("\"|echo \\\"a b\\\"\"", "[|echo \"a b\"]");
	check("|echo\\ a", "[|echo a]");
	check("|'a b'", "[|'a][b']");
	check("| true", "[|true]");
	check("\"| true\"", "[| true]");
	check("|true|cat", "[|true|cat]");
	check("|\"true\" \"a b\"", "[|true][a b]");
	check("|echo,foo", "[|echo][foo]");
	check("x1(comment)x2", "[x1][x2]");
	check("\"x1\"", "[x1]");
	check("\":include:/etc/x\"", "[:include:/etc/x]");
	check(":include:\"/etc/x\"", "[:include:/etc/x]");
	check(":include:/a, :include:/b", "[:include:/a][:include:/b]");
	check("\\u1", "[u1]");
	check("grp: x1, x2;", "[x1][x2]");
	check("Foo Bar <x1>", "[x1]");
	check("a <b> c <d>", "[b][d]");
	check("\"/a b\", /c/", "[/a b][/c/]");
	check("x1@example.com (c) x2", "[x1@example.com][x2]");
	check("\"a b\"@example.com", "[a b@example.com]");
	check("<>", "");
	check("(x1)", "");
	check("\"\"", "[]");
	check("", "");
}

/* No text may leave a quote open for what comes behind it. */
static void
test_unclosed(void **state)
{
	(void)state;
	check("|\"foo", "[|foo]");
	check("\"|foo", "[|foo]");
	check(":include:", "[:include:]");
	check("|", "[|]");
	check("|\\", "[|]");
}

static void
test_classify(void **state)
{
	const char *arg;

	(void)state;
	assert_int_equal(alias_classify("|cat x", &arg), ALIAS_COMMAND);
	assert_string_equal(arg, "cat x");
	assert_int_equal(alias_classify("/x/", &arg), ALIAS_FILE);
	assert_string_equal(arg, "/x/");
	assert_int_equal(alias_classify("~/x", &arg), ALIAS_HOME);
	assert_int_equal(alias_classify(":InClude:/x", &arg), ALIAS_INCLUDE);
	assert_string_equal(arg, "/x");
	assert_int_equal(alias_classify("u@x", &arg), ALIAS_ADDRESS);
	assert_string_equal(arg, "u@x");
	assert_int_equal(alias_classify("", &arg), ALIAS_ADDRESS);
}

static void
test_lines(void **state)
{
	struct span rest = span_of("# c\n\n  \nu1\n u2, u3\nlonger line"), line;

	(void)state;
	assert_true(alias_next_line(&rest, 100, &line));
	assert_true(span_equal_cstr(line, "u1"));
	assert_true(alias_next_line(&rest, 100, &line));
	assert_true(span_equal_cstr(line, " u2, u3"));
	assert_true(alias_next_line(&rest, 6, &line));
	assert_true(span_equal_cstr(line, "longer"));
	assert_true(alias_next_line(&rest, 6, &line));
	assert_true(span_equal_cstr(line, " line"));
	assert_false(alias_next_line(&rest, 6, &line));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse),
	    cmocka_unit_test(test_unclosed),
	    cmocka_unit_test(test_classify),
	    cmocka_unit_test(test_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
