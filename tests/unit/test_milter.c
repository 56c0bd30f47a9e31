/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/cleanup/cleanup_spool.h"
#include "lib/conf/conf.h"
#include "lib/milter/milter_edit.h"
#include "lib/milter/milter_list.h"
#include "lib/milter/milter_proto.h"

static struct span
text(const char *s)
{
	return span_of(s);
}

/* ---- packets ---- */

static void
test_length(void **state)
{
	uint32_t n;

	(void)state;
	assert_true(milter_parse_length((const unsigned char *)"\0\0\0\5", &n));
	assert_int_equal(n, 4);
	assert_false(
	    milter_parse_length((const unsigned char *)"\0\0\0\0", &n));
	assert_int_equal(n, 0);
	assert_false(
	    milter_parse_length((const unsigned char *)"\377\0\0\0", &n));
	assert_int_equal(n, 0xff000000);
}

static void
test_options(void **state)
{
	static const char ok[] = "\0\0\0\6\0\0\1\377\0\0\0\1"
				 "\0\0\0\3{rcpt_addr} i";
	struct milter_options o;

	(void)state;
	assert_true(milter_parse_options(span_make(ok, sizeof(ok)), &o));
	assert_int_equal(o.version, 6);
	assert_int_equal(o.actions, 0x1ff);
	assert_int_equal(o.protocol, 1);
	assert_true(span_equal_cstr(o.symbols[MACROS_RCPT], "{rcpt_addr} i"));
	assert_null(o.symbols[MACROS_MAIL].data);
	for (size_t n = 0; n < sizeof(ok); n++)
		assert_int_equal(milter_parse_options(span_make(ok, n), &o),
				 n == 12);
}

static void
test_reply(void **state)
{
	struct milter_reply r;

	(void)state;
	assert_true(milter_parse_reply('m', span_make("\0\0\0\2a\0b", 8), &r));
	assert_int_equal(r.index, 2);
	assert_true(span_equal_cstr(r.name, "a"));
	assert_true(span_equal_cstr(r.value, "b"));
	assert_false(milter_parse_reply('m', span_make("\0\0\0\2a\0b", 7), &r));
	assert_false(
	    milter_parse_reply('m', span_make("\0\0\0\2a\0b\0", 9), &r));
	assert_false(milter_parse_reply('i', span_make("\0\0", 2), &r));
	assert_false(milter_parse_reply('c', text("x"), &r));
	assert_true(milter_parse_reply('2', span_make("<a>\0X=Y", 8), &r));
	assert_true(span_equal_cstr(r.value, "X=Y"));
	assert_true(milter_parse_reply('e', span_make("<a>", 4), &r));
	assert_null(r.value.data);
	assert_false(milter_parse_reply('y', text("550 x"), &r));
}

static void
test_smtp_reply(void **state)
{
	static const char *const bad[] = {
	    "",         "55",    "250 ok",         "999 x", "550 4.7.1 x",
	    "550x",     "x50 y", "550 a\r\n551 b", "5a0 x", "550 a\001",
	    "550 a\rb",
	};
	struct buf out = BUF_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(milter_parse_smtp(text(bad[i]), &out));
	assert_true(milter_parse_smtp(text("550 5.7.1 100%% %"), &out));
	assert_string_equal(buf_cstr(&out), "550 5.7.1 100% %");
	assert_true(milter_parse_smtp(text("450"), &out));
	assert_true(milter_parse_smtp(text("554-a\r\n554 5.1.1 b"), &out));
	buf_free(&out);
}

/* ---- headers ---- */

static void
check_headers(const struct milter_headers *h, const char *want)
{
	struct buf out = BUF_INIT;

	milter_headers_render(h, &out);
	assert_string_equal(buf_cstr(&out), want);
	assert_int_equal(h->bytes, out.len);
	buf_free(&out);
}

static void
test_headers(void **state)
{
	struct milter_headers h = MILTER_HEADERS_INIT;

	(void)state;
	milter_headers_parse(&h,
			     text("Received: me\n\tx\nA: 1\nReceived: b\n"
				  "a: 2\n c\n"),
			     true);
	assert_int_equal(h.n, 4);
	assert_true(h.v[0].own);
	/* The own one cannot be met by name, but counts for places. */
	milter_headers_change(&h, 1, text("received"), text("Received: x"));
	milter_headers_change(&h, 2, text("A"), text("A: two"));
	milter_headers_insert(&h, 1, text("I: 1"));
	milter_headers_insert(&h, 0, text("I: 0"));
	milter_headers_insert(&h, 99, text("I: 99"));
	check_headers(&h, "I: 0\nReceived: me\n\tx\nI: 1\nA: 1\nReceived: x\n"
			  "A: two\nI: 99\n");
	milter_headers_change(&h, 0, text("i"), text(""));
	milter_headers_change(&h, 2, text("i"), text(""));
	milter_headers_change(&h, 5, text("i"), text(""));
	milter_headers_change(&h, 5, text("i"), text("I: new"));
	check_headers(&h, "Received: me\n\tx\nI: 1\nA: 1\nReceived: x\n"
			  "A: two\nI: new\n");
	milter_headers_free(&h);
	check_headers(&h, "");
}

static void
test_format(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	milter_header_format(text("X"), text("a\r\n b\nEvil: c\n"), true, &out);
	assert_string_equal(buf_cstr(&out), "X: a\n b\n\tEvil: c\n\t");
	buf_reset(&out);
	milter_header_format(text("X\nY"), text(" v"), false, &out);
	assert_string_equal(buf_cstr(&out), "XY: v");
	buf_free(&out);
}

/* ---- lists ---- */

static bool
parse(const char *value, struct milter_list *l)
{
	struct buf error = BUF_INIT;
	bool ok = milter_list_parse(l, text(value), &error);

	assert_int_equal(ok, error.len == 0);
	buf_free(&error);
	return ok;
}

static void
test_list(void **state)
{
	static const char *const bad[] = {
	    "foo",
	    "inet:host",
	    "inet:host:nosuchservice",
	    "unix:",
	    "{ }",
	    "{ inet:a:1, what=x }",
	    "{ inet:a:1, protocol=5 }",
	    "{ inet:a:1, default_action=maybe }",
	    "{ inet:a:1, connect_timeout=0 }",
	    "{ inet:a:1, connect_timeout = 1 }",
	    "{ inet:a:1",
	};
	struct milter_list l;

	(void)state;
	assert_true(parse("", &l));
	assert_int_equal(l.n, 0);
	assert_true(parse("inet:[::1]:25, unix:/a b:c", &l) == false);
	assert_true(parse("inet:[::1]:25, local:/a,\n"
			  "{ inet:h:1, connect_timeout=2m default_action="
			  "accept {protocol = 2 no_header_reply} }",
			  &l));
	assert_int_equal(l.n, 3);
	assert_string_equal(l.v[0].host, "::1");
	assert_int_equal(l.v[0].port, 25);
	assert_int_equal(l.v[0].version, 6);
	assert_string_equal(l.v[1].path, "/a");
	assert_int_equal(l.v[2].connect_timeout, 120000000);
	assert_int_equal(l.v[2].action, MILTER_DEFAULT_ACCEPT);
	assert_int_equal(l.v[2].version, 2);
	assert_true(l.v[2].no_header_reply);
	milter_list_free(&l);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(parse(bad[i], &l));
}

/* ---- the spool ---- */

static void
test_spool(void **state)
{
	struct spool *s = spool_new();
	struct buf out = BUF_INIT;
	char block[1000];

	(void)state;
	/* Through the limit where a file takes over. */
	for (int i = 0; i < 600; i++) {
		memset(block, 'a' + i % 26, sizeof(block));
		spool_write(s, span_make(block, sizeof(block)));
	}
	assert_false(spool_failed(s));
	assert_int_equal(spool_size(s), 600000);
	assert_true(spool_read(s, 599500, 1000, &out));
	assert_int_equal(out.len, 500);
	assert_int_equal(out.data[0], 'a' + 599 % 26);
	buf_reset(&out);
	assert_true(spool_read(s, 26500, 1000, &out));
	assert_int_equal(out.len, 1000);
	assert_int_equal(out.data[499], 'a');
	assert_int_equal(out.data[500], 'b');
	buf_reset(&out);
	assert_true(spool_read(s, 600000, 1000, &out));
	assert_int_equal(out.len, 0);
	buf_free(&out);
	spool_free(s);
}

static int
setup(void **state)
{
	static struct conf values;

	(void)state;
	values.milter_default_action = "tempfail";
	values.milter_protocol = "6";
	values.known_tcp_ports = "";
	values.milter_connect_timeout = values.milter_command_timeout =
	    values.milter_content_timeout = 1000000;
	conf = &values;
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_length),  cmocka_unit_test(test_options),
	    cmocka_unit_test(test_reply),   cmocka_unit_test(test_smtp_reply),
	    cmocka_unit_test(test_headers), cmocka_unit_test(test_format),
	    cmocka_unit_test(test_list),    cmocka_unit_test(test_spool),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
