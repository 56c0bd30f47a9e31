/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/match_list.h"

static struct buf logged;

static void
remember(enum log_level level, const char *process, const char *line)
{
	(void)level;
	(void)process;
	buf_printf(&logged, "%s\n", line);
}

static char
answer(enum table_status s)
{
	return s == TABLE_FOUND ? 'y' : s == TABLE_ABSENT ? 'n' : '?';
}

/* One character for each of the space-separated keys: y, n or ?. */
static void
check(const char *list, enum match_kind kind, unsigned flags, const char *keys,
      const char *want)
{
	struct match_list *m = match_list_open("test_list", list, kind, flags);
	struct span rest = span_of(keys), key;
	struct why why = WHY_INIT;
	struct buf got = BUF_INIT;

	while (span_next_token(&rest, " ", &key)) {
		why_reset(&why);
		buf_append_byte(&got, answer(match_list_has(m, key, &why)));
		assert_int_equal(buf_cstr(&got)[got.len - 1] == '?',
				 why_is_set(&why));
	}
	assert_string_equal(buf_cstr(&got), want);
	match_list_free(m);
	buf_free(&got);
	why_free(&why);
}

static void
test_string(void **state)
{
	(void)state;
	check("a, B c", MATCH_STRING, 0, "a b C d", "yyyn");
	check("!a, b !b c", MATCH_STRING, 0, "a b c", "nyy");
	check("", MATCH_STRING, 0, "a", "n");
	check("inline:{x=1} y", MATCH_STRING, 0, "X y z", "yyn");
	check("a fail:x b", MATCH_STRING, 0, "a b", "y?");
	check("a !", MATCH_STRING, 0, "a b", "y?");
}

static void
test_domain(void **state)
{
	(void)state;
	check("example.com", MATCH_DOMAIN, 0,
	      "example.com Example.COM a.example.com xexample.com", "yynn");
	check("example.com", MATCH_DOMAIN, MATCH_PARENT,
	      "example.com a.b.Example.com xexample.com com", "yynn");
	check(".example.com", MATCH_DOMAIN, 0,
	      "example.com a.example.com a.b.example.com xexample.com", "nyyn");
	check("!no.example.com example.com", MATCH_DOMAIN, MATCH_PARENT,
	      "no.example.com a.no.example.com yes.example.com", "nny");
	check("inline:{example.com=1}", MATCH_DOMAIN, MATCH_PARENT,
	      "example.com a.b.example.com com", "yyn");
	check("inline:{.example.com=1}", MATCH_DOMAIN, 0,
	      "example.com a.b.example.com", "ny");
	check("regexp:{{/^example/ x}}", MATCH_DOMAIN, MATCH_PARENT,
	      "example.com a.example.com", "yn");
}

static void
test_address(void **state)
{
	(void)state;
	check("127.0.0.0/8 [::1]/128 [2001:db8::]/32 1.2.3.4", MATCH_ADDRESS, 0,
	      "127.1.2.3 128.0.0.1 ::1 ::2 2001:db8:1::1 1.2.3.4 1.2.3.5",
	      "ynynyyn");
	check("!10.0.0.1 10.0.0.0/8", MATCH_ADDRESS, 0, "10.0.0.1 10.0.0.2",
	      "ny");
	check("cidr:{{10.0.0.0/8 x}}", MATCH_ADDRESS, 0, "10.0.0.1 11.0.0.1",
	      "yn");
	buf_reset(&logged);
	check("1.1.1.1 10.0.0.1/8 2.2.2.2", MATCH_ADDRESS, 0, "1.1.1.1 2.2.2.2",
	      "y?");
	assert_non_null(strstr(buf_cstr(&logged),
			       "test_list: non-null host address bits in "
			       "\"10.0.0.1/8\", perhaps you should use "
			       "\"10.0.0.0/8\" instead"));
}

static void
test_host(void **state)
{
	struct match_list *m =
	    match_list_open("test_list", "example.com, !10.1.1.1 10.0.0.0/8",
			    MATCH_HOST, MATCH_PARENT);
	struct why why = WHY_INIT;

	(void)state;
	assert_int_equal(
	    match_list_has_host(m, "a.example.com", "9.9.9.9", &why),
	    TABLE_FOUND);
	assert_int_equal(match_list_has_host(m, "x", "10.1.1.1", &why),
			 TABLE_ABSENT);
	assert_int_equal(match_list_has_host(m, "unknown", "10.2.1.1", &why),
			 TABLE_FOUND);
	assert_int_equal(match_list_has_host(m, "unknown", "9.9.9.9", &why),
			 TABLE_ABSENT);
	match_list_free(m);
}

static void
test_file(void **state)
{
	char path[] = "/tmp/test-match-list-XXXXXX";
	int fd = mkstemp(path);
	static const char text[] = "# comment\na, b\n  c\n!d e\n";
	char *list = mem_sprintf("x %s !f", path);
	char *negated = mem_sprintf("!%s a d", path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	check(list, MATCH_STRING, 0, "x a b c d e f g", "yyyynynn");
	check(negated, MATCH_STRING, 0, "a d", "ny");
	unlink(path);
	buf_reset(&logged);
	check(list, MATCH_STRING, 0, "x a", "y?");
	assert_non_null(strstr(buf_cstr(&logged), "No such file"));
	free(list);
	free(negated);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_string),  cmocka_unit_test(test_domain),
	    cmocka_unit_test(test_address), cmocka_unit_test(test_host),
	    cmocka_unit_test(test_file),
	};

	log_set_sink(remember);
	return cmocka_run_group_tests_name("match_list", tests, NULL, NULL);
}
