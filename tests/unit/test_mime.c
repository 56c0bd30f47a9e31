/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/mime/header.h"
#include "lib/mime/mime.h"

/* ---- headers ---- */

static void
on_header(void *arg, struct span header)
{
	buf_append_byte(arg, '[');
	buf_append_span(arg, header);
	buf_append_byte(arg, ']');
}

static void
on_end(void *arg, bool empty_line, struct span rest)
{
	buf_printf(arg, "{%s%.*s}", empty_line ? "" : "!", SPAN_ARG(rest));
}

static const struct header_events events = {on_header, on_end};

/* The whole in one piece, and byte by byte, must give the same. */
static void
check_headers(const char *in, size_t limit, const char *want)
{
	for (size_t step = 1; step < 1000; step += 998) {
		struct header_reader r = {0};
		struct buf got = BUF_INIT;
		struct span s = span_of(in);

		header_reader_init(&r, limit);
		while (s.len && !r.ended) {
			size_t n = s.len < step ? s.len : step;
			size_t used = header_reader_feed(
			    &r, span_make(s.data, n), &events, &got);

			assert_true(used == n || r.ended);
			s = span_from(s, used);
		}
		header_reader_finish(&r, &events, &got);
		buf_append_span(&got, s);
		assert_string_equal(buf_cstr(&got), want);
		header_reader_free(&r);
		buf_free(&got);
	}
}

static void
test_reader(void **state)
{
	(void)state;
	check_headers("A: b\nC: d\n\nbody\n", 99, "[A: b][C: d]{}body\n");
	check_headers("A: b\n c\n\td\nE: f\n\n", 99, "[A: b\n c\n\td][E: f]{}");
	check_headers("A: b\nnone\nC: d\n", 99, "[A: b]{!none}\nC: d\n");
	check_headers("Foo \tBar: x\n", 99, "{!Foo \t}Bar: x\n");
	check_headers("Sub : x\n\n", 99, "[Sub: x]{}");
	check_headers(": x\n", 99, "{!}: x\n");
	check_headers("  x\nA: b\n", 99, "{!}  x\nA: b\n");
	check_headers("\nbody", 99, "{}body");
	check_headers("", 99, "{!}");
	check_headers("A: b", 99, "[A: b]{!}");
	check_headers("A: b\n \n c\n\n", 99, "[A: b\n \n c]{}");
	check_headers("A: 123456\n 789\nB: 1\n\n", 8, "[A: 12345][B: 1]{}");
	check_headers("abcdefghijkl: x\n\n", 8, "{!abcdefgh}ijkl: x\n\n");
	check_headers("F\x7foo: x\n", 99, "{!F}\x7foo: x\n");
}

static void
test_table(void **state)
{
	(void)state;
	assert_int_equal(header_find(span_of("TO"))->id, HEADER_TO);
	assert_int_equal(header_find(span_of("to"))->flags,
			 HEADER_ADDR_RECIPIENT | HEADER_EXTRACT);
	assert_int_equal(header_find(span_of("apparently-to"))->id,
			 HEADER_APPARENTLY_TO);
	assert_int_equal(header_find(span_of("Resent-Bcc"))->id,
			 HEADER_RESENT_BCC);
	assert_int_equal(header_find(span_of("t"))->id, HEADER_OTHER);
	assert_int_equal(header_find(span_of("toto"))->id, HEADER_OTHER);
	assert_int_equal(header_find(span_of(""))->id, HEADER_OTHER);
	assert_int_equal(header_find(span_of("Content-Foo"))->flags,
			 HEADER_IS_MIME);
	assert_true(span_equal_cstr(header_name(span_of("A: b")), "A"));
	assert_true(span_equal_cstr(header_body(span_of("A: b")), " b"));
	assert_true(header_is_valid(span_of("A: b")));
	assert_true(header_is_valid(span_of("A : b")));
	assert_false(header_is_valid(span_of("A b: c")));
	assert_false(header_is_valid(span_of("A")));
}

/* ---- parts ---- */

static void
part_header(void *arg, enum mime_owner nested, struct span header)
{
	buf_printf(arg, "%s[%.*s]", nested ? "N" : "P", SPAN_ARG(header));
}

static void
part_body(void *arg, struct span text, bool line_end, size_t offset)
{
	buf_printf(arg, "%zu(%.*s)%s", offset, SPAN_ARG(text),
		   line_end ? "" : "~");
}

static void
part_error(void *arg, enum mime_error error, struct span text)
{
	static const char *const names[] = {"DEEP", "HEADER8", "BODY8",
					    "DOMAIN"};

	buf_printf(arg, "%s<%.*s>", names[error], SPAN_ARG(text));
}

static const struct mime_events part_events = {part_header, part_body,
					       part_error};

static void
check_mime(const char *primary, const char *in, int nesting, const char *want)
{
	struct mime_limits limits = {.header_size = 1000,
				     .boundary = 20,
				     .nesting = nesting,
				     .line = 30};

	for (size_t step = 1; step < 5000; step += 4998) {
		struct buf got = BUF_INIT;
		struct span s = span_of(in);
		struct mime *m = mime_new(&limits, &part_events, &got);

		mime_primary_header(m, span_of(primary));
		while (s.len) {
			size_t n = s.len < step ? s.len : step;

			mime_feed(m, span_make(s.data, n));
			s = span_from(s, n);
		}
		mime_finish(m);
		mime_free(m);
		assert_string_equal(buf_cstr(&got), want);
		buf_free(&got);
	}
}

static void
test_parts(void **state)
{
	(void)state;
	check_mime("Subject: x", "a\n--b\nc", 9, "0(a)2(--b)6(c)~");
	check_mime("Content-Type: multipart/mixed; boundary=\"b b\"",
		   "pre\n--b b\nA: 1\n 2\n\nx\n--b b--\nepi\n", 9,
		   "0(pre)4(--b b)P[A: 1\n 2]0()0(x)2(--b b--)0(epi)");
	check_mime(
	    "Content-Type: multipart/mixed; boundary=b",
	    "--b\nContent-Type: message/rfc822\n\nSubject: s\n\nx\n--b\n", 9,
	    "0(--b)P[Content-Type: message/rfc822]0()N[Subject: s]"
	    "0()0(x)2(--b)");
	check_mime("Content-Type: multipart/digest; boundary=b",
		   "--b\n\nSubject: s\n\nx\n", 9,
		   "0(--b)0()N[Subject: s]0()0(x)");
	check_mime("content-type:multipart/x;boundary=b",
		   "--x\n--bc\nA: b\nnone\n--b-- \ny", 9,
		   "0(--x)4(--bc)P[A: b]0(none)5(--b-- )0(y)~");
	check_mime(
	    "Content-Type: multipart/mixed; boundary=out",
	    "--out\nContent-Type: multipart/x; boundary=in\n\n--in\n\nq\n"
	    "--out\n\nr\n",
	    9,
	    "0(--out)P[Content-Type: multipart/x; boundary=in]0()"
	    "0(--in)0()0(q)2(--out)0()0(r)");
	/* whatever its encoding claims to be */
	check_mime("Content-Type: message/rfc822",
		   "Content-Transfer-Encoding: base64\n\nA: b\n", 9,
		   "N[Content-Transfer-Encoding: base64]0()0(A: b)");
	/* long lines come in pieces */
	check_mime("A: b", "1234567890123456789012345678901234\nx\n", 9,
		   "0(123456789012345678901234567890)~30(1234)35(x)");
	/* also when they begin where a header could be */
	check_mime("Content-Type: multipart/mixed; boundary=b",
		   "--b\n1234567890123456789012345678901234 56\nx\n", 9,
		   "0(--b)0(123456789012345678901234567890)~30(1234 56)"
		   "38(x)");
}

static void
test_deep(void **state)
{
	(void)state;
	check_mime("Content-Type: multipart/mixed; boundary=b0",
		   "--b0\nContent-Type: multipart/mixed; boundary=b1\n\n--b1\n"
		   "Content-Type: multipart/mixed; boundary=b2\n\n--b2\n\nx\n",
		   0,
		   "0(--b0)P[Content-Type: multipart/mixed; boundary=b1]0()"
		   "0(--b1)P[Content-Type: multipart/mixed; boundary=b2]0()"
		   "DEEP<Content-Type: multipart/mixed; boundary=b2>"
		   "0(--b2)5()6(x)");
}

static void
check_type(const char *body, const char *type, const char *subtype,
	   const char *boundary)
{
	struct span t, s;
	struct buf b = BUF_INIT;

	assert_true(mime_content_type(span_of(body), &t, &s, &b));
	assert_true(span_equal_cstr(t, type));
	assert_true(span_equal_cstr(s, subtype));
	assert_string_equal(buf_cstr(&b), boundary);
	buf_free(&b);
}

static void
test_type(void **state)
{
	struct span t, s;
	struct buf b = BUF_INIT;

	(void)state;
	check_type(" text/plain", "text", "plain", "");
	check_type(" (c) Text / Plain (d); charset=x", "Text", "Plain", "");
	check_type(" a/b; x=\"boundary=no;\"; boundary = \"q\\\"r\" ; z", "a",
		   "b", "q\"r");
	check_type(" a/b; boundary=----=_Part/1; c=d", "a", "b",
		   "----=_Part/1");
	check_type(" a/b;\n\tboundary=\"x  \"", "a", "b", "x");
	assert_false(mime_content_type(span_of(" text"), &t, &s, &b));
	assert_false(mime_content_type(span_of(""), &t, &s, &b));
	buf_free(&b);
}

/* ---- 8 bits to 7 ---- */

static void
put_header(void *arg, enum mime_owner owner, struct span header)
{
	(void)owner;
	buf_printf(arg, "%.*s\n", SPAN_ARG(header));
}

static void
put_body(void *arg, struct span text, bool line_end, size_t offset)
{
	(void)offset;
	buf_printf(arg, "%.*s%s", SPAN_ARG(text), line_end ? "\n" : "");
}

static void
check_7bit(const char *in, const char *want)
{
	static const struct mime_events out_events = {put_header, put_body,
						      part_error};
	struct mime_limits limits = {.header_size = 1000,
				     .boundary = 20,
				     .nesting = 3,
				     .line = 7,
				     .to_7bit = true};

	for (size_t step = 1; step < 5000; step += 4998) {
		struct buf got = BUF_INIT;
		struct span s = span_of(in);
		struct mime *m = mime_new(&limits, &out_events, &got);

		mime_start_message(m);
		for (size_t i = 0; i < s.len; i += step)
			mime_feed(m, span_make(s.data + i, s.len - i < step
							       ? s.len - i
							       : step));
		mime_finish(m);
		mime_free(m);
		assert_string_equal(buf_cstr(&got), want);
		buf_free(&got);
	}
}

#define CTE "Content-Transfer-Encoding: "

static void
test_7bit(void **state)
{
	(void)state;
	check_7bit(CTE "8bit\nA: b\n\na=\303 \nno end ",
		   "A: b\n" CTE "quoted-printable\n\na=3D=C3=20\nno end=20");
	check_7bit("A: b\n\na=\303 \n", "A: b\n\na=\303 \n");
	check_7bit("A: b\n" CTE "base64\n\n=\n", "A: b\n" CTE "base64\n\n=\n");
	check_7bit("Content-Type: multipart/x; boundary=B\n" CTE
		   "binary\n\n=\n--B\n" CTE "8bit\n\n=\n--B--\n=\n",
		   "Content-Type: multipart/x; boundary=B\n" CTE
		   "7bit\n\n=\n--B\n" CTE "quoted-printable\n\n=3D\n--B--\n"
		   "=\n");
	check_7bit("Content-Type: message/rfc822\n" CTE "8bit\n\n" CTE
		   "8bit\n\n=",
		   "Content-Type: message/rfc822\n" CTE "7bit\n\n" CTE
		   "quoted-printable\n\n=3D");
	/* White space at the end of a piece of a line is not at its end. */
	check_7bit(CTE "8bit\n\n123456 7 \n",
		   CTE "quoted-printable\n\n123456 7=20\n");
	check_7bit(CTE "8bit\n\n"
		       "1234567890123456789012345678901234567890123456789012345"
		       "6789012345678901234567890\n",
		   CTE "quoted-printable\n\n"
		       "1234567890123456789012345678901234567890123456789012345"
		       "678901234567890123=\n4567890\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_reader), cmocka_unit_test(test_table),
	    cmocka_unit_test(test_parts),  cmocka_unit_test(test_deep),
	    cmocka_unit_test(test_type),   cmocka_unit_test(test_7bit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
