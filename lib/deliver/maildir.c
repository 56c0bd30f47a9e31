/* SPDX-License-Identifier: MIT */
#include "lib/deliver/maildir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>
#include <xxhash.h>

#include <linux/magic.h>

#include "lib/base/mem.h"
#include "lib/deliver/status.h"
#include "lib/sys/io.h"

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

enum {
	TMP_TRIES = 100,  /* names in tmp/ */
	NAME_TRIES = 100, /* names in new/ that other messages may hold */
};

/* One delivery under way. */
struct maildir {
	const struct maildir_request *req;
	char *dir; /* with final '/' */
	char *tmp;
	int fd;
	int64_t size;
};

static bool
fail(struct why *why, int error, const char *what, const char *path)
{
	errno = error;
	why_set(why, status_of_errno(error),
		"maildir delivery failed: %s %s: %m", what, path);
	errno = error;
	return false;
}

/* path and what is missing above it. */
static bool
make_path(const char *path)
{
	char *copy = mem_strdup(path);
	bool ok = true;
	int saved = 0;

	for (char *p = copy + 1; ok && *p; p++) {
		if (*p != '/')
			continue;
		*p = '\0';
		ok = mkdir(copy, 0700) == 0 || errno == EEXIST;
		saved = errno;
		/* Above a home directory there is nothing to be made. */
		ok = ok || access(copy, F_OK) == 0;
		*p = '/';
	}
	free(copy);
	errno = saved;
	return ok;
}

static bool
make_dirs(const char *dir)
{
	static const char *const sub[] = {"tmp/", "new/", "cur/"};
	bool ok = true;

	for (size_t i = 0; ok && i < sizeof(sub) / sizeof(sub[0]); i++) {
		char *path = mem_sprintf("%s%s", dir, sub[i]);
		int saved;

		ok = make_path(path);
		saved = errno;
		free(path);
		errno = saved;
	}
	return ok;
}

static int
open_tmp(struct maildir *m)
{
	int64_t now = io_now() / 1000000;

	for (int i = 0; i < TMP_TRIES; i++) {
		int fd;

		free(m->tmp);
		m->tmp = i == 0 ? mem_sprintf("%stmp/%lld.P%ld.%s", m->dir,
					      (long long)now, (long)getpid(),
					      m->req->hostname)
				: mem_sprintf("%stmp/%lld.P%ldQ%d.%s", m->dir,
					      (long long)now, (long)getpid(), i,
					      m->req->hostname);
		fd = open(m->tmp,
			  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			  0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
	}
	return -1;
}

static bool
create_tmp(struct maildir *m, bool *access_problem, struct why *why)
{
	m->fd = open_tmp(m);
	if (m->fd < 0 && errno == ENOENT && make_dirs(m->dir))
		m->fd = open_tmp(m);
	if (m->fd < 0) {
		*access_problem = errno == EACCES || errno == EPERM;
		return fail(why, errno, "create maildir file", m->tmp);
	}
	return true;
}

/* May a name be made durable by syncing the file that got it? */
static bool
journals_names(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	switch ((unsigned long)fs.f_type) {
	case EXT4_SUPER_MAGIC:
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
	case TMPFS_MAGIC:
		return true;
	default:
		return false;
	}
}

static bool
sync_dir(const char *dir, const char *sub)
{
	char *path = mem_sprintf("%s%s", dir, sub);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	free(path);
	return ok;
}

/*
 * The name of attempt n: above 0 only when another message holds the name.
 */
static char *
final_name(const struct maildir *m, int n)
{
	struct stat st;
	uint64_t hash;

	if (fstat(m->fd, &st) < 0)
		st.st_dev = 0;
	hash = XXH3_64bits_withSeed(m->req->identity.data, m->req->identity.len,
				    (XXH64_hash_t)n);
	return mem_sprintf(
	    "%lld.V%llxI%llxM%lld.%s", (long long)(m->req->arrival / 1000000),
	    (unsigned long long)st.st_dev, (unsigned long long)hash,
	    (long long)(m->req->arrival % 1000000), m->req->hostname);
}

static bool
same_size(int dirfd, const char *name, int64_t size)
{
	struct stat st;

	return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == size;
}

/*
 * Has a reader moved the file of an earlier attempt to cur/? Only when
 * something was moved there since the message arrived.
 */
static bool
is_in_cur(const struct maildir *m, const char *name)
{
	char *path = mem_sprintf("%scur", m->dir);
	size_t len = strlen(name);
	bool found = false;
	struct dirent *e;
	DIR *d = NULL;
	struct stat st;

	if (stat(path, &st) == 0 &&
	    st.st_mtime >= (time_t)(m->req->arrival / 1000000))
		d = opendir(path);
	free(path);
	while (d && !found && (e = readdir(d)))
		found = strncmp(e->d_name, name, len) == 0 &&
			(e->d_name[len] == '\0' || e->d_name[len] == ':') &&
			same_size(dirfd(d), e->d_name, m->size);
	if (d)
		closedir(d);
	return found;
}

static bool
rename_new(const char *from, const char *to)
{
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return true;
	if (errno != EINVAL && errno != ENOSYS)
		return false;
	if (link(from, to) < 0)
		return false;
	unlink(from);
	return true;
}

enum placed {
	PLACED,
	PLACED_BEFORE, /* by an earlier attempt */
	PLACED_NOT,    /* errno */
};

/* Move the file from tmp/ to new/. */
static enum placed
place(struct maildir *m)
{
	bool old =
	    io_now() - m->req->arrival > MAILDIR_RETRY_AGE * (int64_t)1000000;
	bool made = false;

	for (int n = 0; n < NAME_TRIES; n++) {
		char *name = final_name(m, n);
		char *path = mem_sprintf("%snew/%s", m->dir, name);
		bool before = old && n == 0 && is_in_cur(m, name);
		bool moved = !before && rename_new(m->tmp, path);

		if (!before && !moved && errno == EEXIST) {
			before = same_size(AT_FDCWD, path, m->size);
			errno = EEXIST;
		}
		free(name);
		free(path);
		if (moved || before)
			return moved ? PLACED : PLACED_BEFORE;
		/* Who made tmp/ may have died before it made new/. */
		if (errno == ENOENT && !made && make_dirs(m->dir)) {
			made = true;
			n--;
			continue;
		}
		if (errno != EEXIST)
			break;
	}
	return PLACED_NOT;
}

/*
 * Durable with one journal commit where the file system allows it: the data
 * is written out first, so that the name never shows an empty file, and the
 * commit that syncs the file then carries its name along.
 */
static bool
finish(struct maildir *m, struct why *why)
{
	bool one_sync = journals_names(m->fd) &&
			sync_file_range(m->fd, 0, 0,
					SYNC_FILE_RANGE_WRITE |
					    SYNC_FILE_RANGE_WAIT_AFTER) == 0;
	enum placed where;

	if (!one_sync && fsync(m->fd) < 0)
		return fail(why, errno, "sync maildir file", m->tmp);
	where = place(m);
	if (where == PLACED_NOT)
		return fail(why, errno, "link maildir file", m->tmp);
	if (where == PLACED_BEFORE) {
		unlink(m->tmp);
		return sync_dir(m->dir, "new") ||
		       fail(why, errno, "sync maildir directory", m->dir);
	}
	free(m->tmp);
	m->tmp = NULL;
	if (one_sync ? fsync(m->fd) < 0 : !sync_dir(m->dir, "new"))
		return fail(why, errno, "sync maildir directory", m->dir);
	return true;
}

bool
maildir_deliver(const struct maildir_request *req, bool *access_problem,
		struct why *why)
{
	size_t n = strlen(req->path);
	struct maildir m = {.req = req, .fd = -1};
	enum copy_status st;
	bool ok = false;

	*access_problem = false;
	m.dir = mem_sprintf("%s%s", req->path,
			    n && req->path[n - 1] == '/' ? "" : "/");
	if (!create_tmp(&m, access_problem, why))
		goto out;
	st = copy_message(&req->source, req->head, 0, NULL, m.fd, &m.size);
	if (st == COPY_READ_ERROR) {
		why_set(why, "4.3.0", "error reading message: %m");
		goto out;
	}
	if (st == COPY_WRITE_ERROR) {
		why_set(why, status_of_errno(errno),
			"maildir delivery failed: error writing message: %m");
		goto out;
	}
	ok = finish(&m, why);
out:
	if (m.fd >= 0)
		close(m.fd);
	if (!ok && m.tmp && m.fd >= 0)
		unlink(m.tmp);
	free(m.tmp);
	free(m.dir);
	return ok;
}
