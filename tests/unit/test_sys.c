/* SPDX-License-Identifier: MIT */
/* lib/sys: lock, fs, proc, sock. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "lib/sys/jail.h"
#include "lib/sys/lock.h"
#include "lib/sys/proc.h"
#include "lib/sys/sock.h"

static char dir[] = "/tmp/test_sys.XXXXXX";

static char *
in_dir(const char *name)
{
	return mem_sprintf("%s/%s", dir, name);
}

static int
set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int
tear_down(void **state)
{
	char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, dir, NULL};
	struct proc_spec p = {
	    .path = "/bin/rm", .argv = argv, .in = -1, .out = -1, .err = -1};
	pid_t pid = proc_spawn(&p);
	int status;

	(void)state;
	return pid > 0 && proc_wait(pid, false, -1, &status) ? 0 : -1;
}

/* ---- lock ---- */

static void
test_lock_methods(void **state)
{
	unsigned m = 0;

	(void)state;
	assert_true(lock_parse_methods("fcntl, dotlock", &m));
	assert_int_equal(m, LOCK_BY_FCNTL | LOCK_BY_DOT);
	assert_true(lock_parse_methods("flock", &m));
	assert_int_equal(m, LOCK_BY_FLOCK);
	assert_false(lock_parse_methods("fcntl, lockf", &m));
}

/* Does another process get the lock? */
static bool
other_gets(const char *path, unsigned method)
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		int fd = open(path, O_RDWR);

		_exit(fd >= 0 && lock_fd_now(fd, true, method) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	return status == 0;
}

static void
test_lock_excludes(void **state)
{
	static const unsigned methods[] = {LOCK_BY_FCNTL, LOCK_BY_FLOCK};
	char *path = in_dir("lock");
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct lock_policy p = {.methods = methods[i], .attempts = 1};

		assert_true(lock_fd(fd, true, &p));
		assert_false(other_gets(path, methods[i]));
		lock_fd_release(fd, methods[i]);
		assert_true(other_gets(path, methods[i]));
	}
	close(fd);
	free(path);
}

static void
test_dot_lock(void **state)
{
	char *path = in_dir("mbox");
	char *lock = in_dir("mbox.lock");
	struct lock_policy p = {.attempts = 2, .delay = 1000};
	struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	(void)state;
	assert_true(lock_dot_take(path, &p));
	assert_int_equal(access(lock, F_OK), 0);
	errno = 0;
	assert_false(lock_dot_take(path, &p));
	assert_int_equal(errno, EEXIST);
	/* Old by its own time, but made just now: not stale. */
	p.stale = INT64_C(500000000);
	utimensat(AT_FDCWD, lock, old, 0);
	assert_false(lock_dot_take(path, &p));
	p.stale = 1;
	assert_true(lock_dot_take(path, &p));
	lock_dot_release(path);
	assert_int_not_equal(access(lock, F_OK), 0);
	free(path);
	free(lock);
}

/* ---- fs ---- */

static void
test_open_safe(void **state)
{
	char *file = in_dir("file"), *link_name = in_dir("link");
	char *hard = in_dir("hard"), *fifo = in_dir("fifo");
	const char *why;
	int fd;

	(void)state;
	fd = fs_open_safe(file, O_RDWR | O_CREAT, 0640, geteuid(), &why);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(io_write_all(fd, "abc", 3));
	close(fd);
	assert_int_equal(symlink(file, link_name), 0);
	assert_int_equal(fs_open_safe(link_name, O_RDWR, 0, -1U, &why), -1);
	assert_string_equal(why, "file is a symbolic link");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	assert_int_equal(fs_open_safe(fifo, O_RDWR, 0, -1U, &why), -1);
	assert_string_equal(why, "not a regular file");
	assert_int_equal(fs_open_safe(file, O_RDWR, 0, geteuid() + 1, &why),
			 -1);
	assert_string_equal(why, "file has an unexpected owner");
	/* It is cut only when it is the right one. */
	assert_int_equal(link(file, hard), 0);
	assert_int_equal(fs_open_safe(hard, O_RDWR | O_TRUNC, 0, -1U, &why),
			 -1);
	assert_string_equal(why, "file has more than one hard link");
	unlink(hard);
	fd = fs_open_safe(file, O_RDONLY, 0, -1U, &why);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3);
	close(fd);
	free(file);
	free(link_name);
	free(hard);
	free(fifo);
}

static void
test_replace(void **state)
{
	char *path = in_dir("replaced");
	struct buf b = BUF_INIT;
	struct stat st;

	(void)state;
	assert_true(fs_replace(path, "one", 3, 0644));
	assert_true(fs_replace(path, "second", 6, 0600));
	assert_true(io_read_file(path, 100, &b));
	assert_string_equal(buf_cstr(&b), "second");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_false(fs_replace("/nonexistent-dir/x", "x", 1, 0600));
	buf_free(&b);
	free(path);
}

static void
test_mkdirs(void **state)
{
	char *deep = in_dir("a/b/c"), *file = in_dir("plain");
	char *below = in_dir("plain/x");

	(void)state;
	assert_true(fs_mkdirs(deep, 0755));
	assert_true(fs_mkdirs(deep, 0755));
	assert_true(fs_replace(file, "", 0, 0600));
	assert_false(fs_mkdirs(below, 0755));
	assert_int_equal(errno, ENOTDIR);
	free(deep);
	free(file);
	free(below);
}

/* ---- proc ---- */

static pid_t
shell(const char *script, int out, bool own_group)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, mem_strdup(script),
			NULL};
	char *envp[] = {(char[]){"A=1"}, NULL};
	struct proc_spec p = {
	    .path = "/bin/sh",
	    .argv = argv,
	    .envp = envp,
	    .in = -1,
	    .out = out,
	    .err = -1,
	    .own_group = own_group,
	};
	pid_t pid = proc_spawn(&p);

	free(argv[2]);
	return pid;
}

static void
test_spawn_is_clean(void **state)
{
	struct buf b = BUF_INIT;
	int pipefd[2], status, leak;
	pid_t pid;

	(void)state;
	leak = open("/dev/null", O_RDONLY); /* not close-on-exec */
	assert_int_equal(pipe(pipefd), 0);
	signal(SIGPIPE, SIG_IGN);
	pid = shell("echo \"$A ${HOME-none}\" $(ls /proc/self/fd | wc -l); "
		    /* 32 and 33 are the C library's own. */
		    "grep -c 'SigIgn:.*[08]0000000$' /proc/self/status",
		    pipefd[1], false);
	assert_true(pid > 0);
	close(pipefd[1]);
	assert_true(proc_wait(pid, false, -1, &status));
	assert_int_equal(status, 0);
	b.len = (size_t)read(pipefd[0], buf_reserve(&b, 200), 200);
	b.data[b.len] = '\0';
	/* 0, 1, 2 and the one that ls reads the folder with. */
	assert_string_equal(buf_cstr(&b),
			    "1 none 4\n1\n");
	close(pipefd[0]);
	close(leak);
	buf_free(&b);
}

static void
test_spawn_says_why(void **state)
{
	char *argv[] = {(char[]){"x"}, NULL};
	struct proc_spec p = {.path = "/nonexistent",
			      .argv = argv,
			      .in = -1,
			      .out = -1,
			      .err = -1};

	(void)state;
	assert_int_equal(proc_spawn(&p), -1);
	assert_int_equal(errno, ENOENT);
}

static void
test_wait_kills_the_group(void **state)
{
	int64_t start = io_monotonic();
	int pipefd[2], status;
	char byte;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(pipefd, O_CLOEXEC), 0);
	pid = shell("sleep 30 & sleep 30", pipefd[1], true);
	assert_true(pid > 0);
	close(pipefd[1]);
	assert_false(proc_wait(pid, true, start + 100000, &status));
	assert_int_equal(errno, ETIMEDOUT);
	assert_true(WIFSIGNALED(status));
	/* Both sleeps are gone, or the pipe would still be open. */
	assert_int_equal(read(pipefd[0], &byte, 1), 0);
	assert_true(io_monotonic() - start < 10000000);
	close(pipefd[0]);
}

static void
test_environment(void **state)
{
	struct strvec env = STRVEC_INIT;

	(void)state;
	setenv("TEST_SYS_SET", "yes", 1);
	unsetenv("TEST_SYS_UNSET");
	proc_environment("TEST_SYS_SET TEST_SYS_UNSET, LANG=C {X = a b}", &env);
	assert_int_equal(env.n, 3);
	assert_string_equal(env.v[0], "TEST_SYS_SET=yes");
	assert_string_equal(env.v[1], "LANG=C");
	assert_string_equal(env.v[2], "X=a b");
	strvec_free(&env);
}

/* ---- sock ---- */

static void
test_addresses(void **state)
{
	static const struct {
		const char *in, *out;
	} good[] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"2001:DB8::0:1", "2001:db8::1"},
	    {"::ffff:192.0.2.7", "192.0.2.7"},
	};
	static const char *const bad[] = {
	    "", "192.0.2", "192.0.2.256", "[::1]", "::1%nosuchif", "host"};
	struct sock_addr a, b;
	char text[SOCK_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_true(sock_addr_parse(good[i].in, 25, &a));
		sock_addr_format(&a, text);
		assert_string_equal(text, good[i].out);
		assert_int_equal(sock_addr_port(&a), 25);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(sock_addr_parse(bad[i], 25, &a));
	assert_true(sock_addr_parse("::1", 1, &a));
	assert_true(sock_addr_parse("::1", 2, &b));
	assert_true(sock_addr_same_host(&a, &b));
	assert_true(sock_addr_parse("::2", 1, &b));
	assert_false(sock_addr_same_host(&a, &b));
}

static void
test_ports(void **state)
{
	const char *known = "lmtp=24, smtps=submissions=465,submission=587";
	int port = 0;

	(void)state;
	assert_true(sock_port("10025", NULL, &port));
	assert_int_equal(port, 10025);
	assert_true(sock_port("SUBMISSIONS", known, &port));
	assert_int_equal(port, 465);
	assert_true(sock_port("smtps", known, &port));
	assert_int_equal(port, 465);
	assert_false(sock_port("0", known, &port));
	assert_false(sock_port("65536", known, &port));
	assert_false(sock_port("no-such-service", known, &port));
}

static void
test_own_addresses(void **state)
{
	struct sock_addrs a = {NULL, 0};
	const char *reason;
	char text[SOCK_TEXT_MAX];

	(void)state;
	assert_int_equal(sock_families("ipv4"), SOCK_IPV4);
	assert_int_equal(sock_families("all"), SOCK_IPV4 | SOCK_IPV6);
	assert_true(sock_own_addresses("all", SOCK_IPV4 | SOCK_IPV6, true, &a,
				       &reason));
	assert_int_equal(a.n, 2);
	sock_addr_format(&a.v[0], text);
	assert_string_equal(text, "0.0.0.0");
	sock_addrs_free(&a);
	/* An address of a family that is off is passed over. */
	assert_true(sock_own_addresses("127.0.0.1, [::1], 127.0.0.1", SOCK_IPV4,
				       true, &a, &reason));
	assert_int_equal(a.n, 1);
	sock_addrs_free(&a);
	assert_false(sock_own_addresses("256.1.1.1.invalid", SOCK_IPV4, true,
					&a, &reason));
	sock_addrs_free(&a);
}

static void
test_listen_and_connect(void **state)
{
	char *path = in_dir("socket"), *file = in_dir("nosocket");
	struct sock_addr a, local;
	int server, client;

	(void)state;
	assert_true(sock_addr_parse("127.0.0.1", 0, &a));
	server = sock_listen_inet(&a, 5);
	assert_true(server >= 0 && sock_local(server, &local));
	client = sock_connect_inet(&local, NULL, io_monotonic() + 5000000);
	assert_true(client >= 0);
	assert_int_equal(fcntl(client, F_GETFL) & O_NONBLOCK, 0);
	close(client);
	close(server);
	assert_int_equal(
	    sock_connect_inet(&local, NULL, io_monotonic() + 5000000), -1);
	assert_int_equal(errno, ECONNREFUSED);

	server = sock_listen_unix(path, SOCK_STREAM, 0666, 5);
	assert_true(server >= 0);
	close(server); /* what is left of it is replaced */
	server = sock_listen_unix(path, SOCK_STREAM, 0666, 5);
	assert_true(server >= 0);
	client = sock_connect_unix(path, 5);
	assert_true(client >= 0);
	close(client);
	close(server);
	assert_true(fs_replace(file, "", 0, 0600));
	assert_int_equal(sock_listen_unix(file, SOCK_STREAM, 0666, 5), -1);
	assert_int_equal(errno, EEXIST);
	assert_int_equal(access(file, F_OK), 0);
	free(path);
	free(file);
}

/* ---- jail ---- */

/* Exit statuses of the jailed process. */
static int
look_around(uid_t uid, bool chrooted)
{
	int leak = open("/dev/null", O_RDONLY);
	struct jail j = {.root = chrooted ? dir : NULL, .user = "nobody"};

	/* What the log says about a failure is not of interest here. */
	jail(&j);
	if (getuid() != uid || geteuid() != uid)
		return 1;
	if (geteuid() != 0 && setuid(0) == 0)
		return 2;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0L, 0L, 0L, 0L) != 1)
		return 3;
	if (chrooted && access("/etc/passwd", F_OK) == 0)
		return 4;
	if (leak >= 0 && fcntl(leak, F_GETFD) != FD_CLOEXEC)
		return 5;
	return 0;
}

static int
in_jail(uid_t uid, bool chrooted)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(look_around(uid, chrooted));
	waitpid(pid, &status, 0);
	return status;
}

static void
test_jail(void **state)
{
	struct passwd *pw = getpwnam("nobody");

	(void)state;
	if (geteuid() != 0) {
		/* The uid stays, and the rest is done. */
		assert_int_equal(in_jail(geteuid(), false), 0);
		return;
	}
	assert_non_null(pw);
	assert_int_equal(in_jail(pw->pw_uid, false), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(in_jail(pw->pw_uid, true), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_lock_methods),
	    cmocka_unit_test(test_lock_excludes),
	    cmocka_unit_test(test_dot_lock),
	    cmocka_unit_test(test_open_safe),
	    cmocka_unit_test(test_replace),
	    cmocka_unit_test(test_mkdirs),
	    cmocka_unit_test(test_spawn_is_clean),
	    cmocka_unit_test(test_spawn_says_why),
	    cmocka_unit_test(test_wait_kills_the_group),
	    cmocka_unit_test(test_environment),
	    cmocka_unit_test(test_addresses),
	    cmocka_unit_test(test_ports),
	    cmocka_unit_test(test_own_addresses),
	    cmocka_unit_test(test_listen_and_connect),
	    cmocka_unit_test(test_jail),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
