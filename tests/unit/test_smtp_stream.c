/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/smtp/stream.h"
#include "lib/sys/io.h"

struct pair {
	struct stream s;
	int fd[2];
};

static int
setup(void **state)
{
	struct pair *p = calloc(1, sizeof(*p));

	if (!p || socketpair(AF_UNIX, SOCK_STREAM, 0, p->fd) < 0)
		return -1;
	stream_init(&p->s, p->fd[0], p->fd[0]);
	stream_set_timeout(&p->s, 5 * 1000000);
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	struct pair *p = *state;

	stream_free(&p->s);
	close(p->fd[0]);
	if (p->fd[1] >= 0)
		close(p->fd[1]);
	free(p);
	return 0;
}

static void
peer_sends(struct pair *p, const char *text)
{
	assert_int_equal(send(p->fd[1], text, strlen(text), 0), strlen(text));
}

static void
peer_closes(struct pair *p)
{
	close(p->fd[1]);
	p->fd[1] = -1;
}

/* What arrived at the peer so far. */
static void
peer_got(struct pair *p, const char *want)
{
	char data[1000];
	ssize_t n = recv(p->fd[1], data, sizeof(data) - 1, MSG_DONTWAIT);

	data[n < 0 ? 0 : n] = '\0';
	assert_string_equal(data, want);
}

static void
expect_line(struct pair *p, size_t max, const char *want, unsigned want_flags)
{
	struct span line;
	unsigned flags;

	assert_int_equal(stream_read_line(&p->s, max, &line, &flags),
			 STREAM_OK);
	assert_int_equal(line.len, strlen(want));
	assert_memory_equal(line.data, want, line.len);
	assert_int_equal(flags, want_flags);
}

static void
test_lines(void **state)
{
	struct pair *p = *state;
	struct span line;

	peer_sends(p, "one\r\ntwo\n\r\n\nx\ry\r\r\nunfinished");
	peer_closes(p);
	expect_line(p, 100, "one", 0);
	expect_line(p, 100, "two", LINE_BARE_LF);
	expect_line(p, 100, "", 0);
	expect_line(p, 100, "", LINE_BARE_LF);
	expect_line(p, 100, "x\ry\r", 0);
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL), STREAM_EOF);
	/* And again: it is sticky. */
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL), STREAM_EOF);
}

static void
test_long_lines(void **state)
{
	struct pair *p = *state;
	char *text = malloc(100001);

	memset(text, 'x', 100000);
	text[100000] = '\0';
	peer_sends(p, "1234567890\r\n12345678901\r\n");
	peer_sends(p, text);
	peer_sends(p, "\r\nnext\r\n");
	expect_line(p, 10, "1234567890", 0);
	expect_line(p, 10, "1234567890", LINE_CUT);
	expect_line(p, 10, "xxxxxxxxxx", LINE_CUT);
	expect_line(p, 10, "next", 0);
	assert_true(p->s.in.cap <= STREAM_IN_MAX);
	free(text);
}

/* Replies to commands that came together leave together. */
static void
test_output_waits(void **state)
{
	struct pair *p = *state;
	struct span line;

	peer_sends(p, "a\r\nb\r\n");
	expect_line(p, 100, "a", 0);
	stream_printf(&p->s, "250 %s\r\n", "one");
	expect_line(p, 100, "b", 0);
	stream_write(&p->s, span_of("250 two\r\n"));
	peer_got(p, "");
	stream_set_timeout(&p->s, 1000);
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL),
			 STREAM_TIMEOUT);
	peer_got(p, "250 one\r\n250 two\r\n");
	stream_printf(&p->s, "lost\r\n");
	stream_clear(&p->s);
	stream_printf(&p->s, "421 bye\r\n");
	assert_int_equal(stream_flush(&p->s), STREAM_OK);
	peer_got(p, "421 bye\r\n");
}

static void
test_deadline(void **state)
{
	struct pair *p = *state;
	struct span line;
	int64_t start = io_monotonic();

	peer_sends(p, "slow");
	stream_set_deadline(&p->s, 50 * 1000, 0);
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL),
			 STREAM_TIMEOUT);
	assert_in_range(io_monotonic() - start, 40 * 1000, 4000 * 1000);
}

static int
give_up(struct stream *s, int64_t deadline)
{
	(void)deadline;
	*(int *)s->wait_data += 1;
	return -1;
}

static void
test_wait_function(void **state)
{
	struct pair *p = *state;
	struct span line;
	int calls = 0;

	p->s.wait_input = give_up;
	p->s.wait_data = &calls;
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL),
			 STREAM_STOP);
	assert_int_equal(calls, 1);
	p->s.wait_input = NULL;
	peer_sends(p, "go on\r\n");
	expect_line(p, 100, "go on", 0);
}

static void
test_has_input(void **state)
{
	struct pair *p = *state;

	assert_false(stream_has_input(&p->s));
	peer_sends(p, "a\r\nrest");
	assert_true(stream_has_input(&p->s));
	expect_line(p, 100, "a", 0);
	assert_true(stream_has_input(&p->s));
	assert_int_equal(stream_discard_input(&p->s), 4);
	assert_false(stream_has_input(&p->s));
}

/* Memory that a big content needed does not stay with an idle session. */
static void
test_shrinks(void **state)
{
	struct pair *p = *state;
	char *block = malloc(64 * 1024);
	struct span line;
	size_t len;

	memset(block, 'x', 64 * 1024);
	for (int i = 0; i < 4; i++) {
		assert_true(send(p->fd[1], block, 32 * 1024, 0) > 0);
		assert_int_equal(stream_fill(&p->s), STREAM_OK);
		stream_peek(&p->s, &len);
		stream_consume(&p->s, i < 3 ? 0 : len);
	}
	while (stream_has_input(&p->s)) {
		stream_fill(&p->s);
		stream_discard_input(&p->s);
	}
	stream_set_timeout(&p->s, 1000);
	assert_int_equal(stream_read_line(&p->s, 100, &line, NULL),
			 STREAM_TIMEOUT);
	assert_true(p->s.in.cap <= 2 * STREAM_IN_MIN);
	free(block);
}

static void
test_content(void **state)
{
	struct pair *p = *state;
	struct stream_content c;
	FILE *f = tmpfile();

	stream_content_begin(&c, &p->s, 0);
	stream_content_write(&c, span_of("a\n.b\n..\nun"));
	stream_content_write(&c, span_of("finished"));
	stream_content_end(&c);
	stream_flush(&p->s);
	peer_got(p, "a\r\n..b\r\n...\r\nunfinished\r\n.\r\n");
	stream_content_begin(&c, &p->s, 4);
	stream_content_write(&c, span_of("123456789\n.\n"));
	stream_content_end(&c);
	stream_flush(&p->s);
	peer_got(p, "1234\r\n 567\r\n 89\r\n..\r\n.\r\n");
	assert_non_null(f);
	fputs("skipped line\n.dot\n", f);
	fflush(f);
	stream_content_begin(&c, &p->s, 0);
	assert_true(stream_content_write_file(&c, fileno(f), 8, 10));
	stream_content_end(&c);
	stream_flush(&p->s);
	peer_got(p, "line\r\n..dot\r\n.\r\n");
	assert_false(stream_content_write_file(&c, fileno(f), 8, 1000));
	fclose(f);
}

/* Pipes, as "sendmail -bs" has them. */
static void
test_pipes(void **state)
{
	struct stream s;
	struct span line;
	int in[2], out[2];
	char got[10] = "";

	(void)state;
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	assert_int_equal(write(in[1], "NOOP\r\n", 6), 6);
	close(in[1]);
	stream_init(&s, in[0], out[1]);
	assert_int_equal(stream_read_line(&s, 100, &line, NULL), STREAM_OK);
	stream_printf(&s, "250\r\n");
	assert_int_equal(stream_read_line(&s, 100, &line, NULL), STREAM_EOF);
	assert_int_equal(read(out[0], got, sizeof(got) - 1), 5);
	assert_string_equal(got, "250\r\n");
	stream_free(&s);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

static void
test_broken_peer(void **state)
{
	struct pair *p = *state;

	peer_closes(p);
	stream_printf(&p->s, "250 x\r\n");
	assert_int_equal(stream_flush(&p->s), STREAM_ERROR);
	assert_int_equal(p->s.error, EPIPE);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(test_lines),         CASE(test_long_lines),
	    CASE(test_output_waits),  CASE(test_deadline),
	    CASE(test_wait_function), CASE(test_has_input),
	    CASE(test_shrinks),       CASE(test_content),
	    CASE(test_broken_peer),   cmocka_unit_test(test_pipes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
