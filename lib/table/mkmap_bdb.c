/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "lib/table/mkmap_impl.h"
#include "lib/table/table_bdb.h"

enum {
	DEFAULT_CACHE = 16 * 1024 * 1024, /* bytes, without a configuration */
	COPY_CHUNK = 64 * 1024,
};

struct maker {
	DB *db;
	DBTYPE type;
	char *target; /* what m->path is, symbolic links followed */
	char *build;  /* the file being written: target, or one beside it */
	int fd;       /* of build, with an exclusive lock */
	int old_fd;   /* of target when it is to be replaced, locked; or -1 */
	struct stat old;
};

static const char *
error_text(int rc)
{
	return rc > 0 ? strerror(rc) : db_strerror(rc);
}

static void
free_maker(struct maker *k)
{
	if (k->db)
		k->db->close(k->db, DB_NOSYNC);
	if (k->fd >= 0)
		close(k->fd);
	if (k->old_fd >= 0)
		close(k->old_fd);
	free(k->target);
	free(k->build);
	free(k);
}

static char *
resolve(const char *path)
{
	char *real = realpath(path, NULL), *copy;

	copy = mem_strdup(real ? real : path);
	free(real);
	return copy;
}

/*
 * Open the old file. 1: it is there, 0: it is not, -1: error. An empty one is
 * what a database is before its creator has the lock, or after a crash.
 */
static int
open_old(struct mkmap *m, struct maker *k, char **error)
{
	k->old_fd = open(k->target, O_RDWR | O_CLOEXEC);
	if (k->old_fd < 0 && errno == ENOENT) {
		if (!(m->flags & MKMAP_EXISTING))
			return 0;
		*error = mem_sprintf("open database %s: %s", m->path,
				     strerror(errno));
		return -1;
	}
	if (k->old_fd < 0 || fstat(k->old_fd, &k->old) < 0) {
		*error = mem_sprintf("open %s: %s", m->path, strerror(errno));
		return -1;
	}
	if (k->old.st_size > 0)
		return 1;
	log_warn("removing zero-length database file: %s", m->path);
	close(k->old_fd);
	k->old_fd = -1;
	if (unlink(k->target) == 0)
		return 0;
	*error = mem_sprintf("remove zero-length database file %s: %s", m->path,
			     strerror(errno));
	return -1;
}

/* The file beside the target, locked against another builder. -1: errno. */
static int
open_beside(const char *path)
{
	for (;;) {
		struct stat by_fd, by_name;
		int fd =
		    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return -1;
		if (flock(fd, LOCK_EX) == 0 && fstat(fd, &by_fd) == 0 &&
		    stat(path, &by_name) == 0 &&
		    by_fd.st_ino == by_name.st_ino &&
		    by_fd.st_dev == by_name.st_dev)
			return fd;
		/* The other builder has renamed it. */
		close(fd);
	}
}

static bool
copy_file(int from, int to)
{
	char chunk[COPY_CHUNK];
	ssize_t n;

	while ((n = read(from, chunk, sizeof(chunk))) > 0)
		if (!io_write_all(to, chunk, (size_t)n))
			return false;
	return n == 0;
}

/* The old file may only be replaced when the new one can belong to the same
 * user. */
static bool
may_replace(const struct maker *k, bool exists)
{
	return !exists || k->old.st_uid == geteuid() || geteuid() == 0;
}

static void
drop_build(struct maker *k)
{
	if (k->build && strcmp(k->build, k->target) != 0)
		unlink(k->build);
}

/* Mode, owner and, for an update, the content of the old file. */
static bool
prepare_beside(const struct mkmap *m, struct maker *k, bool exists, mode_t mode)
{
	if (exists && fchown(k->fd, k->old.st_uid, k->old.st_gid) < 0)
		log_debug("chown %s: %m", k->build);
	if (fchmod(k->fd, exists ? k->old.st_mode & 07777 : mode) < 0 ||
	    ftruncate(k->fd, 0) < 0)
		return false;
	if (!exists || !(m->flags & MKMAP_UPDATE))
		return true;
	return flock(k->old_fd, LOCK_EX) == 0 && copy_file(k->old_fd, k->fd);
}

static bool
prepare_in_place(const struct mkmap *m, struct maker *k, bool exists,
		 mode_t mode)
{
	if (k->fd >= 0) {
		drop_build(k);
		close(k->fd);
	}
	free(k->build);
	k->build = mem_strdup(k->target);
	k->fd = open(k->target, O_RDWR | O_CREAT | O_CLOEXEC, mode);
	return k->fd >= 0 && flock(k->fd, LOCK_EX) == 0 &&
	       ((exists && (m->flags & MKMAP_UPDATE)) ||
		ftruncate(k->fd, 0) == 0);
}

static bool
prepare(struct mkmap *m, struct maker *k, mode_t mode, char **error)
{
	u_int32_t flags = DB_CREATE | DB_TRUNCATE;
	int exists, rc;

	/* This lock comes first: who waits for it must then see the file that
	 * the one before has put in place. */
	k->build = mem_sprintf("%s.new", k->target);
	k->fd = open_beside(k->build);
	exists = open_old(m, k, error);
	if (exists < 0)
		return false;
	if (!(k->fd >= 0 && may_replace(k, exists)
		  ? prepare_beside(m, k, exists, mode)
		  : prepare_in_place(m, k, exists, mode))) {
		*error = mem_sprintf("open database %s: %s", m->path,
				     strerror(errno));
		return false;
	}
	if (exists && (m->flags & MKMAP_UPDATE))
		flags = 0;
	rc = bdb_open_file(&k->db, k->build, k->type, flags,
			   conf ? (size_t)conf->berkeley_db_create_buffer_size
				: DEFAULT_CACHE,
			   0600);
	if (rc != 0)
		*error = mem_sprintf("open database %s: %s", m->path,
				     error_text(rc));
	return rc == 0;
}

static bool
open_maker(struct mkmap *m, const char *name, mode_t mode, DBTYPE type,
	   char **error)
{
	struct maker *k = mem_alloc(sizeof(*k));

	m->path = mem_sprintf("%s.db", name);
	m->label = mem_strdup(m->path);
	m->data = k;
	k->type = type;
	k->fd = k->old_fd = -1;
	k->target = resolve(m->path);
	if (prepare(m, k, mode, error))
		return true;
	drop_build(k);
	free_maker(k);
	return false;
}

static bool
open_hash(struct mkmap *m, const char *name, mode_t mode, char **error)
{
	return open_maker(m, name, mode, DB_HASH, error);
}

static bool
open_btree(struct mkmap *m, const char *name, mode_t mode, char **error)
{
	return open_maker(m, name, mode, DB_BTREE, error);
}

static DBT
make_dbt(struct span s)
{
	DBT d;

	memset(&d, 0, sizeof(d));
	d.data = (void *)(uintptr_t)s.data;
	d.size = (u_int32_t)s.len;
	return d;
}

static int
put_entry(struct mkmap *m, struct span key, struct span value, bool replace)
{
	struct maker *k = m->data;
	DBT kd = make_dbt(key), vd = make_dbt(value);
	int rc =
	    k->db->put(k->db, NULL, &kd, &vd, replace ? 0 : DB_NOOVERWRITE);

	if (rc == DB_KEYEXIST)
		return 1;
	return rc == 0 ? 0
		       : mkmap_fail(m, "error writing %s: %s", m->path,
				    error_text(rc));
}

static int
delete_entry(struct mkmap *m, struct span key)
{
	struct maker *k = m->data;
	DBT kd = make_dbt(key);
	int rc = k->db->del(k->db, NULL, &kd, 0);

	if (rc == DB_NOTFOUND)
		return 0;
	return rc == 0 ? 1
		       : mkmap_fail(m, "error deleting from %s: %s", m->path,
				    error_text(rc));
}

static void
sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = slash ? mem_strndup(path, (size_t)(slash - path) + 1)
			     : mem_strdup(".");
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0) {
		fsync(fd);
		close(fd);
	}
	free(folder);
}

static bool
commit_maker(struct mkmap *m)
{
	struct maker *k = m->data;
	int rc = k->db->close(k->db, 0);

	k->db = NULL;
	if (rc != 0)
		return mkmap_fail(m, "close database %s: %s", m->path,
				  error_text(rc)) == 0;
	if (fsync(k->fd) < 0)
		return mkmap_fail(m, "sync database %s: %s", m->path,
				  strerror(errno)) == 0;
	if (strcmp(k->build, k->target) != 0) {
		/* Whoever reads the old one in parts is waited for. */
		if (k->old_fd >= 0)
			flock(k->old_fd, LOCK_EX);
		if (rename(k->build, k->target) < 0)
			return mkmap_fail(m, "rename %s: %s", k->build,
					  strerror(errno)) == 0;
		sync_folder(k->target);
	}
	free_maker(k);
	m->data = NULL;
	return true;
}

static void
abort_maker(struct mkmap *m)
{
	struct maker *k = m->data;

	if (!k)
		return;
	/* The library would write pages to a file that it cannot find. */
	if (k->db)
		k->db->close(k->db, DB_NOSYNC);
	k->db = NULL;
	drop_build(k);
	free_maker(k);
	m->data = NULL;
}

const struct mkmap_driver mkmap_driver_hash = {
    .type = "hash",
    .open = open_hash,
    .put = put_entry,
    .del = delete_entry,
    .commit = commit_maker,
    .abort = abort_maker,
};

const struct mkmap_driver mkmap_driver_btree = {
    .type = "btree",
    .open = open_btree,
    .put = put_entry,
    .del = delete_entry,
    .commit = commit_maker,
    .abort = abort_maker,
};
