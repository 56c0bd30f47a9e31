/* SPDX-License-Identifier: MIT */
#include "lib/sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

enum {
	SAFE_FD = 10, /* beyond those that the child rearranges */
	POLL_MIN_MSEC = 1,
	POLL_MAX_MSEC = 100,
};

extern char **environ;

static bool
place_fd(int from, int to)
{
	int fd = from;

	if (fd < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	return fd >= 0 && dup2(fd, to) >= 0;
}

/* Move fd out of the way of 0, 1 and 2. */
static int
lift_fd(int fd)
{
	return fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, SAFE_FD);
}

pid_t
proc_fork(void)
{
	struct sigaction sa = {.sa_handler = SIG_DFL};
	sigset_t all, before;
	pid_t pid;
	int saved;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	pid = fork();
	saved = errno;
	if (pid == 0) {
		for (int i = 1; i < NSIG; i++)
			sigaction(i, &sa, NULL); /* fails for some */
		sigemptyset(&before);
	}
	sigprocmask(SIG_SETMASK, &before, NULL);
	errno = saved;
	return pid;
}

/* In the child: only async-signal-safe calls. */
_Noreturn static void
become_program(const struct proc_spec *p, int report)
{
	int in, out, err;
	int code;

	report = fcntl(report, F_DUPFD_CLOEXEC, SAFE_FD);
	in = lift_fd(p->in);
	out = lift_fd(p->out);
	err = lift_fd(p->err);
	if (p->own_group)
		setpgid(0, 0);
	if (place_fd(in, 0) && place_fd(out, 1) && place_fd(err, 2) &&
	    (!p->cwd || chdir(p->cwd) == 0)) {
		/* report stays open until execve closes it. */
		close_range(3, (unsigned)report - 1, 0);
		close_range((unsigned)report + 1, ~0U, 0);
		execve(p->path, p->argv, p->envp ? p->envp : environ);
	}
	code = errno;
	if (write(report, &code, sizeof(code)) < 0)
		_exit(126);
	_exit(127);
}

pid_t
proc_spawn(const struct proc_spec *p)
{
	int pipefd[2], code = 0;
	ssize_t n;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -1;
	pid = proc_fork();
	if (pid == 0)
		become_program(p, pipefd[1]);
	code = errno;
	close(pipefd[1]);
	if (pid > 0) {
		do {
			n = read(pipefd[0], &code, sizeof(code));
		} while (n < 0 && errno == EINTR);
		if (n == (ssize_t)sizeof(code)) {
			while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
				;
			pid = -1;
		}
	}
	close(pipefd[0]);
	errno = code;
	return pid;
}

static bool
try_wait(pid_t pid, int flags, int *status)
{
	pid_t n;

	do {
		n = waitpid(pid, status, flags);
	} while (n < 0 && errno == EINTR);
	return n != 0;
}

bool
proc_wait(pid_t pid, bool own_group, int64_t deadline, int *status)
{
	int msec = POLL_MIN_MSEC;

	*status = 0;
	while (!try_wait(pid, deadline < 0 ? 0 : WNOHANG, status)) {
		if (io_monotonic() >= deadline) {
			kill(own_group ? -pid : pid, SIGKILL);
			try_wait(pid, 0, status);
			errno = ETIMEDOUT;
			return false;
		}
		poll(NULL, 0, msec);
		if (msec < POLL_MAX_MSEC)
			msec *= 2;
	}
	return true;
}

/* "NAME=VALUE", where "{ NAME = VALUE }" may have more white space. */
static char *
make_pair(struct span word)
{
	long at = span_find(word, '=');
	struct span name = span_trim(span_make(word.data, (size_t)at));
	struct span value = span_trim(span_from(word, (size_t)at + 1));

	return mem_sprintf("%.*s=%.*s", SPAN_ARG(name), SPAN_ARG(value));
}

static char *
copy_pair(struct span word)
{
	char *name = mem_strndup(word.data, word.len);
	const char *value = getenv(name);
	char *pair = value ? mem_sprintf("%s=%s", name, value) : NULL;

	free(name);
	return pair;
}

void
proc_environment(const char *list, struct strvec *env)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, span_of(list), ", \t\r\n", true);
	for (size_t i = 0; i < words.n; i++) {
		struct span w = span_of(words.v[i]);
		char *pair;

		if (w.len >= 2 && w.data[0] == '{' && w.data[w.len - 1] == '}')
			w = span_trim(span_make(w.data + 1, w.len - 2));
		pair = span_find(w, '=') > 0 ? make_pair(w) : copy_pair(w);
		if (pair)
			strvec_add(env, pair);
		free(pair);
	}
	strvec_free(&words);
}
