/* SPDX-License-Identifier: MIT */
#include "lib/deliver/as_user_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/jail.h"

static bool
name_is_sane(const char *name)
{
	return *name && *name != '.' && *name != '-' && !strchr(name, '/');
}

/*
 * The group for a mailbox in the spool directory; and the mailbox itself,
 * when only root can make files there. Everything comes from the
 * configuration but the name, which is a user's.
 */
static gid_t
prepare_spool(const struct become *b)
{
	const char *dir = conf->mail_spool_directory;
	size_t n = strlen(dir);
	struct stat st;
	char *path;
	int fd;

	if (!n || dir[n - 1] == '/' || stat(dir, &st) < 0)
		return b->gid;
	if (st.st_mode & S_IWGRP)
		return st.st_gid;
	if ((st.st_mode & S_IWOTH) || geteuid() != 0)
		return b->gid;
	path = mem_sprintf("%s/%s", dir, b->user);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0600);
	if (fd >= 0) {
		if (fchown(fd, b->uid, b->gid) < 0)
			log_warn("chown %s: %m", path);
		close(fd);
	}
	free(path);
	return b->gid;
}

/* Whose file is it? Root's: the ids that were given. */
static bool
find_owner(struct become *b, struct why *why)
{
	const struct passwd *pw;
	struct stat st;

	if (stat(b->path, &st) < 0) {
		why_set(why,
			errno == ENOENT || errno == ENOTDIR || errno == EACCES
			    ? "5.3.5"
			    : "4.3.5",
			"unable to lookup :include: file %s: %m", b->path);
		return false;
	}
	if (!S_ISREG(st.st_mode)) {
		why_set(why, "5.3.5", ":include: file %s is not a regular file",
			b->path);
		return false;
	}
	if (st.st_mode & S_IWOTH) {
		why_set(why, "5.3.5", ":include: file %s is world writable",
			b->path);
		return false;
	}
	if (st.st_uid == 0)
		return true;
	pw = getpwuid(st.st_uid);
	if (!pw) {
		why_set(why, "4.3.5", "cannot find username for uid %ld",
			(long)st.st_uid);
		return false;
	}
	b->uid = pw->pw_uid;
	b->gid = pw->pw_gid;
	b->user[0] = '\0';
	return true;
}

/*
 * The answer to the worker's first request, when there is nothing to serve.
 * The request is thrown away unread: this process is still root.
 */
static _Noreturn void
say_no(int fd, const struct why *why)
{
	struct pollfd p = {fd, POLLIN, 0};
	char request[4096];
	struct ipc c;

	if (poll(&p, 1, 10000) > 0)
		while (recv(fd, request, sizeof(request), MSG_DONTWAIT) > 0)
			continue;
	ipc_init(&c, fd);
	ipc_begin(&c, MSG_AS_USER_DONE);
	ipc_put_num(&c, A_STATUS, AS_USER_READ_REFUSED);
	ipc_put_num(&c, A_UID, -1);
	ipc_put_num(&c, A_GID, -1);
	ipc_put_cstr(&c, A_DSN, why->dsn);
	ipc_put(&c, A_TEXT, buf_span(&why->text));
	ipc_end(&c);
	ipc_flush(&c, 10);
	_exit(0);
}

static bool
is_allowed(const struct become *b, const struct as_user_setup *setup)
{
	const struct passwd *pw;

	if (geteuid() != 0)
		return true;
	if (b->root[0] && (!setup->chroot || strcmp(b->root, setup->chroot)))
		return false;
	if (b->uid == 0) {
		pw = getpwnam(b->user);
		return setup->allow_root_path && pw && pw->pw_uid == 0 &&
		       pw->pw_gid == b->gid;
	}
	return setup->allow(b->uid, b->gid, b->user);
}

static _Noreturn void
become(int fd, struct become *b, const struct as_user_setup *setup)
{
	struct why why = WHY_INIT;
	gid_t gid;

	if (b->kind == AS_USER_FILE_OWNER && !find_owner(b, &why))
		say_no(fd, &why);
	if (!is_allowed(b, setup)) {
		why_set(&why, "4.3.5",
			"no delivery with the rights of "
			"uid %ld gid %ld",
			(long)b->uid, (long)b->gid);
		say_no(fd, &why);
	}
	if (geteuid() != 0) {
		b->uid = geteuid();
		b->gid = getegid();
	}
	gid = b->kind == AS_USER_SPOOL && name_is_sane(b->user)
		  ? prepare_spool(b)
		  : b->gid;
	if (!jail_become(b->uid, gid, b->root[0] ? b->root : NULL)) {
		why_set(&why, "4.3.0", "cannot become uid %ld gid %ld: %m",
			(long)b->uid, (long)gid);
		say_no(fd, &why);
	}
	/* The user must not look into this process, which holds the message
	 * of others in its open file. */
	prctl(PR_SET_DUMPABLE, 0L, 0L, 0L, 0L);
	as_user_child(fd, setup, b->uid == 0);
}

/*
 * One request: exactly a struct become, one descriptor, from client. -1: no
 * more workers; 0: ignored; else *fd.
 */
static int
receive(int sock, uid_t client, struct become *b, int *fd)
{
	struct iovec iov = {b, sizeof(*b)};
	union {
		char space[CMSG_SPACE(sizeof(int) * 4) +
			   CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr mh = {.msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.space,
			    .msg_controllen = sizeof(control.space)};
	ssize_t n = recvmsg(sock, &mh, MSG_CMSG_CLOEXEC);
	bool good = false;

	*fd = -1;
	if (n <= 0)
		return n < 0 && errno == EINTR ? 0 : -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c;
	     c = CMSG_NXTHDR(&mh, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(c), sizeof(cred));
			good = cred.uid == client;
		} else if (c->cmsg_type == SCM_RIGHTS && *fd < 0) {
			memcpy(fd, CMSG_DATA(c), sizeof(*fd));
		}
	}
	good = good && n == sizeof(*b) && *fd >= 0 &&
	       !(mh.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&
	       b->magic == BECOME_MAGIC && b->kind >= AS_USER_PLAIN &&
	       b->kind <= AS_USER_FILE_OWNER &&
	       b->user[sizeof(b->user) - 1] == '\0' &&
	       b->path[sizeof(b->path) - 1] == '\0' &&
	       b->root[sizeof(b->root) - 1] == '\0';
	if (!good && *fd >= 0)
		close(*fd);
	if (!good)
		log_warn("bad request to change rights");
	return good;
}

/* What belongs to the service and would be held open here: its sockets. */
static void
close_service_sockets(int keep)
{
	for (int fd = 3; fd < 256; fd++) {
		int listening = 0;
		socklen_t len = sizeof(listening);

		if (fd != keep &&
		    (fd == 3 || (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN,
					    &listening, &len) == 0 &&
				 listening)))
			close(fd);
	}
}

_Noreturn void
as_user_helper(int sock, uid_t client, const struct as_user_setup *setup)
{
	struct sigaction reap = {.sa_handler = SIG_IGN,
				 .sa_flags = SA_NOCLDWAIT};
	struct become b = {0};
	int fd, got;

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGCHLD, &reap, NULL);
	close_service_sockets(sock);
	while ((got = receive(sock, client, &b, &fd)) >= 0) {
		pid_t pid;

		if (got == 0)
			continue;
		pid = fork();
		if (pid == 0) {
			close(sock);
			become(fd, &b, setup);
		}
		if (pid < 0)
			log_warn("fork: %m");
		close(fd);
	}
	_exit(0);
}
