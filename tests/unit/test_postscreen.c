/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtpd/postscreen_line.h"
#include "smtpd/postscreen_sites.h"
#include "smtpd/postscreen_tests.h"

enum { NOW = 1000000 };

static const unsigned all = TESTS_EARLY | TESTS_DEEP;

/* ---- results and the cache ---- */

static void
assert_entry(const struct screen_tests *t, const char *text)
{
	struct buf out = BUF_INIT;

	screen_tests_format(t, &out);
	assert_string_equal(buf_cstr(&out), text);
	buf_free(&out);
}

static void
test_unknown_client(void **state)
{
	struct screen_tests t;

	(void)state;
	assert_true(screen_tests_begin(&t, span_of(""), TESTS_EARLY, NOW));
	assert_false(screen_tests_known(&t));
	assert_int_equal(screen_tests_due(&t, all), TESTS_EARLY);
	assert_true(t.is_new);
	screen_test_pass(&t, TEST_PREGREET, NOW + 10);
	assert_false(screen_tests_complete(&t));
	screen_test_pass(&t, TEST_DNSBL, NOW + 20);
	assert_true(screen_tests_complete(&t));
	assert_true(screen_tests_changed(&t));
	assert_entry(&t, "1000010;1000020;1;1;1");
}

static void
test_known_client(void **state)
{
	struct screen_tests t;

	(void)state;
	assert_true(screen_tests_begin(&t, span_of("1000010;1000020;1;1;1"),
				       TESTS_EARLY, NOW));
	assert_true(screen_tests_known(&t));
	assert_false(t.is_new);
	/* a test that was not enabled when the client came last */
	screen_tests_begin(&t, span_of("1000010;1000020;1;1;1"), all, NOW);
	assert_false(screen_tests_known(&t));
	assert_int_equal(screen_tests_due(&t, all), TESTS_DEEP);
	assert_true(t.is_new);
	/* one that has expired: an old client */
	screen_tests_begin(&t, span_of("1000010;1000000;1;1;1"), TESTS_EARLY,
			   NOW);
	assert_int_equal(screen_tests_due(&t, all), 1 << TEST_DNSBL);
	assert_false(t.is_new);
	screen_test_pass(&t, TEST_DNSBL, NOW + 5);
	assert_true(screen_tests_complete(&t));
	assert_entry(&t, "1000010;1000005;1;1;1");
}

static void
test_failures(void **state)
{
	struct screen_tests t;

	(void)state;
	/* an early fault is not forgiven, not even when it is ignored */
	screen_tests_begin(&t, span_of(""), all, NOW);
	screen_test_fail(&t, TEST_PREGREET, ACTION_IGNORE);
	assert_true(t.failed);
	assert_false(screen_tests_changed(&t));
	/* a deep one that is ignored counts until something else expires */
	screen_tests_begin(&t, span_of("1000100;1000050;1;1;1"), all, NOW);
	screen_test_fail(&t, TEST_BARE_NEWLINE, ACTION_IGNORE);
	screen_test_pass(&t, TEST_PIPELINING, NOW + 70);
	screen_test_pass(&t, TEST_NON_SMTP, NOW + 80);
	assert_true(screen_tests_complete(&t));
	assert_entry(&t, "1000100;1000050;1000070;1000080;1000050");
	/* one that is not ignored */
	screen_test_fail(&t, TEST_PIPELINING, ACTION_ENFORCE);
	assert_false(screen_tests_complete(&t));
	assert_false(screen_tests_changed(&t));
}

static void
test_allowlisted(void **state)
{
	struct screen_tests t;

	(void)state;
	screen_tests_begin(&t, span_of("1;1;9000000;1;1"), TESTS_EARLY, NOW);
	screen_tests_pass_all(&t, NOW + 60);
	assert_true(screen_tests_complete(&t));
	assert_entry(&t, "1000060;1000060;9000000;1000060;1000060");
}

static void
test_bad_entries(void **state)
{
	static const char *const bad[] = {
	    "x", "1;2;3;4;5;6", "1;-5", "1;2x", ";", "99999999999999999999"};
	struct screen_tests t;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(screen_tests_begin(&t, span_of(bad[i]), all, NOW));
		assert_int_equal(t.todo, all);
		assert_int_equal(screen_entry_expires(span_of(bad[i])), 0);
	}
	/* of an old version */
	assert_true(screen_tests_begin(&t, span_of("1000010;1000020"),
				       TESTS_EARLY, NOW));
	assert_true(screen_tests_known(&t));
	assert_int_equal(screen_entry_expires(span_of("5;70;1;1;1")), 70);
}

static void
test_actions(void **state)
{
	enum screen_action a;

	(void)state;
	assert_true(screen_action_parse("drop", &a));
	assert_int_equal(a, ACTION_DROP);
	assert_true(screen_action_parse("Enforce", &a));
	assert_int_equal(a, ACTION_ENFORCE);
	assert_false(screen_action_parse("", &a));
	assert_false(screen_action_parse("block", &a));
}

/* ---- lines ---- */

static void
assert_cut(struct span in, enum screen_line want, const char *text, size_t used,
	   bool bare)
{
	struct span line;
	size_t got_used;
	bool got_bare;

	assert_int_equal(screen_line_cut(in, 10, &line, &got_used, &got_bare),
			 want);
	if (want != SCREEN_LINE_COMPLETE)
		return;
	assert_true(span_equal_cstr(line, text));
	assert_int_equal(got_used, used);
	assert_int_equal(got_bare, bare);
}

static void
test_cut(void **state)
{
	(void)state;
	assert_cut(span_of(""), SCREEN_LINE_MORE, "", 0, false);
	assert_cut(span_of("NOOP"), SCREEN_LINE_MORE, "", 0, false);
	assert_cut(span_of("NOOP\r"), SCREEN_LINE_MORE, "", 0, false);
	assert_cut(span_of("NOOP\r\n"), SCREEN_LINE_COMPLETE, "NOOP", 6, false);
	assert_cut(span_of("NOOP\n"), SCREEN_LINE_COMPLETE, "NOOP", 5, true);
	assert_cut(span_of("\n"), SCREEN_LINE_COMPLETE, "", 1, true);
	assert_cut(span_of("\r\n"), SCREEN_LINE_COMPLETE, "", 2, false);
	assert_cut(span_of("A\r\r\nB"), SCREEN_LINE_COMPLETE, "A\r", 4, false);
	assert_cut(span_make("A\0B\r\nC", 6), SCREEN_LINE_COMPLETE, "A", 5,
		   false);
	assert_cut(span_of("0123456789\r\n"), SCREEN_LINE_COMPLETE,
		   "0123456789", 12, false);
	assert_cut(span_of("01234567890\r\n"), SCREEN_LINE_TOO_LONG, "", 0,
		   false);
	assert_cut(span_of("012345678901"), SCREEN_LINE_TOO_LONG, "", 0, false);
}

static void
test_split(void **state)
{
	struct span verb, arg;

	(void)state;
	screen_line_split(span_of("  HELO \t a b  "), &verb, &arg);
	assert_true(span_equal_cstr(verb, "HELO"));
	assert_true(span_equal_cstr(arg, "a b"));
	screen_line_split(span_of(""), &verb, &arg);
	assert_int_equal(verb.len + arg.len, 0);
	screen_line_split(span_of("QUIT\r"), &verb, &arg);
	assert_true(span_equal_cstr(verb, "QUIT\r"));
}

static void
assert_address(const char *arg, const char *want)
{
	struct buf out = BUF_INIT;
	bool ok = screen_line_address(span_of(arg), "TO", &out);

	assert_int_equal(ok, want != NULL);
	if (want)
		assert_string_equal(buf_cstr(&out), want);
	buf_free(&out);
}

static void
test_addresses(void **state)
{
	(void)state;
	assert_address("TO:<a@b>", "a@b");
	assert_address("to: <a@b> NOTIFY=NEVER", "a@b");
	assert_address("TO:a@b X=y", "a@b");
	assert_address("TO:<\"a b\"@c>", "a b@c");
	assert_address("TO:<\"a>b\"@c>", "a>b@c");
	assert_address("TO:<@r,@s:a@b>", "a@b");
	assert_address("TO:<a@b", "a@b");
	assert_address("TO:<>", "");
	assert_address("TO:", "");
	assert_address("TO", NULL);
	assert_address("TO <a@b>", NULL);
	assert_address("<a@b>", NULL);
	assert_address("", NULL);
}

static void
test_headers(void **state)
{
	(void)state;
	assert_true(screen_line_is_header(span_of("Subject: x")));
	assert_true(screen_line_is_header(span_of("Subject : x")));
	assert_true(screen_line_is_header(span_of(":")));
	assert_false(screen_line_is_header(span_of("MAIL FROM:<a@b>")));
	assert_false(screen_line_is_header(span_of("NOOP")));
	assert_false(screen_line_is_header(span_of("")));
}

/* ---- block lists ---- */

static void
test_sites(void **state)
{
	struct buf error = BUF_INIT;
	struct sites s;

	(void)state;
	assert_true(sites_parse(
	    &s, "a.test, b.test*-3 c.test=127.0.0.[2;4..6]*2,a.test=127.0.0.9",
	    &error));
	assert_int_equal(s.n, 4);
	assert_int_equal(s.n_queries, 3);
	assert_int_equal(s.v[0].weight, 1);
	assert_int_equal(s.v[1].weight, -3);
	assert_int_equal(s.v[2].weight, 2);
	assert_string_equal(s.v[2].domain, "c.test");
	assert_int_equal(s.v[3].query, s.v[0].query);
	assert_true(site_matches(&s.v[0], "1.2.3.4"));
	assert_true(site_matches(&s.v[2], "127.0.0.2"));
	assert_true(site_matches(&s.v[2], "127.0.0.5"));
	assert_false(site_matches(&s.v[2], "127.0.0.3"));
	assert_false(site_matches(&s.v[2], "127.0.1.2"));
	assert_false(site_matches(&s.v[2], "nonsense"));
	sites_free(&s);
	assert_true(sites_parse(&s, "", &error));
	assert_int_equal(s.n, 0);
	sites_free(&s);
	buf_free(&error);
}

static void
test_bad_sites(void **state)
{
	static const char *const bad[] = {
	    "a*x",
	    "a*",
	    "a=127",
	    "a=127.0.0",
	    "a=127.0.0.1.2",
	    "a=127.0.0.256",
	    "a=127.0.0.[]",
	    "a=127.0.0.[1",
	    "a=127.0.0.[5..2]",
	    "a=127.0.0.[1..2.3]",
	    "a=[1]x.0.0.1",
	    "=127.0.0.1",
	    "*2",
	    "a=",
	    "a*99999999999",
	};
	struct buf error = BUF_INIT;
	struct sites s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		buf_reset(&error);
		assert_false(sites_parse(&s, bad[i], &error));
		assert_true(error.len > 0);
	}
	buf_free(&error);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_unknown_client),
	    cmocka_unit_test(test_known_client),
	    cmocka_unit_test(test_failures),
	    cmocka_unit_test(test_allowlisted),
	    cmocka_unit_test(test_bad_entries),
	    cmocka_unit_test(test_actions),
	    cmocka_unit_test(test_cut),
	    cmocka_unit_test(test_split),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_sites),
	    cmocka_unit_test(test_bad_sites),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
