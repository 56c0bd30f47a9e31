/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/smtp/transcript.h"

static void
check(struct transcript *t, const char *want)
{
	struct buf out = BUF_INIT;

	transcript_render(t, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_free(&out);
	transcript_free(t);
}

static void
test_lines(void **state)
{
	struct transcript t = {0};

	(void)state;
	check(&t, "");
	transcript_in(&t, span_of("HELP \t a\x01\xff\xc3\xa9"));
	transcript_in(&t, span_of(""));
	transcript_out(&t, span_of("550 no\r\n550 footer"));
	assert_int_equal(t.lines, 4);
	check(&t, " In:  HELP ? a??\xc3\xa9\n In:\n Out: 550 no\n"
		  " Out: 550 footer\n");
}

/* " In:  FOO xxx yy": where Debian's Postfix folds it. */
static void
test_folding(void **state)
{
	char x[80], line[120], want[160];

	(void)state;
	memset(x, 'x', sizeof(x));
	for (int n = 60; n < 74; n++) {
		struct transcript t = {0};

		snprintf(line, sizeof(line), "FOO %.*s yy", n, x);
		if (n <= 66)
			snprintf(want, sizeof(want), " In:  FOO %.*s yy\n", n,
				 x);
		else if (n <= 69)
			snprintf(want, sizeof(want),
				 " In:  FOO %.*s\n     yy\n", n, x);
		else if (n <= 71)
			snprintf(want, sizeof(want),
				 " In:  FOO\n     %.*s yy\n", n, x);
		else
			snprintf(want, sizeof(want),
				 " In:  FOO\n     %.*s\n     yy\n", n, x);
		transcript_in(&t, span_of(line));
		check(&t, want);
	}
}

static void
test_long_word(void **state)
{
	struct transcript t = {0};
	char word[301], want[400];

	(void)state;
	memset(word, 'w', sizeof(word) - 1);
	word[300] = '\0';
	snprintf(want, sizeof(want), " In:\n     %s\n Out: 500 x\n", word);
	transcript_in(&t, span_of(word));
	transcript_out(&t, span_of("500 x"));
	check(&t, want);
}

static void
test_limit(void **state)
{
	struct transcript t = {0};
	struct buf out = BUF_INIT;
	char line[2049];

	(void)state;
	memset(line, 'a', sizeof(line) - 1);
	line[2048] = '\0';
	for (int i = 0; i < 1000; i++)
		transcript_in(&t, span_of(line));
	assert_in_range(t.text.len, TRANSCRIPT_MAX - 4096, TRANSCRIPT_MAX);
	assert_int_equal(t.lines, 1000);
	transcript_render(&t, &out);
	assert_non_null(strstr(buf_cstr(&out), "\n ... and 969 more lines\n"));
	buf_free(&out);
	transcript_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lines),
	    cmocka_unit_test(test_folding),
	    cmocka_unit_test(test_long_word),
	    cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
