/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/smtp/reply.h"

/* What the server says, as a stream; it has closed after that. */
static void
serve(struct stream *s, int fd[2], const char *text, size_t len)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
	assert_int_equal(send(fd[1], text, len, 0), len);
	shutdown(fd[1], SHUT_WR);
	stream_init(s, fd[0], fd[0]);
	stream_set_timeout(s, 5 * 1000000);
}

static void
end(struct stream *s, int fd[2])
{
	stream_free(s);
	close(fd[0]);
	close(fd[1]);
}

static void
test_good(void **state)
{
	struct reply r = REPLY_INIT;
	struct buf line = BUF_INIT;
	struct stream s;
	int fd[2];
	const char *text = "220 mx ESMTP\r\n"
			   "250-mx\r\n250-SIZE 100\r\n250 DSN\r\n"
			   "550-5.1.1 no such\r\n550 5.1.1 user\r\n"
			   "250\r\n"
			   "421 4.3.2 b\xff\x01ye\n";

	(void)state;
	serve(&s, fd, text, strlen(text));
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_int_equal(r.code, 220);
	assert_string_equal(r.dsn, "");
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_int_equal(r.lines, 3);
	assert_true(span_equal_cstr(reply_line(&r, 1), "SIZE 100"));
	assert_true(span_equal_cstr(reply_line(&r, 2), "DSN"));
	assert_int_equal(reply_line(&r, 3).len, 0);
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_string_equal(r.dsn, "5.1.1");
	reply_text(&r, &line);
	assert_string_equal(buf_cstr(&line),
			    "550-5.1.1 no such 550 5.1.1 user");
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_int_equal(r.code, 250);
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_string_equal(buf_cstr(&r.text), "421 4.3.2 b??ye");
	assert_int_equal(reply_read(&s, &r), REPLY_IO);
	assert_int_equal(s.status, STREAM_EOF);
	end(&s, fd);
	buf_free(&line);
	reply_free(&r);
}

static void
test_bad(void **state)
{
	static const char *const bad[] = {
	    "hello\r\n",         "25\r\n",   "\r\n", "999 x\r\n", "2500 x\r\n",
	    "250-x\r\njunk\r\n", "150 x\r\n"};
	struct reply r = REPLY_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct stream s;
		int fd[2];

		serve(&s, fd, bad[i], strlen(bad[i]));
		assert_int_equal(reply_read(&s, &r), REPLY_BAD);
		assert_int_equal(r.code, 0);
		end(&s, fd);
	}
	reply_free(&r);
}

/* A status code that contradicts the reply code is text. */
static void
test_dsn_class(void **state)
{
	const char *text = "550 2.0.0 strange\r\n250-2.1.0 x\r\n550 y\r\n";
	struct reply r = REPLY_INIT;
	struct stream s;
	int fd[2];

	(void)state;
	serve(&s, fd, text, strlen(text));
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_string_equal(r.dsn, "");
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_int_equal(r.code, 550);
	assert_true(r.mixed);
	assert_string_equal(r.dsn, "");
	end(&s, fd);
	reply_free(&r);
}

/* A line without an end, of which more may come for ever. */
static void
test_endless_line(void **state)
{
	size_t len = REPLY_READ_MAX + 100000;
	char *text = malloc(len);
	struct reply r = REPLY_INIT;
	struct stream s;
	FILE *file = tmpfile();

	(void)state;
	memset(text, 'x', len);
	memcpy(text, "250-", 4);
	assert_int_equal(fwrite(text, 1, len, file), len);
	rewind(file);
	stream_init(&s, fileno(file), fileno(file));
	assert_int_equal(reply_read(&s, &r), REPLY_BAD);
	assert_true(r.text.len <= REPLY_BAD_MAX);
	stream_free(&s);
	fclose(file);
	free(text);
	reply_free(&r);
}

/* What is kept has a limit. */
static void
test_limits(void **state)
{
	struct buf text = BUF_INIT;
	struct reply r = REPLY_INIT;
	struct stream s;
	int fd[2];

	(void)state;
	for (int i = 0; i < 2000; i++)
		buf_printf(&text, "250-line %d\r\n", i);
	buf_append_cstr(&text, "250 end\r\n");
	serve(&s, fd, text.data, text.len);
	assert_int_equal(reply_read(&s, &r), REPLY_OK);
	assert_true(r.lines <= REPLY_LINES_MAX);
	assert_true(r.text.len <= REPLY_TEXT_MAX);
	end(&s, fd);
	buf_free(&text);
	reply_free(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_good),         cmocka_unit_test(test_bad),
	    cmocka_unit_test(test_dsn_class),    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_endless_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
