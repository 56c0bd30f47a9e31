/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/smtp/data.h"

struct result {
	struct buf content;
	size_t used; /* bytes of input */
	bool done, bare_lf, bare_cr;
};

/* Convert in pieces of at most step bytes. */
static void
convert(enum bare_policy policy, bool keep_cr, struct span in, size_t step,
	struct result *r)
{
	struct data_reader d;

	*r = (struct result){.content = BUF_INIT};
	data_init(&d, policy);
	d.keep_cr = keep_cr;
	while (in.len && !d.done) {
		size_t n = in.len < step ? in.len : step, used;
		char *piece = malloc(n);
		struct span held, out;

		memcpy(piece, in.data, n);
		used = data_convert(&d, piece, n, &held, &out);
		buf_append_span(&r->content, held);
		buf_append_span(&r->content, out);
		free(piece);
		r->used += used;
		in = span_from(in, used);
		if (used < n)
			assert_true(d.done);
	}
	r->done = d.done;
	r->bare_lf = d.bare_lf;
	r->bare_cr = d.bare_cr;
}

struct sample {
	const char *in;
	const char *want; /* content; with more behind it: not ended */
	bool ends;
	bool bare_lf;
};

/* Wherever the input is cut, the result is the same. */
static void
check(enum bare_policy policy, const struct sample *s)
{
	size_t len = strlen(s->in);

	for (size_t step = 1; step <= len; step++) {
		struct result r;

		convert(policy, false, span_make(s->in, len), step, &r);
		assert_string_equal(buf_cstr(&r.content), s->want);
		assert_int_equal(r.done, s->ends);
		assert_int_equal(r.bare_lf, s->bare_lf);
		buf_free(&r.content);
	}
}

static void
test_plain(void **state)
{
	static const struct sample samples[] = {
	    {".\r\n", "", true, false},
	    {"a\r\n.\r\n", "a\n", true, false},
	    {"a\r\n..\r\n..b\r\n.c\r\n.\r\n", "a\n.\n.b\nc\n", true, false},
	    {"\r\n\r\n.\r\n", "\n\n", true, false},
	    {"a\r\n.\r", "a\n", false, false},
	    {"a\r\n. \r\n", "a\n \n", false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		check(BARE_NORMALIZE, &samples[i]);
		check(BARE_ALLOW, &samples[i]);
	}
}

/* Whatever another server might take for an end of data. */
static const struct sample smuggling[] = {
    {"a\n.\nb\r\n", "a\n\nb\n", false, true},
    {"a\n.\r\nb\r\n", "a\n\nb\n", false, true},
    {"a\r\n.\nb\r\n", "a\n\nb\n", false, true},
    {"a\r.\rb\r\n", "a . b\n", false, false},
    {"a\r.\r\nb\r\n", "a .\nb\n", false, false},
    {"a\r\n.\rb\r\n", "a\n b\n", false, false},
    {"a\n.\rb\r\n", "a\n b\n", false, true},
    {"a\r\n.\r\r\nb\r\n", "a\n \nb\n", false, false},
    {"a\r\r\n.\r\r\nb\r\n", "a \n \nb\n", false, false},
    {"a\n\r\n.\nb\r\n", "a\n\n\nb\n", false, true},
    {"a\n.\r\n\r\nb\r\n", "a\n\n\nb\n", false, true},
    {"a\r\n..\r\nb\r\n", "a\n.\nb\n", false, false},
    {"a\r\n.\t\r\nb\r\n", "a\n\t\nb\n", false, false},
    {"\n.\r\nb\r\n", "\n\nb\n", false, true},
    {".\nb\r\n", "\nb\n", false, true},
    {".\r.\r\n", " .\n", false, false},
};

static void
test_smuggling(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(smuggling) / sizeof(smuggling[0]); i++) {
		check(BARE_NORMALIZE, &smuggling[i]);
		check(BARE_REJECT, &smuggling[i]);
		check(BARE_NOTE, &smuggling[i]);
	}
}

static void
test_allow(void **state)
{
	static const struct sample samples[] = {
	    {"a\n.\n", "a\n", true, true},
	    {"a\r\n.\n", "a\n", true, false},
	    {"a\n.\r\n", "a\n", true, true},
	    {"a\nb\n..\n", "a\nb\n.\n", false, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++)
		check(BARE_ALLOW, &samples[i]);
}

static void
test_rest_stays(void **state)
{
	struct result r;

	(void)state;
	convert(BARE_NORMALIZE, false, span_of("a\r\n.\r\nQUIT\r\n"), 100, &r);
	assert_true(r.done);
	assert_int_equal(r.used, 6);
	buf_free(&r.content);
}

static void
test_bare_cr(void **state)
{
	struct result r;

	(void)state;
	convert(BARE_NORMALIZE, true, span_of("a\rb\r\r\n.\r\n"), 3, &r);
	assert_string_equal(buf_cstr(&r.content), "a\rb\r\n");
	assert_true(r.bare_cr);
	buf_free(&r.content);
	convert(BARE_NORMALIZE, false, span_of("ab\r\n.\r\n"), 3, &r);
	assert_false(r.bare_cr);
	buf_free(&r.content);
}

/* The line of the DATA command ended with a bare LF. */
static void
test_after_bare_command(void **state)
{
	struct data_reader d;
	struct span held, out;
	char in[] = ".\r\nx\r\n.\r\n";

	(void)state;
	data_init(&d, BARE_NORMALIZE);
	d.after_crlf = false;
	assert_int_equal(data_convert(&d, in, sizeof(in) - 1, &held, &out),
			 sizeof(in) - 1);
	assert_true(d.done);
	assert_int_equal(out.len, 3);
	assert_memory_equal(out.data, "\nx\n", 3);
}

/* A piece full of CR costs time in proportion to its length. */
static void
test_many_cr(void **state)
{
	size_t len = 1 << 20;
	char *in = malloc(len);
	struct data_reader d;
	struct span held, out;

	(void)state;
	memset(in, '\r', len);
	in[len - 1] = '\n';
	data_init(&d, BARE_NORMALIZE);
	assert_int_equal(data_convert(&d, in, len, &held, &out), len);
	assert_int_equal(out.len, len - 1);
	free(in);
}

static void
test_policy_names(void **state)
{
	enum bare_policy p;

	(void)state;
	assert_true(bare_policy_parse("Yes", &p));
	assert_int_equal(p, BARE_NORMALIZE);
	assert_true(bare_policy_parse("no", &p));
	assert_int_equal(p, BARE_ALLOW);
	assert_true(bare_policy_parse("reject", &p));
	assert_int_equal(p, BARE_REJECT);
	assert_true(bare_policy_parse("note", &p));
	assert_int_equal(p, BARE_NOTE);
	assert_false(bare_policy_parse("", &p));
	assert_false(bare_policy_parse("maybe", &p));
}

/* Chunks of every size give the same; dots mean nothing. */
static void
test_chunked(void **state)
{
	static const char in[] = "a\r\n.\r\n.b\nc\rd\r\n.\r";
	static const char want[] = "a\n.\n.b\nc d\n. ";

	(void)state;
	for (size_t step = 1; step < sizeof(in); step++) {
		struct buf out = BUF_INIT;
		struct data_reader d;

		data_init_chunked(&d, BARE_NORMALIZE);
		for (size_t at = 0; at < sizeof(in) - 1; at += step) {
			struct span held, piece;
			char p[sizeof(in)];
			size_t n = sizeof(in) - 1 - at;

			if (n > step)
				n = step;
			memcpy(p, in + at, n);
			assert_int_equal(data_convert(&d, p, n, &held, &piece),
					 n);
			buf_append_span(&out, held);
			buf_append_span(&out, piece);
		}
		buf_append_span(&out, data_held(&d));
		assert_false(d.done);
		assert_true(d.bare_lf && d.bare_cr);
		assert_string_equal(buf_cstr(&out), want);
		buf_free(&out);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_chunked),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_smuggling),
	    cmocka_unit_test(test_allow),
	    cmocka_unit_test(test_rest_stays),
	    cmocka_unit_test(test_bare_cr),
	    cmocka_unit_test(test_after_bare_command),
	    cmocka_unit_test(test_many_cr),
	    cmocka_unit_test(test_policy_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
