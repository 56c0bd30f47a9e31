/* SPDX-License-Identifier: MIT */
#include "lib/deliver/as_user.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/deliver/as_user_helper.h"
#include "lib/sys/io.h"
#include "lib/sys/jail.h"

enum {
	KEPT = 2,          /* processes that a worker keeps */
	ANSWER_WAIT = 600, /* seconds, on top of an operation's own limit */
};

struct as_user {
	struct become id;
	struct ipc c;     /* fd -1: unused */
	unsigned message; /* number of the message that it was given */
	uid_t uid;        /* who it is, as it says */
	gid_t gid;
	int64_t since; /* io_monotonic() of the latest answer */
	unsigned used; /* when, for choosing which one to give up */
};

static struct {
	int helper; /* socket to it */
	struct as_user kept[KEPT];
	unsigned clock;
	unsigned message; /* number of the one in hand; never 0 */
} self = {.helper = -1, .message = 1};

void
as_user_start(const struct as_user_setup *setup)
{
	static struct as_user_setup copy;
	const struct passwd *pw;
	uid_t client = geteuid();
	int s[2], on = 1;
	pid_t pid;

	copy = *setup;
	if (client == 0) {
		pw = getpwnam(conf->mail_owner);
		if (!pw)
			log_fatal("unknown user: %s", conf->mail_owner);
		client = pw->pw_uid;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) < 0 ||
	    setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		log_fatal("socketpair: %m");
	pid = fork();
	if (pid < 0)
		log_fatal("fork: %m");
	if (pid == 0) {
		close(s[0]);
		as_user_helper(s[1], client, &copy);
	}
	close(s[1]);
	self.helper = s[0];
	for (int i = 0; i < KEPT; i++)
		self.kept[i].c.fd = -1;
}

void
as_user_drop_root(void)
{
	const struct jail j = {.user = conf->mail_owner};

	jail(&j);
}

static void
give_up(struct as_user *u)
{
	if (u->c.fd >= 0)
		ipc_close(&u->c);
	u->c.fd = -1;
	u->message = 0;
}

void
as_user_forget(void)
{
	for (int i = 0; i < KEPT; i++)
		give_up(&self.kept[i]);
}

void
as_user_new_message(void)
{
	if (++self.message == 0)
		self.message = 1;
}

/* Without the helper nothing can be delivered: let master start afresh. */
static void
helper_is_gone(void)
{
	log_warn("the helper process is gone; this service starts again");
	kill(getppid(), SIGTERM);
}

static bool
ask_helper(const struct become *b, int fd)
{
	struct iovec iov = {(void *)(uintptr_t)b, sizeof(*b)};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
	ssize_t n;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	do
		n = sendmsg(self.helper, &mh, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n == sizeof(*b);
}

static bool
start_process(struct as_user *u, struct why *why)
{
	int s[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0) {
		why_set(why, "4.3.0", "socketpair: %m");
		return false;
	}
	if (!ask_helper(&u->id, s[1])) {
		why_set(why, "4.3.0", "cannot change rights: %m");
		helper_is_gone();
		close(s[0]);
		close(s[1]);
		return false;
	}
	close(s[1]);
	ipc_init(&u->c, s[0]);
	u->since = io_monotonic();
	u->message = 0;
	return true;
}

/* It ends by itself when it was idle for long. */
static bool
is_alive(const struct as_user *u)
{
	struct pollfd p = {u->c.fd, POLLIN, 0};

	return u->c.fd >= 0 && poll(&p, 1, 0) == 0 &&
	       io_monotonic() - u->since <
		   (AS_USER_IDLE - 2) * (int64_t)1000000;
}

static bool
fill_id(const struct as_user_id *id, struct become *b, struct why *why)
{
	const char *path = id->path ? id->path : "";
	const char *root = id->root ? id->root : "";

	*b = (struct become){.magic = BECOME_MAGIC,
			     .kind = id->kind,
			     .uid = id->uid,
			     .gid = id->gid};
	if (strlen(id->user) >= sizeof(b->user) ||
	    strlen(path) >= sizeof(b->path) ||
	    strlen(root) >= sizeof(b->root)) {
		why_set(why, "4.3.5", "name is too long");
		return false;
	}
	memcpy(b->user, id->user, strlen(id->user));
	memcpy(b->path, path, strlen(path));
	memcpy(b->root, root, strlen(root));
	return true;
}

struct as_user *
as_user_get(const struct as_user_id *id, struct why *why)
{
	struct as_user *u = &self.kept[0];
	struct become b;

	if (!fill_id(id, &b, why))
		return NULL;
	for (int i = 0; i < KEPT; i++) {
		struct as_user *k = &self.kept[i];

		if (k->c.fd >= 0 && !is_alive(k))
			give_up(k);
		/* The owner of a file is looked up each time. */
		if (k->c.fd >= 0 && id->kind != AS_USER_FILE_OWNER &&
		    memcmp(&k->id, &b, sizeof(b)) == 0) {
			k->used = ++self.clock;
			return k;
		}
		if (u->c.fd >= 0 && (k->c.fd < 0 || k->used < u->used))
			u = k;
	}
	give_up(u);
	u->id = b;
	u->used = ++self.clock;
	return start_process(u, why) ? u : NULL;
}

/* Send what was built, get the answer. false: the process is lost. */
static bool
exchange(struct as_user *u, struct ipc_msg *m, int64_t limit, struct why *why)
{
	int wait = (int)(limit / 1000000) + ANSWER_WAIT;

	/* When it could not take the request, it may have said why. */
	if (ipc_flush(&u->c, ANSWER_WAIT) != IPC_OK)
		wait = 1;
	if (ipc_recv(&u->c, m, wait) == IPC_OK && m->type == MSG_AS_USER_DONE) {
		u->since = io_monotonic();
		u->uid = (uid_t)ipc_num(m, A_UID, -1);
		u->gid = (gid_t)ipc_num(m, A_GID, -1);
		return true;
	}
	why_set(why, "4.3.0", "delivery process ended unexpectedly");
	give_up(u);
	return false;
}

/* What a frame would cut must not be used: it would mean something else. */
static bool
fits(enum msg_attr attr, const char *text, struct why *why)
{
	if (!text || strlen(text) <= proto_attr(attr)->max)
		return true;
	why_set(why, "5.3.5", "%.40s...: too long", text);
	return false;
}

static bool
all_fit(enum msg_attr attr, const struct strvec *texts, struct why *why)
{
	size_t total = 0;

	for (size_t i = 0; texts && i < texts->n; i++) {
		if (!fits(attr, texts->v[i], why))
			return false;
		total += strlen(texts->v[i]) + 6;
	}
	if (total <= IPC_FRAME_MAX / 4 &&
	    (!texts || texts->n <= IPC_ATTRS_MAX / 3))
		return true;
	why_set(why, "4.3.5", "argument list is too long");
	return false;
}

static void
begin(struct as_user *u, enum as_user_op op)
{
	ipc_begin(&u->c, MSG_AS_USER);
	ipc_put_num(&u->c, A_OPERATION, op);
}

/* The message, unless it has it. */
static void
send_message(struct as_user *u, const struct copy_source *src)
{
	if (u->message == self.message)
		return;
	u->message = self.message;
	ipc_begin(&u->c, MSG_AS_USER_MESSAGE);
	ipc_put_num(&u->c, A_OFFSET, src->offset);
	ipc_put_num(&u->c, A_LENGTH, src->length);
	ipc_end_fd(&u->c, src->fd);
}

static void
take_warnings(const struct ipc_msg *m, struct buf *warning)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].attr == A_REASON) {
			buf_append_span(warning, m->v[i].bytes);
			buf_append_byte(warning, '\n');
		}
}

static bool
finish(struct as_user *u, int64_t limit, struct buf *data, struct buf *warning,
       struct why *why)
{
	struct ipc_msg m;

	ipc_end(&u->c);
	if (!exchange(u, &m, limit, why))
		return false;
	if (warning)
		take_warnings(&m, warning);
	if (data)
		buf_append_span(data, ipc_get(&m, A_DATA));
	if (ipc_num(&m, A_STATUS, -1) == AS_USER_READ_OK)
		return true;
	if (!ipc_get_why(&m, why))
		why_set(why, "4.3.0", "delivery process gave no reason");
	return false;
}

enum as_user_read
as_user_read(struct as_user *u, const char *path, bool follow, struct buf *out,
	     struct buf *warning, struct why *why)
{
	struct ipc_msg m;
	enum as_user_read st;

	if (!fits(A_PATH, path, why))
		return AS_USER_READ_REFUSED;
	begin(u, OP_READ);
	ipc_put_cstr(&u->c, A_PATH, path);
	ipc_put_num(&u->c, A_FLAGS, follow);
	for (;;) {
		ipc_end(&u->c);
		if (!exchange(u, &m, 0, why))
			return AS_USER_READ_ERROR;
		st = (enum as_user_read)ipc_num(&m, A_STATUS,
						AS_USER_READ_ERROR);
		take_warnings(&m, warning);
		if (st != AS_USER_READ_OK)
			break;
		buf_append_span(out, ipc_get(&m, A_DATA));
		if (!ipc_num(&m, A_FLAGS, 0))
			return st;
		if (out->len > AS_USER_FILE_MAX) {
			buf_printf(warning, "file %s is too large", path);
			give_up(u);
			return AS_USER_READ_REFUSED;
		}
		begin(u, OP_READ_MORE);
	}
	if (!ipc_get_why(&m, why) && st != AS_USER_READ_ABSENT)
		why_set(why, "4.3.0", "cannot read %s", path);
	return st;
}

void
as_user_ids(const struct as_user *u, uid_t *uid, gid_t *gid)
{
	*uid = u->uid;
	*gid = u->gid;
}

bool
as_user_has_directory(struct as_user *u, const char *path, struct why *why)
{
	if (!fits(A_PATH, path, why))
		return false;
	begin(u, OP_DIRECTORY);
	ipc_put_cstr(&u->c, A_PATH, path);
	return finish(u, 0, NULL, NULL, why);
}

bool
as_user_maildir(struct as_user *u, const struct maildir_request *req,
		struct buf *warning, struct why *why)
{
	if (!fits(A_PATH, req->path, why))
		return false;
	send_message(u, &req->source);
	begin(u, OP_MAILDIR);
	ipc_put_cstr(&u->c, A_PATH, req->path);
	ipc_put_cstr(&u->c, A_NAME, req->hostname);
	ipc_put(&u->c, A_KEY, req->identity);
	ipc_put_num(&u->c, A_ARRIVAL, req->arrival);
	ipc_put(&u->c, A_DATA, req->head);
	return finish(u, 0, NULL, warning, why);
}

bool
as_user_mbox(struct as_user *u, const struct mbox_request *req,
	     struct buf *warning, struct why *why)
{
	int64_t locking =
	    conf->deliver_lock_attempts * 2 * conf->deliver_lock_delay;

	if (!fits(A_PATH, req->path, why))
		return false;
	send_message(u, &req->source);
	begin(u, OP_MBOX);
	ipc_put_cstr(&u->c, A_PATH, req->path);
	ipc_put_num(&u->c, A_FLAGS,
		    (int64_t)req->locks |
			(req->lenient_dotlock ? OP_MBOX_LENIENT : 0) |
			(req->owner >= 0 ? OP_MBOX_OWNER : 0));
	ipc_put(&u->c, A_DATA, req->head);
	return finish(u, locking, NULL, warning, why);
}

bool
as_user_command(struct as_user *u, const struct command_request *req,
		struct buf *output, struct buf *warning, struct why *why)
{
	if (!fits(A_COMMAND, req->command, why) ||
	    !fits(A_PATH, req->directory, why) ||
	    !fits(A_NAME, req->shell, why) || !all_fit(A_ARG, req->argv, why) ||
	    !all_fit(A_ENV, req->env, why))
		return false;
	send_message(u, &req->source);
	begin(u, OP_COMMAND);
	if (req->command)
		ipc_put_cstr(&u->c, A_COMMAND, req->command);
	for (size_t i = 0; req->argv && i < req->argv->n; i++)
		ipc_put_cstr(&u->c, A_ARG, req->argv->v[i]);
	for (size_t i = 0; req->env && i < req->env->n; i++)
		ipc_put_cstr(&u->c, A_ENV, req->env->v[i]);
	if (req->shell)
		ipc_put_cstr(&u->c, A_NAME, req->shell);
	if (req->directory)
		ipc_put_cstr(&u->c, A_PATH, req->directory);
	ipc_put_num(&u->c, A_FLAGS, req->copy_flags);
	if (req->eol)
		ipc_put_cstr(&u->c, A_EOL, req->eol);
	ipc_put_num(&u->c, A_TIME_LIMIT, req->time_limit);
	ipc_put(&u->c, A_DATA, req->head);
	return finish(u, req->time_limit, output, warning, why);
}

bool
as_user_serve(struct as_user *u, const struct strvec *argv,
	      const struct strvec *env, int fd, int64_t time_limit,
	      struct why *why)
{
	const struct copy_source src = {fd, 0, 0};

	if (!all_fit(A_ARG, argv, why) || !all_fit(A_ENV, env, why))
		return false;
	as_user_new_message();
	send_message(u, &src);
	begin(u, OP_SERVE);
	for (size_t i = 0; i < argv->n; i++)
		ipc_put_cstr(&u->c, A_ARG, argv->v[i]);
	for (size_t i = 0; i < env->n; i++)
		ipc_put_cstr(&u->c, A_ENV, env->v[i]);
	ipc_put_num(&u->c, A_TIME_LIMIT, time_limit);
	return finish(u, time_limit, NULL, NULL, why);
}
