/* SPDX-License-Identifier: MIT */
#include "lib/deliver/command.h"

#include <errno.h>
#include <fcntl.h>
#include <paths.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "lib/sys/io.h"

enum {
	CHUNK = 32 * 1024,
	REAP_POLL = 100,    /* ms, where the kernel has no pidfd */
	LINGER = 10 * 1000, /* us: output behind the end of the program */
};

/* A program that is running. */
struct run {
	const struct command_request *req;
	struct copy_filter filter;
	struct buf pending; /* for its standard input */
	struct buf in;
	struct buf out; /* what it wrote, raw, bounded */
	int64_t at;     /* bytes of the content that were read */
	int to, from;   /* pipes; -1: closed */
	int pidfd;
	pid_t pid;
	bool exited, timed_out, read_failed;
	int status;
};

/* Between fork and exec: async-signal-safe enough, one thread only. */
static _Noreturn void
exec_failed(const char *program, const char *where, const char *what)
{
	dprintf(STDERR_FILENO, "%s: fatal: %sexecvp %s: %s\n", program, where,
		what, strerror(errno));
	_exit(EX_TEMPFAIL);
}

static _Noreturn void
exec_words(const struct strvec *words, const char *program)
{
	if (words->n == 0) {
		errno = ENOENT;
		exec_failed(program, "", "");
	}
	execvp(words->v[0], words->v);
	exec_failed(program, "", words->v[0]);
}

static _Noreturn void
exec_line(const struct command_request *req)
{
	struct strvec words = STRVEC_INIT;

	if (req->shell && *req->shell) {
		strvec_split(&words, span_of(req->shell), " \t\r\n", false);
		strvec_add(&words, req->command);
		exec_words(&words, req->program);
	}
	if (!command_needs_shell(req->command)) {
		strvec_split(&words, span_of(req->command), " \t\r\n", false);
		/* A bare name that is no program may be built into the shell */
		if (words.n) {
			execvp(words.v[0], words.v);
			if (errno != ENOENT || strchr(words.v[0], '/'))
				exec_failed(req->program, "", words.v[0]);
		}
	}
	execl(_PATH_BSHELL, "sh", "-c", req->command, (char *)NULL);
	exec_failed(req->program, "", _PATH_BSHELL);
}

/* What the program has for its own: three descriptors and defaults. */
static void
enter_program(int in, int out)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	setsid();
	if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
	    dup2(out, STDERR_FILENO) < 0)
		_exit(EX_TEMPFAIL);
	if (syscall(SYS_close_range, 3U, ~0U, 0) < 0)
		for (int fd = 3; fd < 1024; fd++)
			close(fd);
}

static _Noreturn void
run_child(const struct command_request *req, int in, int out)
{
	static char *no_env[] = {NULL};

	enter_program(in, out);
	if (req->directory && *req->directory && chdir(req->directory) < 0)
		_exit(EX_TEMPFAIL);
	environ = req->env && req->env->n ? req->env->v : no_env;
	if (req->command)
		exec_line(req);
	execvp(req->argv->v[0], req->argv->v);
	exec_failed(req->program, "pipe_command: ", req->argv->v[0]);
}

static bool
can_enter(const char *directory, struct buf *warning)
{
	int fd;

	if (!directory || !*directory)
		return true;
	fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		close(fd);
		if (access(directory, X_OK) == 0)
			return true;
	}
	buf_printf(warning,
		   "cannot change directory to \"%s\" for uid=%ld gid=%ld: %m",
		   directory, (long)geteuid(), (long)getegid());
	return false;
}

static bool
start(struct run *r, struct why *why)
{
	int in[2] = {-1, -1}, out[2] = {-1, -1};

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		goto failed;
	r->pid = fork();
	if (r->pid == 0)
		run_child(r->req, in[0], out[1]);
	if (r->pid < 0)
		goto failed;
	close(in[0]);
	close(out[1]);
	r->to = in[1];
	r->from = out[0];
	io_set_nonblocking(r->to, true);
	io_set_nonblocking(r->from, true);
#ifdef SYS_pidfd_open
	r->pidfd = (int)syscall(SYS_pidfd_open, r->pid, 0U);
#endif
	return true;
failed:
	why_set(why, "4.3.0", "cannot start command: %m");
	for (int i = 0; i < 2; i++) {
		if (in[i] >= 0)
			close(in[i]);
		if (out[i] >= 0)
			close(out[i]);
	}
	return false;
}

static void
close_end(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* More of the message into pending. */
static void
refill(struct run *r)
{
	const struct copy_source *src = &r->req->source;
	int64_t left = src->length - r->at;
	size_t n = left < CHUNK ? (size_t)left : CHUNK;

	if (n) {
		buf_reserve(&r->in, n);
		if (!io_pread_all(src->fd, r->in.data, n,
				  src->offset + r->at)) {
			r->read_failed = true;
			return;
		}
		r->in.len = n;
		copy_filter_run(&r->filter, buf_span(&r->in), &r->pending);
		buf_reset(&r->in);
		r->at += (int64_t)n;
	}
	if (r->at == src->length)
		copy_filter_end(&r->filter, &r->pending);
}

static void
feed(struct run *r)
{
	ssize_t n;

	if (!r->pending.len && r->at < r->req->source.length)
		refill(r);
	if (r->read_failed)
		return;
	n = write(r->to, r->pending.data, r->pending.len);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0) {
		/* It does not want (all of) the message: its own business. */
		close_end(&r->to);
		return;
	}
	buf_consume(&r->pending, (size_t)n);
	if (!r->pending.len && r->at == r->req->source.length)
		close_end(&r->to);
}

static void
collect(struct run *r)
{
	char text[4096];
	ssize_t n = read(r->from, text, sizeof(text));
	size_t room = COMMAND_OUTPUT_MAX - r->out.len;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		close_end(&r->from);
		return;
	}
	buf_append(&r->out, text, (size_t)n < room ? (size_t)n : room);
}

static void
reap(struct run *r)
{
	if (!r->exited && waitpid(r->pid, &r->status, WNOHANG) == r->pid)
		r->exited = true;
}

/* Until the program has ended and its output is read, or time is up. */
static void
converse(struct run *r, int64_t deadline)
{
	while (!r->exited || r->from >= 0) {
		struct pollfd p[3] = {{r->to, POLLOUT, 0},
				      {r->from, POLLIN, 0},
				      {r->exited ? -1 : r->pidfd, POLLIN, 0}};
		int64_t left = deadline - io_monotonic();
		int ms =
		    left > 3600000000LL ? 3600000 : (int)((left + 999) / 1000);
		int n;

		if (left <= 0) {
			r->timed_out = !r->exited;
			return;
		}
		if (r->pidfd < 0 && ms > REAP_POLL)
			ms = REAP_POLL;
		n = poll(p, 3, ms);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0 && p[0].revents)
			feed(r);
		if (n > 0 && p[1].revents)
			collect(r);
		if (r->read_failed)
			return;
		if (!r->exited) {
			reap(r);
			/* What it left running does not keep the mail. */
			if (r->exited && deadline > io_monotonic() + LINGER)
				deadline = io_monotonic() + LINGER;
		}
	}
}

static void
make_printable(struct span raw, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < raw.len; i++) {
		unsigned char c = (unsigned char)raw.data[i];

		buf_append_byte(out, c == '\n'             ? ' '
				     : c < ' ' || c >= 127 ? '_'
							   : (char)c);
	}
}

bool
command_run(const struct command_request *req, struct buf *output,
	    struct buf *warning, struct why *why)
{
	struct run r = {.req = req, .to = -1, .from = -1, .pidfd = -1};
	struct buf line = BUF_INIT;
	bool ok = false;

	r.filter.flags = req->copy_flags;
	r.filter.eol = req->eol;
	buf_append_span(&r.pending, req->head);
	for (size_t i = 0; req->argv && i < req->argv->n; i++)
		buf_printf(&line, "%s%s", i ? " " : "", req->argv->v[i]);
	if (!can_enter(req->directory, warning)) {
		command_status(EX_TEMPFAIL << 8, false, "", span_of(NULL), why);
		goto out;
	}
	if (!start(&r, why))
		goto out;
	if (!r.pending.len && req->source.length == 0)
		close_end(&r.to);
	converse(&r, io_monotonic() + req->time_limit);
	close_end(&r.to);
	close_end(&r.from);
	if (!r.exited) {
		kill(-r.pid, SIGKILL);
		kill(r.pid, SIGKILL);
		while (waitpid(r.pid, &r.status, 0) < 0 && errno == EINTR)
			continue;
	}
	make_printable(buf_span(&r.out), output);
	if (r.read_failed)
		why_set(why, "4.3.0", "error reading message: %m");
	else if (r.timed_out || !WIFEXITED(r.status) ||
		 WEXITSTATUS(r.status) != 0)
		command_status(r.status, r.timed_out,
			       req->command ? req->command : buf_cstr(&line),
			       buf_span(output), why);
	else
		ok = true;
	if (r.timed_out)
		buf_append_cstr(warning, "pipe_command_read: read time limit "
					 "exceeded");
out:
	close_end(&r.pidfd);
	buf_free(&line);
	buf_free(&r.pending);
	buf_free(&r.in);
	buf_free(&r.out);
	return ok;
}

/* The end of pid, at most until deadline. */
static bool
wait_for_end(pid_t pid, int64_t deadline, int *status)
{
	const struct timespec ts = {0, REAP_POLL * 1000000L};
	struct pollfd p = {-1, POLLIN, 0};
	bool ended = false;

#ifdef SYS_pidfd_open
	p.fd = (int)syscall(SYS_pidfd_open, pid, 0U);
#endif
	while (!ended && io_monotonic() < deadline) {
		int64_t left = (deadline - io_monotonic()) / 1000 + 1;

		if (p.fd < 0)
			nanosleep(&ts, NULL);
		else
			poll(&p, 1, left > 3600000 ? 3600000 : (int)left);
		ended = waitpid(pid, status, WNOHANG) == pid;
	}
	close_end(&p.fd);
	return ended;
}

bool
command_serve(const struct strvec *argv, const struct strvec *env, int fd,
	      int64_t time_limit, const char *program, struct why *why)
{
	int64_t deadline = io_monotonic() + time_limit;
	int status = 0;
	pid_t pid = fork();
	bool ended;

	if (pid == 0) {
		enter_program(fd, fd);
		environ = env->v;
		execvp(argv->v[0], argv->v);
		exec_failed(program, "", argv->v[0]);
	}
	if (pid < 0) {
		why_set(why, "4.3.0", "cannot start command: %m");
		return false;
	}
	ended = wait_for_end(pid, deadline, &status);
	if (!ended) {
		kill(-pid, SIGKILL);
		kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
		why_set(why, "4.3.0", "command %s: time limit exceeded",
			argv->v[0]);
	} else if (WIFSIGNALED(status)) {
		why_set(why, "4.3.0",
			"command %s process id %ld killed by "
			"signal %d",
			argv->v[0], (long)pid, WTERMSIG(status));
	} else if (WEXITSTATUS(status)) {
		why_set(why, "4.3.0", "command %s exit status %d", argv->v[0],
			WEXITSTATUS(status));
	} else {
		return true;
	}
	return false;
}
