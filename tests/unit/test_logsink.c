/* SPDX-License-Identifier: MIT */
/* lib/sys/logsink: lines to postlogd's socket. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"
#include "lib/sys/logsink.h"
#include "lib/sys/sock.h"

static char dir[] = "/tmp/test_logsink.XXXXXX";
static char *path, *file;

static int
set_up(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	if (!mkdtemp(dir))
		return -1;
	path = mem_sprintf("%s/s", dir);
	file = mem_sprintf("%s/f", dir);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	log_set_sink(NULL);
	unlink(path);
	unlink(file);
	return rmdir(dir);
}

static void
open_sink(void)
{
	struct logsink s = {
	    .process = "smtpd",
	    .syslog_name = "postfix/submission",
	    .main_name = "postfix",
	    .facility = "mail",
	    .socket = path,
	    .hostname = "mail",
	    .file = file,
	    .file_mode = 0640,
	};

	logsink_open(&s);
}

/* The line without its time; "" when there is none. */
static const char *
receive(int fd)
{
	static char line[4096];
	ssize_t n = recv(fd, line, sizeof(line) - 1, MSG_DONTWAIT);

	if (n < 16)
		return "";
	line[n] = '\0';
	return line + 16;
}

static char *
expected(const char *ident, const char *text)
{
	return mem_sprintf("mail %s[%ld]: %s", ident, (long)getpid(), text);
}

static void
assert_line(int fd, const char *ident, const char *text)
{
	char *want = expected(ident, text);

	assert_string_equal(receive(fd), want);
	free(want);
}

static void
test_idents_and_levels(void **state)
{
	int fd = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);

	(void)state;
	assert_true(fd >= 0);
	open_sink();
	log_info("hello %d", 1);
	assert_line(fd, "postfix/submission/smtpd", "hello 1");
	log_warn("beware\n\x01");
	assert_line(fd, "postfix/submission/smtpd", "warning: beware??");
	log_info_as("cleanup", "ABC: message-id=<x>");
	assert_line(fd, "postfix/cleanup", "ABC: message-id=<x>");
	close(fd);
}

static void
test_file_while_nobody_listens(void **state)
{
	struct buf b = BUF_INIT;
	struct stat st;
	char *want;
	int fd;

	(void)state;
	unlink(path);
	open_sink();
	log_info("to the file");
	assert_true(io_read_file(file, 1000, &b));
	want = expected("postfix/submission/smtpd", "to the file\n");
	assert_true(b.len > 16);
	assert_string_equal(buf_cstr(&b) + 16, want);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	free(want);
	buf_free(&b);
	/* Connects again by itself, after a second. */
	fd = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);
	usleep(1100000);
	log_info("back");
	assert_line(fd, "postfix/submission/smtpd", "back");
	close(fd);
}

static void
test_restart_of_the_peer(void **state)
{
	int fd = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);

	(void)state;
	open_sink();
	close(fd);
	fd = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);
	log_info("first");
	assert_line(fd, "postfix/submission/smtpd", "first");
	close(fd);
}

/* A full socket costs a bounded time, and the loss is told. */
static void
test_full_socket(void **state)
{
	int fd = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);
	char want[100];
	int lines = 0;

	(void)state;
	unlink(file);
	free(file);
	file = NULL;
	open_sink();
	logsink_set_wait(1);
	for (int i = 0; i < 2000; i++)
		log_info("line");
	while (*receive(fd))
		lines++;
	assert_true(lines < 2000);
	log_info("after");
	assert_line(fd, "postfix/submission/smtpd", "after");
	snprintf(want, sizeof(want),
		 ": warning: %d log lines of this process "
		 "were lost",
		 2000 - lines);
	assert_non_null(strstr(receive(fd), want));
	close(fd);
	file = mem_strdup("");
	logsink_set_wait(1000);
}

/* What is in the pipe, up to its first newline; "" when there is none. */
static const char *
next_line(int fd)
{
	static char line[4096];
	size_t n = 0;

	while (n < sizeof(line) - 1 && read(fd, line + n, 1) == 1 &&
	       line[n] != '\n')
		n++;
	line[n] = '\0';
	return n < 16 ? "" : line + 16;
}

static void
test_pipe(void **state)
{
	int pair[2], socket = sock_listen_unix(path, SOCK_DGRAM, 0600, 0);
	char *want = expected("postfix/submission/smtpd", "in the pipe");
	int lines = 0;

	(void)state;
	assert_int_equal(pipe2(pair, O_NONBLOCK | O_CLOEXEC), 0);
	logsink_set_pipe(pair[1]);
	open_sink();
	log_info("in the pipe");
	assert_string_equal(next_line(pair[0]), want);
	assert_string_equal(receive(socket), "");
	/* Full: nothing goes past it through the socket, the loss is told. */
	logsink_set_wait(1);
	for (int i = 0; i < 2000; i++)
		log_info("line");
	while (*next_line(pair[0]))
		lines++;
	assert_true(lines > 500 && lines < 2000);
	assert_string_equal(receive(socket), "");
	log_info("in the pipe");
	assert_string_equal(next_line(pair[0]), want);
	assert_non_null(strstr(next_line(pair[0]), "were lost"));
	logsink_set_wait(1000);
	/* Nobody reads any more. */
	close(pair[0]);
	log_info("in the pipe");
	assert_string_equal(receive(socket), want);
	free(want);
	close(socket);
}

static void
test_facilities(void **state)
{
	int code = 0;

	(void)state;
	assert_true(logsink_facility("mail", &code));
	assert_int_equal(code, LOG_MAIL);
	assert_true(logsink_facility("LOCAL3", &code));
	assert_int_equal(code, LOG_LOCAL3);
	assert_false(logsink_facility("nonsense", &code));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_idents_and_levels),
	    cmocka_unit_test(test_file_while_nobody_listens),
	    cmocka_unit_test(test_restart_of_the_peer),
	    cmocka_unit_test(test_full_socket),
	    cmocka_unit_test(test_pipe),
	    cmocka_unit_test(test_facilities),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
