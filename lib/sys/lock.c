/* SPDX-License-Identifier: MIT */
#include "lib/sys/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/span.h"
#include "lib/sys/io.h"

bool
lock_parse_methods(const char *list, unsigned *methods)
{
	struct span rest = span_of(list), word;

	*methods = 0;
	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (span_equal_cstr(word, "fcntl"))
			*methods |= LOCK_BY_FCNTL;
		else if (span_equal_cstr(word, "flock"))
			*methods |= LOCK_BY_FLOCK;
		else if (span_equal_cstr(word, "dotlock"))
			*methods |= LOCK_BY_DOT;
		else
			return false;
	}
	return true;
}

static bool
set_fcntl(int fd, short type)
{
	struct flock lk = {.l_type = type, .l_whence = SEEK_SET};

	if (fcntl(fd, F_SETLK, &lk) == 0)
		return true;
	if (errno == EACCES)
		errno = EAGAIN;
	return false;
}

bool
lock_fd_now(int fd, bool exclusive, unsigned method)
{
	if (method == LOCK_BY_FCNTL)
		return set_fcntl(fd, exclusive ? F_WRLCK : F_RDLCK);
	return flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0;
}

static bool
lock_both(int fd, bool exclusive, unsigned methods)
{
	if ((methods & LOCK_BY_FCNTL) &&
	    !lock_fd_now(fd, exclusive, LOCK_BY_FCNTL))
		return false;
	if ((methods & LOCK_BY_FLOCK) &&
	    !lock_fd_now(fd, exclusive, LOCK_BY_FLOCK)) {
		int saved = errno;

		lock_fd_release(fd, methods & LOCK_BY_FCNTL);
		errno = saved;
		return false;
	}
	return true;
}

static void
pause_for(int64_t usec)
{
	poll(NULL, 0, (int)(usec / 1000));
}

bool
lock_fd(int fd, bool exclusive, const struct lock_policy *p)
{
	for (int i = 1;; i++) {
		if (lock_both(fd, exclusive, p->methods))
			return true;
		if (errno != EAGAIN && errno != EINTR)
			return false;
		if (i >= p->attempts)
			return false;
		pause_for(p->delay);
	}
}

void
lock_fd_release(int fd, unsigned methods)
{
	if (methods & LOCK_BY_FCNTL)
		set_fcntl(fd, F_UNLCK);
	if (methods & LOCK_BY_FLOCK)
		flock(fd, LOCK_UN);
}

pid_t
lock_fd_holder(int fd)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if (fcntl(fd, F_GETLK, &lk) < 0 || lk.l_type == F_UNLCK)
		return 0;
	return lk.l_pid;
}

static void
remove_stale(const char *path, int64_t stale)
{
	struct stat st;

	if (stale > 0 && stat(path, &st) == 0 &&
	    io_now() - (int64_t)st.st_ctim.tv_sec * 1000000 > stale)
		unlink(path);
}

bool
lock_dot_take(const char *path, const struct lock_policy *p)
{
	char *lock = mem_sprintf("%s.lock", path);
	int saved, fd = -1;

	for (int i = 1;; i++) {
		fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
		if (fd >= 0 || errno != EEXIST || i >= p->attempts)
			break;
		remove_stale(lock, p->stale);
		pause_for(p->delay);
	}
	saved = errno;
	free(lock);
	if (fd >= 0)
		close(fd);
	errno = saved;
	return fd >= 0;
}

void
lock_dot_release(const char *path)
{
	char *lock = mem_sprintf("%s.lock", path);

	unlink(lock);
	free(lock);
}
