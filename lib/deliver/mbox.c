/* SPDX-License-Identifier: MIT */
#include "lib/deliver/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/deliver/dotlock.h"
#include "lib/deliver/status.h"
#include "lib/sys/io.h"

bool
mbox_parse_locks(const char *text, unsigned *locks)
{
	struct span rest = span_of(text), word;

	*locks = 0;
	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (span_equal_cstr(word, "fcntl"))
			*locks |= MBOX_LOCK_FCNTL;
		else if (span_equal_cstr(word, "flock"))
			*locks |= MBOX_LOCK_FLOCK;
		else if (span_equal_cstr(word, "dotlock"))
			*locks |= MBOX_LOCK_DOT;
		else
			return false;
	}
	return true;
}

/* A link that the administrator made, where nobody else can make one. */
static bool
is_trusted_link(const char *path, const struct stat *link)
{
	const char *slash = strrchr(path, '/');
	struct buf dir = BUF_INIT;
	struct stat st;
	bool ok;

	if (!slash || link->st_uid != 0)
		return false;
	buf_append(&dir, path, (size_t)(slash - path) + 1);
	ok = stat(buf_cstr(&dir), &st) == 0 && st.st_uid == 0 &&
	     !(st.st_mode & (S_IWGRP | S_IWOTH));
	buf_free(&dir);
	return ok;
}

/*
 * Open for appending. What a user may have put in the place of a mailbox to
 * reach other people's files (a link) is refused.
 */
static int
open_mailbox(const struct mbox_request *req, struct stat *st, bool *created,
	     struct why *why)
{
	struct stat at_path;
	int fd = open(req->path,
		      O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);

	*created = false;
	if (fd < 0 && errno == ENOENT && lstat(req->path, &at_path) < 0) {
		fd = open(req->path,
			  O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_CLOEXEC |
			      O_NOFOLLOW,
			  0600);
		*created = fd >= 0;
		if (fd < 0) {
			why_set(why, status_of_errno(errno),
				"cannot create file exclusively: %m");
			return -1;
		}
	}
	if (fd < 0) {
		if (errno == 0)
			errno = ENOENT;
		why_set(why, status_of_errno(errno), "cannot open file: %m");
		return -1;
	}
	if (fstat(fd, st) < 0 || lstat(req->path, &at_path) < 0)
		why_set(why, "5.2.0", "cannot open file: %m");
	else if (S_ISLNK(at_path.st_mode) &&
		 !is_trusted_link(req->path, &at_path))
		why_set(why, "5.2.0", "file is a symbolic link");
	else if (!S_ISLNK(at_path.st_mode) &&
		 (at_path.st_ino != st->st_ino || at_path.st_dev != st->st_dev))
		why_set(why, "4.2.0", "file was replaced while it was opened");
	else if (S_ISREG(st->st_mode) && st->st_nlink != 1)
		why_set(why, "5.2.0", "file has %ld hard links",
			(long)st->st_nlink);
	else
		return fd;
	close(fd);
	return -1;
}

static bool
lock_once(int fd, unsigned locks)
{
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

	if ((locks & MBOX_LOCK_FCNTL) && fcntl(fd, F_SETLK, &lk) < 0)
		return false;
	return !(locks & MBOX_LOCK_FLOCK) || flock(fd, LOCK_EX | LOCK_NB) == 0;
}

static bool
lock_file(const struct mbox_request *req, int fd, struct why *why)
{
	const struct timespec ts = {req->delay / 1000000,
				    req->delay % 1000000 * 1000};

	for (int i = 0; i < req->attempts || i == 0; i++) {
		if (i > 0)
			nanosleep(&ts, NULL);
		if (lock_once(fd, req->locks))
			return true;
	}
	why_set(why, "4.2.0", "unable to lock for exclusive access: %m");
	return false;
}

static bool
append(const struct mbox_request *req, int fd, bool regular, int64_t size,
       struct why *why)
{
	int64_t written;
	int saved;

	switch (copy_message(&req->source, req->head,
			     COPY_QUOTE_FROM | COPY_BLANK, NULL, fd,
			     &written)) {
	case COPY_OK:
		if (!regular)
			return true;
		if (fsync(fd) == 0) {
			if (!req->wanted || req->wanted())
				return true;
			errno = ECANCELED;
		}
		/* fall through */
	case COPY_WRITE_ERROR:
		saved = errno;
		why_set(why, status_of_errno(errno),
			"error writing message: %m");
		break;
	case COPY_READ_ERROR:
	default:
		saved = errno;
		why_set(why, "4.3.0", "error reading message: %m");
		break;
	}
	if (regular && ftruncate(fd, size) == 0)
		fsync(fd);
	errno = saved;
	return false;
}

/*
 * The name of a mailbox that is new. Not every system syncs it with the file;
 * a directory that we may not read is not ours to sync.
 */
static bool
sync_name(const char *path, struct why *why)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash ? mem_strndup(path, (size_t)(slash - path) + 1)
			  : mem_strdup(".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd < 0 || fsync(fd) == 0 || errno == EINVAL;

	if (!ok)
		why_set(why, status_of_errno(errno),
			"error writing message: %m");
	if (fd >= 0)
		close(fd);
	free(dir);
	return ok;
}

static bool
take_dotlock(const struct mbox_request *req, struct dotlock *l,
	     struct buf *warning, struct why *why)
{
	if (dotlock_take(l, req->path, req->attempts, req->delay, req->stale))
		return true;
	if (errno != EEXIST && req->lenient_dotlock) {
		buf_printf(warning, "unable to create lock file %s.lock: %m",
			   req->path);
		return true;
	}
	why_set(why, status_of_errno(errno),
		"unable to create lock file %s.lock: %m", req->path);
	return false;
}

/* A special file such as /dev/null needs no locks. */
static bool
is_special(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && !S_ISREG(st.st_mode);
}

bool
mbox_append(const struct mbox_request *req, struct buf *warning,
	    struct why *why)
{
	struct dotlock dot = DOTLOCK_INIT;
	bool created, ok = false, regular;
	struct stat st;
	int fd = -1;

	if ((req->locks & MBOX_LOCK_DOT) && !is_special(req->path) &&
	    !take_dotlock(req, &dot, warning, why))
		return false;
	fd = open_mailbox(req, &st, &created, why);
	if (fd < 0)
		goto out;
	regular = S_ISREG(st.st_mode);
	/* The reader of a FIFO would get the mail; only root makes devices. */
	if ((regular || S_ISFIFO(st.st_mode)) && req->owner >= 0 &&
	    (int64_t)st.st_uid != req->owner) {
		why_set(why, "4.2.0",
			"destination %s is not owned by recipient", req->path);
		goto out;
	}
	if (regular && (!lock_file(req, fd, why) || fstat(fd, &st) < 0))
		goto out;
	if (regular)
		dotlock_note(&dot, fd, st.st_size, req->head);
	/* Before the content: a failure leaves an empty file. */
	ok = (!created || sync_name(req->path, why)) &&
	     append(req, fd, regular, st.st_size, why);
out:
	if (fd >= 0)
		close(fd);
	dotlock_release(&dot);
	return ok;
}

int
mbox_lock(const struct mbox_request *req, struct dotlock *dot, struct why *why)
{
	struct buf warning = BUF_INIT;
	bool created;
	struct stat st;
	int fd = -1;

	if (!(req->locks & MBOX_LOCK_DOT) || is_special(req->path) ||
	    take_dotlock(req, dot, &warning, why)) {
		fd = open_mailbox(req, &st, &created, why);
		if (fd >= 0 && S_ISREG(st.st_mode) &&
		    !lock_file(req, fd, why)) {
			close(fd);
			fd = -1;
		}
		if (fd < 0)
			dotlock_release(dot);
	}
	buf_free(&warning);
	return fd;
}
