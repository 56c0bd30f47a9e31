/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/dict.h"
#include "lib/conf/expand.h"
#include "lib/conf/host.h"
#include "lib/conf/mastercf.h"
#include "lib/conf/value.h"

/* ---- expansion ---- */

static const char *
names(void *arg, struct span name)
{
	(void)arg;
	if (span_equal_cstr(name, "A"))
		return "a";
	if (span_equal_cstr(name, "E"))
		return "";
	if (span_equal_cstr(name, "N"))
		return "5";
	if (span_equal_cstr(name, "level"))
		return "3.6";
	if (span_equal_cstr(name, "nested"))
		return "<$A>";
	if (span_equal_cstr(name, "loop"))
		return "x$loop";
	if (span_equal_cstr(name, "bomb"))
		return "$bomb$bomb";
	return NULL;
}

static void
test_expand(void **state)
{
	static const struct {
		const char *text;
		const char *want; /* NULL: an error */
	} cases[] = {
	    {"plain", "plain"},
	    {"$A ${A} $(A)", "a a a"},
	    {"$$A $$", "$A $"},
	    {"$A.b", "a.b"},
	    {"${ A }", "a"},
	    {"$nested", "<a>"},
	    {"$unknown.", "."},
	    {"${A?yes}", "yes"},
	    {"${A:no}", ""},
	    {"${E?yes}", ""},
	    {"${E:no}", "no"},
	    {"${A?y:n}", "y:n"},
	    {"${A?{y $A}:{n}}", "y a"},
	    {"${E ? {y} : {n}}", "n"},
	    {"${E?{y}:n m}", "n m"},
	    {"${A?a{b}c}", "a{b}c"},
	    {"${A?a}b}", "ab}"},
	    {"${A?${N?{n}}}", "n"},
	    {"$(A?{(y)})", "(y)"},
	    {"${{a} == {a}}", "true"},
	    {"${{a} == {b}}", ""},
	    {"${{a} != {b}?{1}}", "1"},
	    {"${{10} < {9} ? {1} : {2}}", "2"},
	    {"${{10} < {9a} ? {1} : {2}}", "1"},
	    {"${{$N} >= {5} ? {1} : {2}}", "1"},
	    {"${{007}=={7}?{1}:{2}}", "1"},
	    {"${{ a } == {a} ? {1} : {2}}", "2"},
	    {"${{$level} <level {3.10} ? {1} : {2}}", "1"},
	    {"${{3.6} ==level {3.6.0} ? {1} : {2}}", "1"},
	    {"${{3} >level {2.9} ? {1} : {2}}", "1"},
	    {"$", NULL},
	    {"a $ b", NULL},
	    {"${}", NULL},
	    {"${A", NULL},
	    {"${A)", NULL},
	    {"${A-b}", NULL},
	    {"${A?{y}x}", NULL},
	    {"${A?{y}:{n}:{z}}", NULL},
	    {"${E:{n}x}", NULL},
	    {"${{a}=b?{1}}", NULL},
	    {"${{a}==a?{1}}", NULL},
	    {"${{x} >=level {3} ? {1} : {2}}", NULL},
	    {"${{3.6.1.2} <=level {3} ? {1} : {2}}", NULL},
	    {"${{99999999999999999999}<{1}?{1}:{2}}", NULL},
	    {"$loop", NULL},
	    {"$bomb", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT;
		struct buf error = BUF_INIT;
		bool ok = expand_text(span_of(cases[i].text), names, NULL, &out,
				      &error);

		if (ok != (cases[i].want != NULL))
			fail_msg("%s: ok is %d, \"%s\"", cases[i].text, ok,
				 buf_cstr(&error));
		if (ok)
			assert_string_equal(buf_cstr(&out), cases[i].want);
		else
			assert_true(error.len > 0);
		buf_free(&out);
		buf_free(&error);
	}
}

/* What a name stands for is not looked at. */
static void
test_expand_once(void **state)
{
	struct buf out = BUF_INIT, error = BUF_INIT;

	(void)state;
	assert_true(expand_once(span_of("$nested ${loop?yes} ${bomb} $$ $none"),
				names, NULL, &out, &error));
	assert_string_equal(buf_cstr(&out), "<$A> yes $bomb$bomb $ ");
	buf_reset(&out);
	assert_false(
	    expand_once(span_of("${nested"), names, NULL, &out, &error));
	assert_string_equal(buf_cstr(&error),
			    "truncated macro reference: \"${nested\"");
	buf_free(&out);
	buf_free(&error);
}

static const char *
count_name(void *arg, struct span name)
{
	buf_append_span(arg, name);
	buf_append_byte(arg, ' ');
	return NULL;
}

static void
test_scan_sees_both_branches(void **state)
{
	struct buf seen = BUF_INIT;
	struct buf error = BUF_INIT;

	(void)state;
	assert_true(expand_scan(span_of("${A?{$x}:{$y}} ${{$p}=={$q}?{$r}}"),
				count_name, &seen, &error));
	assert_string_equal(buf_cstr(&seen), "A x y p q r ");
	buf_free(&seen);
	buf_free(&error);
}

/* ---- values ---- */

static void
test_time_and_bool(void **state)
{
	int64_t t = -1;
	bool b;

	(void)state;
	assert_true(conf_parse_time("5", 'm', &t));
	assert_int_equal(t, 300000000LL);
	assert_true(conf_parse_time("2h", 's', &t));
	assert_int_equal(t, 7200000000LL);
	assert_true(conf_parse_time("1w", 's', &t));
	assert_true(conf_parse_time("0", 's', &t));
	assert_int_equal(t, 0);
	assert_false(conf_parse_time("", 's', &t));
	assert_false(conf_parse_time("s", 's', &t));
	assert_false(conf_parse_time("5x", 's', &t));
	assert_false(conf_parse_time("-5s", 's', &t));
	assert_false(conf_parse_time("5 s", 's', &t));
	assert_false(conf_parse_time("99999999999w", 's', &t));
	assert_true(conf_parse_bool("YES", &b) && b);
	assert_true(conf_parse_bool("no", &b) && !b);
	assert_false(conf_parse_bool("true", &b));
	assert_true(conf_list_has("a, B c", "b"));
	assert_false(conf_list_has("a, bc", "b"));
}

static void
test_bounds(void **state)
{
	struct conf_param p = {
	    .name = "x", .type = CONF_INT, .min = 1, .max = 9, .unit = ' '};
	struct buf expected = BUF_INIT;
	union conf_value v;

	(void)state;
	assert_true(conf_value_parse(&p, "9", &v, &expected));
	assert_int_equal(v.n, 9);
	assert_false(conf_value_parse(&p, "0", &v, &expected));
	assert_string_equal(buf_cstr(&expected), "at least 1");
	buf_reset(&expected);
	assert_false(conf_value_parse(&p, "10", &v, &expected));
	assert_string_equal(buf_cstr(&expected), "at most 9");
	buf_reset(&expected);
	p.type = CONF_TIME;
	p.unit = 's';
	assert_false(conf_value_parse(&p, "1m", &v, &expected));
	assert_string_equal(buf_cstr(&expected), "at most 9s");
	buf_free(&expected);
}

/* ---- the table ---- */

static void
test_table(void **state)
{
	(void)state;
	for (int i = 0; i < CONF_PARAM_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];

		assert_int_equal(conf_param_find(span_of(p->name)), i);
		if (i)
			assert_true(strcmp(p[-1].name, p->name) < 0);
		if (p->mirror >= 0 && conf_params[p->mirror].type != p->type)
			fail_msg("%s has another type than %s", p->name,
				 conf_params[p->mirror].name);
	}
	assert_int_equal(conf_param_find(span_of("no_such_name")), -1);
	assert_int_equal(conf_param_find(span_of("")), -1);
}

static void
test_defaults_have_values(void **state)
{
	struct dict d = {.config_dir = "/nonexistent", .program = "test"};

	(void)state;
	for (int i = 0; i < CONF_PARAM_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		struct buf out = BUF_INIT;
		struct buf error = BUF_INIT;
		union conf_value v;

		if (!dict_expand(&d, dict_default(&d, i), &out, &error) &&
		    p->type != CONF_RAW)
			fail_msg("%s: %s", p->name, buf_cstr(&error));
		if (p->type < CONF_STR &&
		    !conf_value_parse(p, buf_cstr(&out), &v, &error))
			fail_msg("%s = %s: %s", p->name, buf_cstr(&out),
				 buf_cstr(&error));
		buf_free(&out);
		buf_free(&error);
	}
	dict_free(&d);
}

/* ---- main.cf ---- */

static void
test_maincf(void **state)
{
	static const char text[] = "# comment\n"
				   "a = 1\n"
				   "\n"
				   "# inside\n"
				   "   2\n"
				   "b=x\r\n"
				   "a = 3\n"
				   "nothing\n"
				   "= value\n"
				   "c =\n"
				   "myorigin = $a";
	struct strvec errors = STRVEC_INIT;
	struct strvec warnings = STRVEC_INIT;
	struct maincf m;
	const char *what;

	(void)state;
	maincf_parse(&m, "main.cf", span_of(text), &errors, &warnings);
	assert_int_equal(m.n, 4);
	assert_string_equal(maincf_find(&m, span_of("a"))->value, "3");
	assert_int_equal(maincf_find(&m, span_of("a"))->line, 7);
	assert_string_equal(maincf_find(&m, span_of("b"))->value, "x");
	assert_string_equal(maincf_find(&m, span_of("c"))->value, "");
	assert_string_equal(maincf_find(&m, span_of("myorigin"))->value, "$a");
	assert_null(maincf_find(&m, span_of("d")));
	assert_int_equal(errors.n, 2);
	assert_string_equal(errors.v[0],
			    "main.cf, line 8: missing '=' after attribute "
			    "name: \"nothing\"");
	assert_string_equal(
	    errors.v[1],
	    "main.cf, line 9: missing attribute name: \"= value\"");
	assert_int_equal(warnings.n, 1);
	assert_string_equal(
	    warnings.v[0],
	    "main.cf, line 7: overriding earlier entry: a=1   2");
	assert_true(maincf_override(&m, span_of("b = { y }"), &what));
	assert_string_equal(maincf_find(&m, span_of("b"))->value, "{ y }");
	assert_false(maincf_override(&m, span_of("b"), &what));
	maincf_free(&m);
	strvec_free(&errors);
	strvec_free(&warnings);
}

static void
test_host(void **state)
{
	struct buf error = BUF_INIT;
	struct buf out = BUF_INIT;

	(void)state;
	assert_string_equal(host_domain("a.b.c"), "b.c");
	assert_string_equal(host_domain("a"), "localdomain");
	assert_true(host_check_protocols("ipv4, ipv6", &error));
	assert_false(host_check_protocols("ipx", &error));
	buf_reset(&error);
	assert_false(host_networks("all", "all", "all", &out, &error));
	buf_reset(&error);
	assert_true(
	    host_networks("subnet", "loopback-only", "ipv4", &out, &error));
	assert_string_equal(buf_cstr(&out), "127.0.0.0/8");
	buf_free(&error);
	buf_free(&out);
}

/* ---- conf_load(), in a child: it keeps its state for good ---- */

static char dir[] = "/tmp/test_conf.XXXXXX";

static void
write_main(const char *text)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/main.cf", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Of the sanitizer, in a build with one. */
int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

enum { EXIT_LEAK = 98 };

/* Run check in a child; returns its exit status. */
static int
in_child(const char *program, bool daemon, const char *over, int (*check)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0) {
		struct strvec sv = STRVEC_INIT;
		struct conf_args args = {.program = program,
					 .config_dir = dir,
					 .over = &sv,
					 .service_name = "svc",
					 .daemon = daemon};

		if (over)
			strvec_add(&sv, over);
		/* What goes wrong is told on standard error: not here. */
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		conf_load(&args);
		status = check();
		/* What the first one left must be gone after the second. */
		args.config_dir = conf_directory();
		conf_load(&args);
		if (status == 0)
			status = check();
		strvec_free(&sv);
		if (__lsan_do_recoverable_leak_check &&
		    __lsan_do_recoverable_leak_check())
			status = EXIT_LEAK;
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int
check_values(void)
{
	if (strcmp(conf->myhostname, "mail.example.org") ||
	    strcmp(conf->mydomain, "example.org") ||
	    strcmp(conf->myorigin, "mail.example.org"))
		return 10;
	if (conf->smtpd_timeout != 120000000LL ||
	    conf->smtpd_hard_error_limit != 20 || conf->biff ||
	    conf->message_size_limit != 5000000000LL)
		return 11;
	if (strcmp(conf->forward_path,
		   "$home/.forward${recipient_delimiter}${extension}, "
		   "$home/.forward"))
		return 12;
	if (!conf_get("mine") || strcmp(conf_get("mine"), "<example.org>") ||
	    conf_get("theirs"))
		return 13;
	if (conf_transport_int("slow", "_destination_concurrency_limit", 9) !=
		1 ||
	    conf_transport_int("fast", "_destination_concurrency_limit", 9) !=
		9 ||
	    conf_transport_int("local", "_destination_concurrency_limit", 9) !=
		2)
		return 14;
	if (conf_transport_time("slow", "_destination_rate_delay", 7) !=
		2000000 ||
	    conf_transport_time("bad", "_time_limit", 7) != 7)
		return 15;
	if (strcmp(conf->smtp_helo_name, "svc.example.org"))
		return 16;
	if (strcmp(conf_directory(), dir))
		return 17;
	return 0;
}

static void
test_load(void **state)
{
	(void)state;
	write_main("myhostname = mail.example.org\n"
		   "compatibility_level = 3.6\n"
		   "smtpd_timeout = 2m\nbiff = no\n"
		   "message_size_limit = 5000000000\n"
		   "mine = <$mydomain>\n"
		   "slow_destination_concurrency_limit = 1\n"
		   "slow_destination_rate_delay = 2\n"
		   "bad_time_limit = x\n");
	assert_int_equal(in_child("smtp", true,
				  "smtp_helo_name=$service_name.$mydomain",
				  check_values),
			 0);
}

static int
check_lmtp(void)
{
	return strcmp(conf->smtp_tcp_port, "24") ||
		       strcmp(conf->smtp_helo_name, "lhlo.example.org") ||
		       conf->smtp_connect_timeout != 3000000
		   ? 20
		   : 0;
}

static void
test_lmtp_mirror(void **state)
{
	(void)state;
	write_main("lmtp_lhlo_name = lhlo.example.org\n"
		   "smtp_helo_name = helo.example.org\n"
		   "lmtp_connect_timeout = 3\n");
	assert_int_equal(in_child("lmtp", true, NULL, check_lmtp), 0);
	assert_int_equal(in_child("smtp", true, NULL, check_lmtp), 20);
}

static int
check_nothing(void)
{
	return 0;
}

static void
test_errors_are_fatal(void **state)
{
	static const char *const bad[] = {
	    "smtpd_timeout = 3x\n",     "biff = perhaps\n",
	    "header_size_limit = 1k\n", "myorigin = ${x\n",
	    "myorigin = $myorigin\n",   "no equal sign\n",
	    "inet_protocols = ipx\n",   "myorigin = /nonexistent/file\n",
	    "max_use = -1\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		write_main(bad[i]);
		if (in_child("smtpd", true, NULL, check_nothing) != 1)
			fail_msg("accepted: %s", bad[i]);
	}
	write_main("");
	assert_int_equal(in_child("smtpd", true, NULL, check_nothing), 0);
	assert_int_equal(in_child("smtpd", true, "bad", check_nothing), 1);
}

static int
check_mailname(void)
{
	return strcmp(conf->myorigin, "name.example.net") ? 30 : 0;
}

static void
test_mailname(void **state)
{
	char text[200];
	char path[100];
	FILE *f;

	(void)state;
	snprintf(path, sizeof(path), "%s/mailname", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(" name.example.net \nsecond\n", f);
	fclose(f);
	snprintf(text, sizeof(text), "myorigin = %s\n", path);
	write_main(text);
	assert_int_equal(in_child("smtpd", true, NULL, check_mailname), 0);
	unlink(path);
}

/* ---- master.cf ---- */

static void
test_mastercf(void **state)
{
	static const char text[] = "# head\n"
				   "smtp inet n - y - - smtpd\n"
				   "  -o a=b -oc=d\n"
				   "# inside\n"
				   "  -o { e = f g } -v\n"
				   "qmgr unix n - n 300? 1 qmgr\n"
				   "p unix - n n - - pipe flags=X {a b} -o x\n"
				   "short inet n - y - -\n"
				   "odd wire n - n - - smtpd\n"
				   "odd inet maybe - n - - smtpd\n"
				   "odd inet n - n 5! - smtpd\n"
				   "odd inet n - n - -1 smtpd\n";
	static const char *const want[] = {"-o", "a=b",     "-o", "c=d",
					   "-o", "e = f g", "-v"};
	struct strvec errors = STRVEC_INIT;
	struct mastercf m;
	const struct master_service *s;

	(void)state;
	assert_false(mastercf_parse("master.cf", span_of(text), &m, &errors));
	assert_int_equal(m.n, 3);
	assert_int_equal(errors.n, 5);
	assert_string_equal(errors.v[0],
			    "file master.cf: line 8: bad field count");
	s = mastercf_find(&m, "smtp", MASTER_INET);
	assert_non_null(s);
	assert_false(s->private);
	assert_true(s->unpriv && s->chroot);
	assert_int_equal(s->line, 2);
	assert_int_equal(s->maxproc, 100);
	assert_int_equal(s->argv.n, 7);
	for (size_t i = 0; i < 7; i++)
		assert_string_equal(s->argv.v[i], want[i]);
	assert_int_equal(s->n_options, 7);
	s = mastercf_find(&m, "qmgr", MASTER_UNIX);
	assert_int_equal(s->wakeup, 300);
	assert_true(s->wakeup_if_used);
	assert_int_equal(s->maxproc, 1);
	s = mastercf_find(&m, "p", MASTER_UNIX);
	assert_true(s->private);
	assert_int_equal(s->argv.n, 4);
	assert_string_equal(s->argv.v[1], "a b");
	assert_int_equal(s->n_options, 0);
	assert_null(mastercf_find(&m, "p", MASTER_INET));
	mastercf_free(&m);
	strvec_free(&errors);
}

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int
remove_dir(void **state)
{
	char path[100];

	(void)state;
	snprintf(path, sizeof(path), "%s/main.cf", dir);
	unlink(path);
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_expand),
	    cmocka_unit_test(test_expand_once),
	    cmocka_unit_test(test_scan_sees_both_branches),
	    cmocka_unit_test(test_time_and_bool),
	    cmocka_unit_test(test_bounds),
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_defaults_have_values),
	    cmocka_unit_test(test_maincf),
	    cmocka_unit_test(test_host),
	    cmocka_unit_test(test_load),
	    cmocka_unit_test(test_lmtp_mirror),
	    cmocka_unit_test(test_errors_are_fatal),
	    cmocka_unit_test(test_mailname),
	    cmocka_unit_test(test_mastercf),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
