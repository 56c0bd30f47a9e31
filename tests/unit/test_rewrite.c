/* SPDX-License-Identifier: MIT */
/*
 * With --probe it reads address header bodies, one a line with \n written as
 * "\n", and prints what becomes of them; the first word of a line is "local"
 * or "remote". tests/peer compares that with Postfix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/addr/addr.h"
#include "lib/addr/rewrite.h"
#include "lib/conf/conf.h"

static struct conf config = {
    .swap_bangpath = true,
    .allow_percent_hack = true,
    .append_at_myorigin = true,
    .append_dot_mydomain = true,
    .myorigin = "mx.example.org",
    .mydomain = "example.org",
    .remote_header_rewrite_domain = "",
    .header_address_token_limit = 10240,
};

static void
rewrite(void *arg, struct buf *addr)
{
	rewrite_address(*(enum rewrite_context *)arg, addr);
}

static void
check_address(enum rewrite_context ctx, const char *in, const char *want)
{
	struct buf addr = BUF_INIT;

	buf_set_cstr(&addr, in);
	rewrite_address(ctx, &addr);
	assert_string_equal(buf_cstr(&addr), want);
	buf_free(&addr);
}

static void
test_address(void **state)
{
	static const char *const local[][2] = {
	    {"", ""},
	    {"user", "user@mx.example.org"},
	    {"user@host", "user@host.example.org"},
	    {"user@host.dom", "user@host.dom"},
	    {"user@host.", "user@host"},
	    {"user@host.dom.", "user@host.dom"},
	    {"user@h.dom..", "user@h.dom.."},
	    {"user@.", "user@."},
	    {"user@", "user@"},
	    {"@", ""},
	    {"user@[1.2.3.4]", "user@[1.2.3.4]"},
	    {"a%b", "a@b.example.org"},
	    {"a%b%c", "a%b@c.example.org"},
	    {"a!b", "b@a.example.org"},
	    {"a!b!c", "b!c@a.example.org"},
	    {"a!b%c", "b%c@a.example.org"},
	    {"a!b@c", "a!b@c.example.org"},
	    {"!user", "user@"},
	    {"@r1,@r2:u@d", "u@d.example.org"},
	    {"@r1:u", "u@mx.example.org"},
	    {"a b", "a b@mx.example.org"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
		check_address(REWRITE_LOCAL, local[i][0], local[i][1]);
	check_address(REWRITE_REMOTE, "user", "user");
	check_address(REWRITE_REMOTE, "user@host", "user@host");
	check_address(REWRITE_REMOTE, "user.", "user");
	config.remote_header_rewrite_domain = "domain.invalid";
	check_address(REWRITE_REMOTE, "user", "user@domain.invalid");
	check_address(REWRITE_REMOTE, "u@host", "u@host.domain.invalid");
	config.remote_header_rewrite_domain = "";
	check_address(REWRITE_NONE, "a!b", "a!b");
}

static void
test_switches(void **state)
{
	struct conf saved = config;

	(void)state;
	config.swap_bangpath = false;
	check_address(REWRITE_LOCAL, "a!b", "a!b@mx.example.org");
	config.allow_percent_hack = false;
	check_address(REWRITE_LOCAL, "a%b", "a%b@mx.example.org");
	config.append_at_myorigin = false;
	check_address(REWRITE_LOCAL, "a", "a");
	config.append_dot_mydomain = false;
	check_address(REWRITE_LOCAL, "a@b", "a@b");
	config = saved;
}

static void
check_header(enum rewrite_context ctx, const char *in, const char *want)
{
	struct buf out = BUF_INIT;

	buf_append_cstr(&out, "To:");
	rewrite_header_complete(span_of(in), rewrite, &ctx, &out);
	assert_string_equal(buf_cstr(&out) + 3, want);
	buf_free(&out);
}

static void
test_header(void **state)
{
	static const char *const local[][2] = {
	    {" root, \"A B\" <x>, (c) y@z., grp: a,b;",
	     " root@mx.example.org, \"A B\" <x@mx.example.org>, y@z (c),\n\t"
	     "grp: a@mx.example.org, b@mx.example.org;"},
	    {" joe (Joe Blow)", " joe@mx.example.org (Joe Blow)"},
	    {" Joe Q. Public <joe@h>", " Joe Q.Public <joe@h.example.org>"},
	    {" joe @ host . dom", " joe @ host . dom"},
	    {" (c0) joe@host", " joe@host.example.org (c0)"},
	    {" \"ab\"@h", " ab@h.example.org"},
	    {" a b@h", " a@mx.example.org, b@h.example.org"},
	    {" group: a;, b", " group: a@mx.example.org;, b@mx.example.org"},
	    {" a,,b", " a@mx.example.org, , b@mx.example.org"},
	    {" ,a", " , a@mx.example.org"},
	    {" a,", " a@mx.example.org, "},
	    {" <a> <b>", " <a@mx.example.org> <b@mx.example.org>"},
	    {" <a>b", " <a@mx.example.org>, b@mx.example.org"},
	    {" x<a", " \"x <a\"@mx.example.org"},
	    {" a@b@c", " \"a@b\"@c.example.org"},
	    {" a,\n b", " a@mx.example.org, b@mx.example.org"},
	    {" \"unclosed", " unclosed@mx.example.org"},
	    {" Joe <joe@host> (x)", " Joe <joe@host.example.org>(x)"},
	    {" <a b>", " <ab@mx.example.org>"},
	    {" @", " \"\""},
	    {" <@b>", " <\"\"@b.example.org>"},
	    {" <>", " <>"},
	    {"", ""},
	    {" route <@a:b@c>", " route <b@c.example.org>"},
	    {" g: ;a@b", " g: ;, a@b.example.org"},
	    {" <x@y>(c)(d),z@w", " <x@y.example.org>(c) (d), z@w.example.org"},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(local) / sizeof(*local); i++)
		check_header(REWRITE_LOCAL, local[i][0], local[i][1]);
	check_header(REWRITE_REMOTE, " a,b", " a,b");
	check_header(REWRITE_REMOTE, " \"ab\"@h", " ab@h");
}

static void
test_fold(void **state)
{
	char in[128], want[256], name[64];

	(void)state;
	for (int n = 33; n < 37; n++) {
		memset(name, 'a', sizeof(name));
		name[n] = '\0';
		snprintf(in, sizeof(in), " %s@h, b@h", name);
		snprintf(want, sizeof(want),
			 " %s@h.example.org,%sb@h.example.org", name,
			 n >= 35 ? "\n\t" : " ");
		check_header(REWRITE_LOCAL, in, want);
	}
}

static void
test_limit(void **state)
{
	int saved = config.header_address_token_limit;

	(void)state;
	config.header_address_token_limit = 5;
	check_header(REWRITE_REMOTE, " a@b.c,d@e.f", " a@b.c");
	config.header_address_token_limit = 3;
	check_header(REWRITE_REMOTE, " a,b,c", " a, b");
	config.header_address_token_limit = saved;
}

static void
collect(void *arg, struct span addr)
{
	buf_append_span(arg, addr);
	buf_append_byte(arg, '|');
}

static void
test_scan(void **state)
{
	struct buf got = BUF_INIT;

	(void)state;
	rewrite_header_scan(span_of(" A <a@b>, \"c d\"@e (x), g: f, <>;"),
			    collect, &got);
	assert_string_equal(buf_cstr(&got), "a@b|c d@e|f|");
	buf_free(&got);
}

static void
probe_line(char *line)
{
	enum rewrite_context ctx = REWRITE_LOCAL;
	struct buf in = BUF_INIT, out = BUF_INIT;
	char *p = strchr(line, ' ');

	line[strcspn(line, "\n")] = '\0';
	if (!p)
		return;
	if (!strncmp(line, "remote ", 7))
		ctx = REWRITE_REMOTE;
	for (; *p; p++) {
		if (p[0] == '\\' && p[1] == 'n') {
			buf_append_byte(&in, '\n');
			p++;
		} else {
			buf_append_byte(&in, *p);
		}
	}
	buf_append_cstr(&out, "To:");
	rewrite_header_complete(buf_span(&in), rewrite, &ctx, &out);
	for (size_t i = 3; i < out.len; i++) {
		if (out.data[i] == '\n')
			printf("\\n");
		else
			putchar(out.data[i]);
	}
	putchar('\n');
	buf_free(&in);
	buf_free(&out);
}

static int
probe(void)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, stdin) > 0)
		probe_line(line);
	free(line);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_address), cmocka_unit_test(test_switches),
	    cmocka_unit_test(test_header),  cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_limit),   cmocka_unit_test(test_scan),
	};

	conf = &config;
	if (argc > 1 && !strcmp(argv[1], "--probe"))
		return probe();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
