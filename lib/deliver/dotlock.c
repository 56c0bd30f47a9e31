/* SPDX-License-Identifier: MIT */
#include "lib/deliver/dotlock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/sys/io.h"

/*
 * The note: "PID\n" as other programs write it, then one line of ours, zero
 * terminated by the end of the file.
 */
enum { NOTE_MAX = 256, HEAD_MAX = 4096 };

struct note {
	long pid;
	unsigned long long started; /* of the process, clock ticks */
	unsigned long long dev, ino;
	long long size; /* of the mailbox before */
	unsigned long head_len;
	unsigned long long head_hash;
};

/* Field 22 of /proc/PID/stat: tells a process from a later one of its id. */
static unsigned long long
process_start(long pid)
{
	struct buf text = BUF_INIT;
	unsigned long long t = 0;
	char path[64];
	const char *p;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	if (io_read_file(path, 4096, &text) &&
	    (p = strrchr(buf_cstr(&text), ')')))
		sscanf(p + 1,
		       " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u"
		       " %*d %*d %*d %*d %*d %*d %llu",
		       &t);
	buf_free(&text);
	return t;
}

/* In a spool directory where all may make files, anybody can make a lock
 * file; a note makes us cut the mailbox, so only one of ours counts. */
static bool
note_is_ours(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       st.st_uid == geteuid() && st.st_nlink == 1 &&
	       !(st.st_mode & (S_IWGRP | S_IWOTH));
}

static bool
note_read(const char *path, struct note *n)
{
	char text[NOTE_MAX];
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t len =
	    fd >= 0 && note_is_ours(fd) ? read(fd, text, sizeof(text) - 1) : -1;

	if (fd >= 0)
		close(fd);
	if (len <= 0)
		return false;
	text[len] = '\0';
	*n = (struct note){0};
	return sscanf(text, "%ld\npostrider %llu %llx %llx %lld %lu %llx\n",
		      &n->pid, &n->started, &n->dev, &n->ino, &n->size,
		      &n->head_len, &n->head_hash) == 7 &&
	       n->pid > 0 && n->head_len > 0 && n->head_len <= HEAD_MAX &&
	       n->size >= 0;
}

static bool
note_is_dead(const struct note *n)
{
	if (kill((pid_t)n->pid, 0) < 0 && errno == ESRCH)
		return true;
	return n->started && process_start(n->pid) != n->started;
}

/* Is what follows size in fd the text that the note tells of? */
static bool
head_matches(int fd, const struct note *n)
{
	char text[HEAD_MAX];
	ssize_t got = pread(fd, text, n->head_len, n->size);

	/* A torso may be shorter than its head: then it cannot be told from
	 * something else, but nothing else is that short. */
	return got == (ssize_t)n->head_len &&
	       XXH3_64bits(text, n->head_len) == n->head_hash;
}

/* Cut off what a dead delivery appended; the lock is still its. */
static void
undo(const char *mailbox, const struct note *n)
{
	int fd = open(mailbox, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	struct stat st;

	if (fd < 0)
		return;
	if (fcntl(fd, F_SETLK, &lk) == 0 && fstat(fd, &st) == 0 &&
	    S_ISREG(st.st_mode) && st.st_dev == n->dev && st.st_ino == n->ino &&
	    st.st_size > n->size &&
	    (st.st_size - n->size < (off_t)n->head_len ||
	     head_matches(fd, n)) &&
	    ftruncate(fd, n->size) == 0)
		fsync(fd);
	close(fd);
}

/* The lock file exists: remove it when its owner is dead or it is old. */
static bool
remove_dead(const char *path, const char *mailbox, int64_t stale)
{
	struct note n;
	struct stat st;

	if (note_read(path, &n) && note_is_dead(&n)) {
		undo(mailbox, &n);
		return unlink(path) == 0;
	}
	/* When the file was last touched cannot be set by anybody. */
	return lstat(path, &st) == 0 && stale > 0 &&
	       io_now() - (int64_t)st.st_ctime * 1000000 > stale &&
	       unlink(path) == 0;
}

bool
dotlock_take(struct dotlock *l, const char *mailbox, int attempts,
	     int64_t delay, int64_t stale)
{
	const struct timespec ts = {delay / 1000000, delay % 1000000 * 1000};

	l->path = mem_sprintf("%s.lock", mailbox);
	for (int i = 0; i < attempts || i == 0; i++) {
		int tries = 2; /* the second after a dead one was removed */

		if (i > 0)
			nanosleep(&ts, NULL);
		while (tries-- > 0) {
			l->fd = open(l->path,
				     O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW |
					 O_CLOEXEC,
				     0600);
			if (l->fd >= 0)
				return true;
			if (errno != EEXIST)
				goto failed;
			if (!remove_dead(l->path, mailbox, stale))
				break;
		}
	}
	errno = EEXIST;
failed:
	free(l->path);
	l->path = NULL;
	return false;
}

void
dotlock_note(struct dotlock *l, int fd, int64_t size, struct span head)
{
	size_t len = head.len < HEAD_MAX ? head.len : HEAD_MAX;
	char text[NOTE_MAX];
	struct stat st;
	int n;

	if (!l->path || fstat(fd, &st) < 0)
		return;
	n = snprintf(text, sizeof(text),
		     "%ld\npostrider %llu %llx %llx %lld %zu %llx\n",
		     (long)getpid(), process_start(getpid()),
		     (unsigned long long)st.st_dev,
		     (unsigned long long)st.st_ino, (long long)size, len,
		     (unsigned long long)XXH3_64bits(head.data, len));
	/* Without the note a crash leaves what a crash leaves elsewhere. */
	if (ftruncate(l->fd, 0) == 0)
		io_pwrite_all(l->fd, text, (size_t)n, 0);
}

void
dotlock_release(struct dotlock *l)
{
	struct stat ours, there;

	if (!l->path)
		return;
	if (fstat(l->fd, &ours) == 0 && lstat(l->path, &there) == 0 &&
	    ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
		unlink(l->path);
	close(l->fd);
	free(l->path);
	*l = (struct dotlock)DOTLOCK_INIT;
}
