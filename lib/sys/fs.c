/* SPDX-License-Identifier: MIT */
#include "lib/sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/sys/io.h"

static bool
make_directory(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0)
		return true;
	if (errno != EEXIST)
		return false;
	if (stat(path, &st) < 0)
		return false;
	if (!S_ISDIR(st.st_mode)) {
		errno = ENOTDIR;
		return false;
	}
	return true;
}

bool
fs_mkdirs(const char *path, mode_t mode)
{
	char *copy = mem_strdup(path);
	bool ok = true;

	for (char *p = copy; ok && (p = strchr(p + 1, '/')) != NULL;) {
		*p = '\0';
		ok = make_directory(copy, mode);
		*p = '/';
	}
	if (ok)
		ok = make_directory(copy, mode);
	free(copy);
	return ok;
}

static const char *
find_fault(int fd, uid_t owner)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return "cannot be examined";
	if (!S_ISREG(st.st_mode))
		return "not a regular file";
	if (st.st_nlink > 1)
		return "file has more than one hard link";
	if (st.st_nlink == 0)
		return "file was removed";
	if (owner != (uid_t)-1 && st.st_uid != owner)
		return "file has an unexpected owner";
	return NULL;
}

int
fs_open_safe(const char *path, int flags, mode_t mode, uid_t owner,
	     const char **reason)
{
	/* Do not wait for a FIFO's other end, do not truncate before the file
	 * was found to be the right one. */
	int fd = open(path,
		      (flags & ~O_TRUNC) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC |
			  O_NOCTTY,
		      mode);

	*reason = NULL;
	if (fd < 0) {
		if (errno == ELOOP)
			*reason = "file is a symbolic link";
		return -1;
	}
	*reason = find_fault(fd, owner);
	if (*reason) {
		close(fd);
		errno = EPERM;
		return -1;
	}
	if (((flags & O_TRUNC) && ftruncate(fd, 0) < 0) ||
	    !io_set_nonblocking(fd, flags & O_NONBLOCK)) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool
fs_sync_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *dir = slash == path ? mem_strdup("/")
		    : slash       ? mem_strndup(path, (size_t)(slash - path))
				  : mem_strdup(".");
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	int saved = errno;

	if (fd >= 0)
		close(fd);
	free(dir);
	errno = saved;
	return ok;
}

static void
keep_owner(const char *path, int fd)
{
	struct stat st;

	/* Only root can; for others it is right already, or not to be had. */
	if (stat(path, &st) == 0 && fchown(fd, st.st_uid, st.st_gid) < 0)
		return;
}

bool
fs_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	char *temp = mem_sprintf("%s.XXXXXX", path);
	int fd = mkostemp(temp, O_CLOEXEC);
	bool ok = false;
	int saved;

	if (fd >= 0) {
		keep_owner(path, fd);
		ok = fchmod(fd, mode) == 0 && io_write_all(fd, data, len) &&
		     fsync(fd) == 0;
		saved = errno;
		close(fd);
		errno = saved;
		ok = ok && rename(temp, path) == 0;
		saved = errno;
		if (!ok)
			unlink(temp);
		errno = saved;
	}
	saved = errno;
	free(temp);
	errno = saved;
	return ok && fs_sync_parent(path);
}
