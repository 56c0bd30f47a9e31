/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/deliver/as_user_wire.h"
#include "lib/sys/io.h"

/* This process. */
static struct {
	const struct as_user_setup *setup;
	struct ipc c;
	struct copy_source message; /* of the latest MSG_AS_USER_MESSAGE */
	int file;                   /* being read, or -1 */
	bool is_root;
} child;

static void
reply(enum as_user_read status, struct span data, bool more,
      const struct buf *warning, const struct why *why)
{
	struct span warnings = warning ? buf_span(warning) : span_of(NULL);
	struct ipc *c = &child.c;
	struct span line;

	ipc_begin(c, MSG_AS_USER_DONE);
	ipc_put_num(c, A_STATUS, status);
	if (data.len)
		ipc_put(c, A_DATA, data);
	if (more)
		ipc_put_num(c, A_FLAGS, 1);
	ipc_put_num(c, A_UID, (int64_t)geteuid());
	ipc_put_num(c, A_GID, (int64_t)getegid());
	while (span_next_token(&warnings, "\n", &line))
		ipc_put(c, A_REASON, line);
	if (why && why_is_set(why)) {
		ipc_put_cstr(c, A_DSN, why->dsn);
		ipc_put(c, A_TEXT, buf_span(&why->text));
		if (why->diagnostic.len)
			ipc_put(c, A_DIAGNOSTIC, buf_span(&why->diagnostic));
		if (why->diag_type)
			ipc_put_cstr(c, A_DIAG_TYPE, why->diag_type);
	}
	ipc_end(c);
}

/* Root's process goes only where the service's rule lets it. */
static bool
path_allowed(const char *path)
{
	return !child.is_root || (child.setup->allow_root_path &&
				  child.setup->allow_root_path(path));
}

static void
read_some(void)
{
	char *piece = malloc(AS_USER_CHUNK);
	ssize_t n = piece ? read(child.file, piece, AS_USER_CHUNK) : -1;
	struct why why = WHY_INIT;

	if (n < 0) {
		why_set(&why, "4.3.0", "read error: %m");
		reply(AS_USER_READ_ERROR, span_of(NULL), false, NULL, &why);
		why_free(&why);
		n = 0;
	} else {
		reply(AS_USER_READ_OK, span_make(piece, (size_t)n), n > 0, NULL,
		      NULL);
	}
	if (n == 0) {
		close(child.file);
		child.file = -1;
	}
	free(piece);
}

static enum as_user_read
refuse(struct buf *warning, const char *fmt, const char *path, long number)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	buf_printf(warning, fmt, path, number);
#pragma GCC diagnostic pop
	return AS_USER_READ_REFUSED;
}

static enum as_user_read
open_checked(const char *path, bool follow, struct buf *warning)
{
	struct stat st;
	int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;

	if (!path_allowed(path) ||
	    fstatat(AT_FDCWD, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW) < 0)
		/* A home that cannot be entered has no file to read. */
		return AS_USER_READ_ABSENT;
	if (!S_ISREG(st.st_mode))
		return refuse(warning, "file %s is not a regular file", path,
			      0);
	child.file = open(path, flags | (follow ? 0 : O_NOFOLLOW));
	if (child.file < 0) {
		buf_printf(warning, "cannot open file %s: %m", path);
		return AS_USER_READ_REFUSED;
	}
	if (fstat(child.file, &st) < 0 || !S_ISREG(st.st_mode))
		return refuse(warning, "file %s is not a regular file", path,
			      0);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return refuse(warning, "file %s has bad owner uid %ld", path,
			      (long)st.st_uid);
	if (st.st_mode & S_IWOTH)
		return refuse(warning, "file %s is world writable", path, 0);
	return AS_USER_READ_OK;
}

static void
op_read(const struct ipc_msg *m)
{
	char *path = ipc_dup(m, A_PATH);
	struct buf warning = BUF_INIT;
	enum as_user_read st;

	if (child.file >= 0)
		close(child.file);
	child.file = -1;
	st = open_checked(path, ipc_num(m, A_FLAGS, 0) & 1, &warning);
	if (st == AS_USER_READ_OK) {
		read_some();
	} else {
		if (child.file >= 0)
			close(child.file);
		child.file = -1;
		reply(st, span_of(NULL), false, &warning, NULL);
	}
	buf_free(&warning);
	free(path);
}

static void
op_directory(const struct ipc_msg *m)
{
	char *path = ipc_dup(m, A_PATH);
	struct why why = WHY_INIT;
	struct stat st;

	if (!path_allowed(path))
		errno = EPERM;
	else if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		errno = 0;
	else if (errno == 0)
		errno = ENOTDIR;
	if (errno)
		why_set(&why, "4.3.0", "%m");
	reply(errno ? AS_USER_READ_REFUSED : AS_USER_READ_OK, span_of(NULL),
	      false, NULL, &why);
	why_free(&why);
	free(path);
}

static void
done(bool ok, struct span data, const struct buf *warning,
     const struct why *why)
{
	reply(ok ? AS_USER_READ_OK : AS_USER_READ_REFUSED, data, false, warning,
	      ok ? NULL : why);
}

/* In a spool directory where all may make files, root's Maildir could be
 * somebody else's, with links in it that lead anywhere. */
static bool
is_roots_own(const char *path)
{
	size_t n = strlen(path);
	struct stat st;
	char *dir;
	bool ok;

	while (n > 1 && path[n - 1] == '/')
		n--;
	dir = mem_strndup(path, n);
	if (mkdir(dir, 0700) < 0 && errno == ENOENT)
		ok = true; /* what is missing above it, root makes */
	else
		ok = lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
		     st.st_uid == 0 && !(st.st_mode & (S_IWGRP | S_IWOTH));
	free(dir);
	return ok;
}

static void
op_maildir(const struct ipc_msg *m)
{
	char *path = ipc_dup(m, A_PATH), *host = ipc_dup(m, A_NAME);
	struct maildir_request req = {
	    .path = path,
	    .hostname = host,
	    .source = child.message,
	    .head = ipc_get(m, A_DATA),
	    .identity = ipc_get(m, A_KEY),
	    .arrival = ipc_num(m, A_ARRIVAL, 0),
	};
	struct buf warning = BUF_INIT;
	struct why why = WHY_INIT;
	bool access_problem, ok = false;

	if (!path_allowed(path)) {
		why_set(&why, "5.2.0",
			"maildir delivery failed: "
			"not permitted for this user");
	} else if (child.is_root && !is_roots_own(path)) {
		why_set(&why, "4.2.0",
			"maildir delivery failed: "
			"%s is not a directory of root's own",
			path);
	} else {
		ok = maildir_deliver(&req, &access_problem, &why);
		if (!ok && access_problem)
			buf_printf(&warning,
				   "maildir access problem for UID/GID="
				   "%ld/%ld: %s\nperhaps you need to create "
				   "the maildirs in advance",
				   (long)geteuid(), (long)getegid(),
				   strstr(buf_cstr(&why.text), ": ") + 2);
	}
	done(ok, span_of(NULL), &warning, &why);
	buf_free(&warning);
	why_free(&why);
	free(path);
	free(host);
}

/* A worker that was killed has not told: the mail will come again. */
static bool
worker_is_there(void)
{
	struct pollfd p = {child.c.fd, POLLIN, 0};

	return poll(&p, 1, 0) == 0 || !(p.revents & (POLLHUP | POLLERR));
}

static void
op_mbox(const struct ipc_msg *m)
{
	int64_t flags = ipc_num(m, A_FLAGS, 0);
	char *path = ipc_dup(m, A_PATH);
	struct mbox_request req = {
	    .path = path,
	    .source = child.message,
	    .head = ipc_get(m, A_DATA),
	    .locks = flags & 0xff,
	    .attempts = conf->deliver_lock_attempts,
	    .delay = conf->deliver_lock_delay,
	    .stale = conf->stale_lock_time,
	    .lenient_dotlock = flags & OP_MBOX_LENIENT,
	    .owner = flags & OP_MBOX_OWNER ? (int64_t)geteuid() : -1,
	    .wanted = worker_is_there,
	};
	struct buf warning = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok = false;

	if (!path_allowed(path))
		why_set(&why, "5.2.0", "not permitted for this user");
	else
		ok = mbox_append(&req, &warning, &why);
	done(ok, span_of(NULL), &warning, &why);
	buf_free(&warning);
	why_free(&why);
	free(path);
}

static void
collect(const struct ipc_msg *m, enum msg_attr attr, struct strvec *out)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].attr == attr)
			strvec_add_span(out, m->v[i].bytes);
}

static void
op_command(const struct ipc_msg *m)
{
	char *command = ipc_dup(m, A_COMMAND), *shell = ipc_dup(m, A_NAME);
	char *directory = ipc_dup(m, A_PATH), *eol = ipc_dup(m, A_EOL);
	struct strvec argv = STRVEC_INIT, env = STRVEC_INIT;
	struct command_request req = {
	    .command = *command ? command : NULL,
	    .shell = shell,
	    .argv = &argv,
	    .env = &env,
	    .directory = directory,
	    .source = child.message,
	    .head = ipc_get(m, A_DATA),
	    .copy_flags = (unsigned)ipc_num(m, A_FLAGS, 0),
	    .eol = ipc_has(m, A_EOL) ? eol : NULL,
	    .time_limit = ipc_num(m, A_TIME_LIMIT, 0),
	    .program = child.setup->program,
	};
	struct buf warning = BUF_INIT, output = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok = false;

	collect(m, A_ARG, &argv);
	collect(m, A_ENV, &env);
	if (child.is_root)
		why_set(&why, "5.7.1", "no command runs as root");
	else
		ok = command_run(&req, &output, &warning, &why);
	done(ok, buf_span(&output), &warning, &why);
	buf_free(&output);
	buf_free(&warning);
	why_free(&why);
	strvec_free(&argv);
	strvec_free(&env);
	free(command);
	free(shell);
	free(directory);
	free(eol);
}

static void
op_serve(const struct ipc_msg *m)
{
	struct strvec argv = STRVEC_INIT, env = STRVEC_INIT;
	struct why why = WHY_INIT;
	bool ok = false;

	collect(m, A_ARG, &argv);
	collect(m, A_ENV, &env);
	if (child.is_root || !argv.n || !env.n)
		why_set(&why, "5.7.1", "nothing to run");
	else
		ok = command_serve(&argv, &env, child.message.fd,
				   ipc_num(m, A_TIME_LIMIT, 0),
				   child.setup->program, &why);
	close(child.message.fd);
	child.message.fd = -1;
	done(ok, span_of(NULL), NULL, &why);
	strvec_free(&argv);
	strvec_free(&env);
	why_free(&why);
}

static void
take_message(const struct ipc_msg *m)
{
	if (child.message.fd >= 0)
		close(child.message.fd);
	child.message = (struct copy_source){
	    .fd = m->fd,
	    .offset = ipc_num(m, A_OFFSET, 0),
	    .length = ipc_num(m, A_LENGTH, 0),
	};
}

static bool
dispatch(const struct ipc_msg *m)
{
	int64_t op = ipc_num(m, A_OPERATION, 0);

	if (m->type == MSG_AS_USER_MESSAGE) {
		take_message(m);
		return true;
	}
	if (m->type != MSG_AS_USER)
		return false;
	if (op >= OP_MAILDIR && child.message.fd < 0)
		return false;
	switch (op) {
	case OP_READ:
		op_read(m);
		return true;
	case OP_READ_MORE:
		if (child.file < 0)
			return false;
		read_some();
		return true;
	case OP_DIRECTORY:
		op_directory(m);
		return true;
	case OP_MAILDIR:
		op_maildir(m);
		return true;
	case OP_MBOX:
		op_mbox(m);
		return true;
	case OP_COMMAND:
		op_command(m);
		return true;
	case OP_SERVE:
		op_serve(m);
		return true;
	default:
		return false;
	}
}

static void
set_limits(void)
{
	struct rlimit lim;

	signal(SIGXFSZ, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	umask(077);
	if (child.setup->file_limit > 0 && getrlimit(RLIMIT_FSIZE, &lim) == 0 &&
	    (lim.rlim_max == RLIM_INFINITY ||
	     lim.rlim_max > (rlim_t)child.setup->file_limit)) {
		lim.rlim_cur = lim.rlim_max = (rlim_t)child.setup->file_limit;
		setrlimit(RLIMIT_FSIZE, &lim);
	}
}

_Noreturn void
as_user_child(int fd, const struct as_user_setup *setup, bool is_root)
{
	struct ipc_msg m;

	child.setup = setup;
	child.is_root = is_root;
	child.file = -1;
	child.message.fd = -1;
	ipc_init(&child.c, fd);
	set_limits();
	while (ipc_recv(&child.c, &m, AS_USER_IDLE) == IPC_OK) {
		if (!dispatch(&m) || ipc_flush(&child.c, 60) != IPC_OK)
			break;
	}
	_exit(0);
}
