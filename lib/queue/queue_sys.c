/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"

int (*queue_sys_hook)(enum queue_sys_op op);

/* May the operation be done? */
static bool
allowed(enum queue_sys_op op)
{
	int error = queue_sys_hook ? queue_sys_hook(op) : 0;

	if (error)
		errno = error;
	return error == 0;
}

int
queue_sys_create(const char *path, mode_t mode)
{
	if (!allowed(QUEUE_SYS_CREATE))
		return -1;
	return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    mode);
}

/* Skip what was written; returns the number of vectors done with. */
static int
advance(struct iovec *iov, int n, size_t done)
{
	int i = 0;

	while (i < n && done >= iov[i].iov_len)
		done -= iov[i++].iov_len;
	if (i < n) {
		iov[i].iov_base = (char *)iov[i].iov_base + done;
		iov[i].iov_len -= done;
	}
	return i;
}

bool
queue_sys_writev(int fd, struct iovec *iov, int n, int64_t offset)
{
	if (!allowed(QUEUE_SYS_WRITE))
		return false;
	while (n > 0) {
		ssize_t done =
		    n == 1 ? pwrite(fd, iov->iov_base, iov->iov_len, offset)
			   : pwritev(fd, iov, n, offset);
		int skip;

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		offset += done;
		skip = advance(iov, n, (size_t)done);
		iov += skip;
		n -= skip;
	}
	return true;
}

bool
queue_sys_write(int fd, const void *data, size_t len, int64_t offset)
{
	struct iovec iov = {(void *)data, len};

	return queue_sys_writev(fd, &iov, 1, offset);
}

bool
queue_sys_writev_durable(int fd, struct iovec *iov, int n, int64_t offset)
{
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += iov[i].iov_len;
	/* A test may fail the sync behind a write that was done. */
	if (!queue_sys_hook) {
		ssize_t done = pwritev2(fd, iov, n, offset, RWF_DSYNC);

		if (done == (ssize_t)len)
			return true;
		if (done < 0 && errno != EOPNOTSUPP && errno != ENOSYS &&
		    errno != EINVAL && errno != EINTR)
			return false;
	}
	return queue_sys_writev(fd, iov, n, offset) && queue_sys_datasync(fd);
}

bool
queue_sys_write_durable(int fd, const void *data, size_t len, int64_t offset)
{
	struct iovec iov = {(void *)(uintptr_t)data, len};

	return queue_sys_writev_durable(fd, &iov, 1, offset);
}

bool
queue_sys_datasync(int fd)
{
	int rc;

	if (!allowed(QUEUE_SYS_SYNC))
		return false;
	do
		rc = fdatasync(fd);
	while (rc < 0 && errno == EINTR);
	return rc == 0;
}

bool
queue_sys_sync_dir(const char *path)
{
	int fd, rc, saved;

	if (!allowed(QUEUE_SYS_SYNC))
		return false;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == EACCES;
	do
		rc = fsync(fd);
	while (rc < 0 && errno == EINTR);
	saved = errno;
	close(fd);
	errno = saved;
	return rc == 0 || saved == EINVAL;
}

bool
queue_sys_sync_parent(const char *path)
{
	long slash = span_rfind(span_of(path), '/');
	struct buf dir = BUF_INIT;
	bool ok;

	if (slash <= 0)
		return queue_sys_sync_dir(".");
	buf_append(&dir, path, (size_t)slash);
	ok = queue_sys_sync_dir(buf_cstr(&dir));
	buf_free(&dir);
	return ok;
}

bool
queue_sys_rename(const char *from, const char *to)
{
	return allowed(QUEUE_SYS_RENAME) && rename(from, to) == 0;
}

bool
queue_sys_unlink(const char *path)
{
	return allowed(QUEUE_SYS_UNLINK) && unlink(path) == 0;
}

bool
queue_sys_truncate(int fd, int64_t length)
{
	return allowed(QUEUE_SYS_TRUNCATE) && ftruncate(fd, length) == 0;
}

bool
queue_sys_make_parents(const char *path)
{
	struct buf dir = BUF_INIT;
	bool ok = true;

	for (const char *p = strchr(path, '/'); p && ok;
	     p = strchr(p + 1, '/')) {
		if (p == path)
			continue;
		buf_set(&dir, span_make(path, (size_t)(p - path)));
		if (mkdir(buf_cstr(&dir), 0700) == 0)
			ok = queue_sys_sync_parent(buf_cstr(&dir));
		else
			ok = errno == EEXIST;
	}
	buf_free(&dir);
	return ok;
}

uint64_t
queue_sys_random(void)
{
	uint64_t v = 0;

	while (v == 0)
		if (getrandom(&v, sizeof(v), 0) != sizeof(v))
			v = (uint64_t)time(NULL) << 20 ^ (uint64_t)getpid();
	return v;
}
