/* SPDX-License-Identifier: MIT */
/* The delivery modules without other processes: copy, mbox, maildir. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/deliver/command.h"
#include "lib/deliver/dotlock.h"
#include "lib/deliver/loop.h"
#include "lib/deliver/maildir.h"
#include "lib/deliver/mbox.h"
#include "lib/deliver/status.h"
#include "lib/sys/io.h"

static int synced_directories;

/* In the place of libc's: what is synced counts. */
int
fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
		synced_directories++;
	return (int)syscall(SYS_fsync, fd);
}

static char folder[] = "/tmp/test_deliver.XXXXXX";

static int
setup(void **state)
{
	(void)state;
	signal(SIGPIPE, SIG_IGN);
	return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int
teardown(void **state)
{
	char *command = mem_sprintf("rm -rf %s", folder);
	int rc = chdir("/");

	(void)state;
	rc |= system(command);
	free(command);
	return rc;
}

/* ---- copy ---- */

static void
filtered(const char *in, size_t piece, unsigned flags, const char *eol,
	 const char *want)
{
	struct copy_filter f = {.flags = flags, .eol = eol};
	struct buf out = BUF_INIT;
	struct span rest = span_of(in);

	while (rest.len) {
		size_t n = rest.len < piece ? rest.len : piece;

		copy_filter_run(&f, span_make(rest.data, n), &out);
		rest = span_from(rest, n);
	}
	copy_filter_end(&f, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_free(&out);
}

static void
test_filter(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 12; piece++) {
		filtered("From a\nFro\nFrom\n From b\nFrom ", piece,
			 COPY_QUOTE_FROM, NULL,
			 ">From a\nFro\nFrom\n From b\n>From \n");
		filtered("F\n\nFrFrom x\n>From y\n", piece,
			 COPY_QUOTE_FROM | COPY_BLANK, NULL,
			 "F\n\nFrFrom x\n>From y\n\n");
		filtered(".\n..x\na.b\nF.\n", piece,
			 COPY_QUOTE_DOT | COPY_QUOTE_FROM, "\r\n",
			 "..\r\n...x\r\na.b\r\nF.\r\n");
		filtered("no end", piece, COPY_BLANK, NULL, "no end\n\n");
		filtered("", piece, COPY_BLANK, NULL, "\n");
	}
}

static void
test_headers(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	setenv("TZ", "UTC", 1);
	copy_from_line("", NULL, 0, &b);
	copy_from_line("a b@x.example", NULL, 1795344894LL * 1000000, &b);
	copy_header("Return-Path", "", true, &b);
	copy_header("Delivered-To", "u@x\nBcc: evil", false, &b);
	assert_string_equal(buf_cstr(&b),
			    "From MAILER-DAEMON  Thu Jan  1 00:00:00 1970\n"
			    "From \"a b\"@x.example  Sun Nov 22 10:54:54 2026\n"
			    "Return-Path: <>\n"
			    "Delivered-To: u@x?Bcc: evil\n");
	buf_free(&b);
}

/* ---- a message ---- */

static struct copy_source
message(const char *text)
{
	int fd = open("message", O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(io_write_all(fd, "JUNK", 4));
	assert_true(io_write_all(fd, text, strlen(text)));
	return (struct copy_source){fd, 4, (int64_t)strlen(text)};
}

static void
check_file(const char *path, const char *want)
{
	struct buf b = BUF_INIT;

	assert_true(io_read_file(path, 1 << 20, &b));
	assert_string_equal(buf_cstr(&b), want);
	buf_free(&b);
}

/* ---- mbox ---- */

static struct mbox_request
mbox(const char *path, struct copy_source src)
{
	return (struct mbox_request){
	    .path = path,
	    .source = src,
	    .head = span_of("From s  date\nReturn-Path: <s>\n"),
	    .locks = MBOX_LOCK_FCNTL | MBOX_LOCK_DOT,
	    .attempts = 1,
	    .delay = 1000,
	    .stale = 500LL * 1000000,
	    .owner = -1,
	};
}

#define ONE "From s  date\nReturn-Path: <s>\nSubject: x\n\n>From me\n\n"

static void
test_mbox(void **state)
{
	struct copy_source src = message("Subject: x\n\nFrom me\n");
	struct mbox_request req = mbox("box", src);
	struct buf warning = BUF_INIT;
	struct why why = WHY_INIT;
	struct stat st;

	(void)state;
	synced_directories = 0;
	assert_true(mbox_append(&req, &warning, &why));
	assert_int_equal(synced_directories, 1); /* it was created */
	assert_true(mbox_append(&req, &warning, &why));
	assert_int_equal(synced_directories, 1);
	check_file("box", ONE ONE);
	assert_int_equal(stat("box", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(access("box.lock", F_OK), -1);

	/* Somebody else's lock. */
	assert_int_equal(close(open("box.lock", O_CREAT | O_WRONLY, 0600)), 0);
	assert_false(mbox_append(&req, &warning, &why));
	assert_string_equal(why.dsn, "4.2.0");
	assert_string_equal(buf_cstr(&why.text),
			    "unable to create lock file box.lock: File exists");
	unlink("box.lock");

	/* What is in the way. */
	assert_int_equal(link("box", "box2"), 0);
	assert_false(mbox_append(&req, &warning, &why));
	assert_string_equal(buf_cstr(&why.text), "file has 2 hard links");
	unlink("box2");
	req.owner = (int64_t)geteuid() + 1;
	assert_false(mbox_append(&req, &warning, &why));
	assert_string_equal(buf_cstr(&why.text),
			    "destination box is not owned by recipient");
	req.owner = -1;
	req.path = "none/box";
	assert_false(mbox_append(&req, &warning, &why));
	assert_string_equal(why.dsn, "5.2.0");
	req.lenient_dotlock = true;
	assert_false(mbox_append(&req, &warning, &why));
	assert_string_equal(buf_cstr(&warning),
			    "unable to create lock file none/box.lock: No such "
			    "file or directory");
	assert_string_equal(
	    buf_cstr(&why.text),
	    "cannot create file exclusively: No such file or directory");
	req.path = "/dev/null";
	assert_true(mbox_append(&req, &warning, &why));
	check_file("box", ONE ONE);
	close(src.fd);
	buf_free(&warning);
	why_free(&why);
}

/* A delivery is killed behind its first bytes: the next one undoes it. */
static void
test_mbox_killed(void **state)
{
	struct copy_source src = message("Subject: x\n\nFrom me\n");
	struct mbox_request req = mbox("torn", src);
	struct buf warning = BUF_INIT;
	struct why why = WHY_INIT;
	int status;
	pid_t pid;

	(void)state;
	assert_true(mbox_append(&req, &warning, &why));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct dotlock l = DOTLOCK_INIT;
		int fd = open("torn", O_WRONLY | O_APPEND);

		if (!dotlock_take(&l, "torn", 1, 0, 0))
			_exit(1);
		dotlock_note(&l, fd, (int64_t)strlen(ONE), req.head);
		if (!io_write_all(fd, ONE, strlen(ONE) - 9))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(mbox_append(&req, &warning, &why));
	check_file("torn", ONE ONE);
	assert_int_equal(access("torn.lock", F_OK), -1);
	close(src.fd);
	buf_free(&warning);
	why_free(&why);
}

/* The same, but another program has written its own mail since. */
static void
test_mbox_killed_other(void **state)
{
	const char *other = "From o  date\nReturn-Path: <o>\n\nother's\n\n";
	struct copy_source src = message("Subject: x\n\nFrom me\n");
	struct mbox_request req = mbox("mixed", src);
	struct buf warning = BUF_INIT, want = BUF_INIT;
	struct why why = WHY_INIT;
	pid_t pid;

	(void)state;
	assert_true(mbox_append(&req, &warning, &why));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct dotlock l = DOTLOCK_INIT;
		int fd = open("mixed", O_WRONLY | O_APPEND);

		if (!dotlock_take(&l, "mixed", 1, 0, 0))
			_exit(1);
		dotlock_note(&l, fd, (int64_t)strlen(ONE), req.head);
		if (!io_write_all(fd, other, strlen(other)))
			_exit(1);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_true(mbox_append(&req, &warning, &why));
	buf_printf(&want, "%s%s%s", ONE, other, ONE);
	check_file("mixed", buf_cstr(&want));
	close(src.fd);
	buf_free(&want);
	buf_free(&warning);
	why_free(&why);
}

/* A lock file that somebody else may have written makes nobody cut a mailbox:
 * its note is right in all but that. */
static void
test_mbox_forged_lock(void **state)
{
	struct copy_source src = message("Subject: x\n\nFrom me\n");
	struct mbox_request req = mbox("forged", src);
	struct buf warning = BUF_INIT, text = BUF_INIT;
	struct why why = WHY_INIT;
	struct stat st;
	pid_t pid;
	int fd;

	(void)state;
	req.attempts = 1;
	assert_true(mbox_append(&req, &warning, &why));
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct dotlock l = DOTLOCK_INIT;
		int f = open("forged", O_WRONLY | O_APPEND);

		if (!dotlock_take(&l, "forged", 1, 0, 0))
			_exit(1);
		/* As if all that is there came after the note. */
		dotlock_note(&l, f, 0, req.head);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(chmod("forged.lock", 0666), 0);
	assert_false(mbox_append(&req, &warning, &why));
	check_file("forged", ONE);
	if (geteuid() == 0) {
		assert_int_equal(chmod("forged.lock", 0600), 0);
		assert_int_equal(chown("forged.lock", 65534, 65534), 0);
		assert_false(mbox_append(&req, &warning, &why));
		check_file("forged", ONE);
	}
	/* Without a text to look for, nothing is undone. */
	assert_int_equal(stat("forged", &st), 0);
	buf_printf(&text, "%ld\npostrider 0 %llx %llx 0 0 %llx\n", (long)pid,
		   (unsigned long long)st.st_dev, (unsigned long long)st.st_ino,
		   0x2d06800538d394c2ULL);
	assert_int_equal(unlink("forged.lock"), 0);
	fd = open("forged.lock", O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(io_write_all(fd, text.data, text.len));
	close(fd);
	assert_false(mbox_append(&req, &warning, &why));
	check_file("forged", ONE);
	close(src.fd);
	buf_free(&text);
	buf_free(&warning);
	why_free(&why);
}

/* ---- maildir ---- */

static int
count(const char *path, char *name, size_t size)
{
	DIR *d = opendir(path);
	struct dirent *e;
	int n = 0;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.') {
			n++;
			if (name)
				snprintf(name, size, "%s", e->d_name);
		}
	if (d)
		closedir(d);
	return n;
}

static void
test_maildir(void **state)
{
	struct copy_source src = message("Subject: x\n\nFrom me\n");
	struct maildir_request req = {
	    .path = "md/deep/",
	    .source = src,
	    .head = span_of("Return-Path: <s>\n"),
	    .hostname = "host.example",
	    .arrival = io_now(),
	    .identity = span_of("id1"),
	};
	char name[256], from[600], to[600];
	struct why why = WHY_INIT;
	bool access_problem;

	(void)state;
	assert_true(maildir_deliver(&req, &access_problem, &why));
	/* The same delivery again: it is there. */
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md/deep/new", name, sizeof(name)), 1);
	assert_int_equal(count("md/deep/tmp", NULL, 0), 0);
	snprintf(from, sizeof(from), "md/deep/new/%s", name);
	check_file(from, "Return-Path: <s>\nSubject: x\n\nFrom me\n");

	/* The same name with another size is another message. */
	req.head = span_of("Return-Path: <ss>\n");
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md/deep/new", NULL, 0), 2);
	req.head = span_of("Return-Path: <s>\n");
	req.identity = span_of("id2");
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md/deep/new", NULL, 0), 3);

	/* Read meanwhile; the attempt is an old message's. */
	req.identity = span_of("id3");
	req.arrival -= (MAILDIR_RETRY_AGE + 5) * (int64_t)1000000;
	req.path = "md2";
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md2/new", name, sizeof(name)), 1);
	snprintf(from, sizeof(from), "md2/new/%s", name);
	snprintf(to, sizeof(to), "md2/cur/%s:2,S", name);
	assert_int_equal(rename(from, to), 0);
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md2/new", NULL, 0), 0);
	assert_int_equal(count("md2/tmp", NULL, 0), 0);

	/* Who made the folders died in the middle. */
	assert_int_equal(mkdir("md4", 0700), 0);
	assert_int_equal(mkdir("md4/tmp", 0700), 0);
	req.path = "md4";
	assert_true(maildir_deliver(&req, &access_problem, &why));
	assert_int_equal(count("md4/new", NULL, 0), 1);
	close(src.fd);
	why_free(&why);
}

static void
test_maildir_fails(void **state)
{
	struct copy_source src = message("x\n");
	struct maildir_request req = {.path = "file/",
				      .source = src,
				      .hostname = "host.example",
				      .identity = span_of("id")};
	struct why why = WHY_INIT;
	bool access_problem;

	(void)state;
	assert_int_equal(close(open("file", O_CREAT | O_WRONLY, 0600)), 0);
	assert_false(maildir_deliver(&req, &access_problem, &why));
	assert_string_equal(why.dsn, "5.2.0");
	assert_false(access_problem);
	/* A source that is shorter than it says. */
	req.path = "md3";
	req.source.length = 1000;
	assert_false(maildir_deliver(&req, &access_problem, &why));
	assert_string_equal(why.dsn, "4.3.0");
	assert_int_equal(count("md3/new", NULL, 0), 0);
	assert_int_equal(count("md3/tmp", NULL, 0), 0);
	close(src.fd);
	why_free(&why);
}

/* ---- command ---- */

static bool
run(const char *command, const char *text, int64_t limit, struct buf *output,
    struct why *why)
{
	struct copy_source src = message(text);
	struct strvec env = STRVEC_INIT;
	struct command_request req = {.command = command,
				      .env = &env,
				      .source = src,
				      .head = span_of("Head: er\n"),
				      .time_limit = limit,
				      .program = "test"};
	struct buf warning = BUF_INIT;
	bool ok;

	strvec_add(&env, "PATH=/usr/bin:/bin");
	strvec_add(&env, "FOO=bar");
	buf_reset(output);
	ok = command_run(&req, output, &warning, why);
	close(src.fd);
	strvec_free(&env);
	buf_free(&warning);
	return ok;
}

static void
test_command(void **state)
{
	const int64_t sec = 1000000;
	struct buf out = BUF_INIT;
	struct why why = WHY_INIT;
	char *big = mem_alloc(300 * 1000 + 1);

	(void)state;
	assert_true(run("cat", "S: x\n\nhi\n", 10 * sec, &out, &why));
	assert_string_equal(buf_cstr(&out), "Head: er S: x  hi ");
	assert_true(run("env", "x\n", 10 * sec, &out, &why));
	assert_non_null(strstr(buf_cstr(&out), "FOO=bar "));
	assert_null(strstr(buf_cstr(&out), "HOME="));
	assert_false(run("echo out; exit 75", "x\n", 10 * sec, &out, &why));
	assert_string_equal(why.dsn, "4.3.0");
	assert_string_equal(buf_cstr(&why.text),
			    "temporary failure. Command output: out ");
	assert_false(run("/no/such/program x", "x\n", 10 * sec, &out, &why));
	assert_string_equal(why.dsn, "4.3.0");
	/* Neither reads nor stops writing: bounded, and it ends. */
	memset(big, 'x', 300 * 1000);
	assert_false(
	    run("yes | head -c 1000000; exit 1", big, 30 * sec, &out, &why));
	assert_int_equal(out.len, COMMAND_OUTPUT_MAX);
	assert_true(run("exit 0", big, 30 * sec, &out, &why));
	assert_false(run("sleep 30", "x\n", sec / 5, &out, &why));
	assert_string_equal(buf_cstr(&why.text),
			    "Command time limit exceeded: \"sleep 30\"");
	/* What stays behind does not hold the mail up. */
	assert_true(run("sleep 30 & exit 0", "x\n", 20 * sec, &out, &why));
	free(big);
	buf_free(&out);
	why_free(&why);
}

static void
status(int wait_status, const char *output, const char *dsn, const char *text)
{
	struct why why = WHY_INIT;

	command_status(wait_status, false, "cmd", span_of(output), &why);
	assert_string_equal(why.dsn, dsn);
	assert_string_equal(buf_cstr(&why.text), text);
	why_free(&why);
}

static void
test_command_status(void **state)
{
	(void)state;
	status(EX_NOUSER << 8, "", "5.1.1", "user unknown");
	status(EX_TEMPFAIL << 8, "a ", "4.3.0",
	       "temporary failure. Command output: a ");
	status(3 << 8, "", "5.3.0", "Command died with status 3: \"cmd\"");
	status(9, "", "4.3.0", "Command died with signal 9: \"cmd\"");
	status(EX_TEMPFAIL << 8, "5.7.9 blah ", "5.7.9", "blah ");
	status(1 << 8, "4.2.9 t ", "4.2.9", "t ");
	status(1 << 8, "2.2.9 t ", "5.0.0", "t ");
	assert_true(command_needs_shell("a|b"));
	assert_true(command_needs_shell("a 'b'"));
	assert_false(command_needs_shell("/usr/bin/procmail -a x.y"));
}

/* ---- the rest ---- */

static void
test_loop(void **state)
{
	struct htab *h = htab_new();

	(void)state;
	loop_scan_text(span_of("Subject: x\ndelivered-to: A@Example.com\n"
			       "Delivered-To: \"b c\"@x.example \n\n"
			       "Delivered-To: d@x.example\n"),
		       h);
	assert_true(loop_has(h, "a@example.COM"));
	assert_true(loop_has(h, "b c@x.example"));
	assert_false(loop_has(h, "d@x.example"));
	assert_false(loop_has(h, ""));
	htab_free(h, NULL);
}

static void
test_status(void **state)
{
	(void)state;
	assert_string_equal(status_of_errno(EDQUOT), "5.2.2");
	assert_string_equal(status_of_errno(ENOSPC), "4.3.0");
	assert_string_equal(status_of_errno(EACCES), "5.2.0");
	assert_string_equal(status_of_errno(EEXIST), "4.2.0");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_filter),
	    cmocka_unit_test(test_headers),
	    cmocka_unit_test(test_mbox),
	    cmocka_unit_test(test_mbox_killed),
	    cmocka_unit_test(test_mbox_killed_other),
	    cmocka_unit_test(test_mbox_forged_lock),
	    cmocka_unit_test(test_maildir),
	    cmocka_unit_test(test_maildir_fails),
	    cmocka_unit_test(test_command),
	    cmocka_unit_test(test_command_status),
	    cmocka_unit_test(test_loop),
	    cmocka_unit_test(test_status),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
