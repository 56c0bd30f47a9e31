/* SPDX-License-Identifier: MIT */
/*
 * hash: and btree: - Berkeley DB files, as Postfix writes and reads them: a
 * NUL belongs to key and value by default, and files that other programs
 * wrote without one are understood.
 *
 * Other people's postmap(1) overwrites the file in place under an exclusive
 * flock(2), ours replaces it. A file that was replaced is still good to read
 * (the process ends soon: table_changed()). One that was changed in place may
 * have been read half old, half new: so the answer counts only when the file
 * is unchanged behind the look-up, and otherwise it is opened again.
 */
#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "lib/table/table_bdb.h"
#include "lib/table/table_impl.h"

enum {
	DEFAULT_CACHE = 128 * 1024, /* bytes, without a configuration */
	REOPEN_MAX = 3,
	SYNC_INTERVAL = 1000000, /* microseconds between syncs of a cache */
};

struct bdb {
	DB *db;
	DBC *cursor;
	DBTYPE type;
	char *path;
	bool plain_first; /* keys without NUL were found last */
	bool dirty;
	int64_t synced; /* io_monotonic() */
	struct buf key; /* scratch: key with its NUL */
};

int
bdb_open_file(DB **out, const char *path, DBTYPE type, u_int32_t flags,
	      size_t cache, int mode)
{
	DB *db;
	int rc = db_create(&db, NULL, 0);

	if (rc != 0)
		return rc;
	if (cache > 0)
		rc = db->set_cachesize(db, 0, (u_int32_t)cache, 0);
	if (rc == 0 && type == DB_HASH && (flags & DB_CREATE))
		rc = db->set_h_nelem(db, BDB_HASH_ELEMENTS);
	if (rc == 0) {
		char *name =
		    mem_sprintf("%s%s", path[0] == '/' ? "" : "./", path);

		rc = db->open(db, NULL, name, NULL, type, flags, mode);
		free(name);
	}
	if (rc != 0) {
		db->close(db, DB_NOSYNC);
		return rc;
	}
	*out = db;
	return 0;
}

static size_t
cache_size(void)
{
	return conf ? (size_t)conf->berkeley_db_read_buffer_size
		    : DEFAULT_CACHE;
}

static void
warn_stale(const struct table *t, const struct bdb *b)
{
	char *source = mem_strndup(b->path, strlen(b->path) - 3);

	table_warn_stale(source, b->path, &t->seen);
	free(source);
}

/* Open the file under a shared lock, so that nobody is in the middle of
 * writing it. 0, or an error of errno or of Berkeley DB. */
static int
open_locked(struct table *t, struct bdb *b)
{
	bool writes = t->flags & TABLE_WRITE;
	int fd = open(b->path,
		      (writes ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0600);
	struct stat st;
	int rc;

	if (fd < 0)
		return errno;
	if (flock(fd, writes ? LOCK_EX | LOCK_NB : LOCK_SH) < 0 ||
	    fstat(fd, &st) < 0) {
		rc = errno;
		close(fd);
		return rc;
	}
	rc = bdb_open_file(&b->db, b->path, b->type,
			   writes
			       ? DB_CREATE | (st.st_size == 0 ? DB_TRUNCATE : 0)
			       : DB_RDONLY,
			   cache_size(), 0600);
	if (rc != 0) {
		close(fd);
		return rc;
	}
	if (t->watch_fd >= 0)
		close(t->watch_fd);
	free(t->watch_path);
	table_watch(t, fd, b->path);
	if (!writes)
		flock(fd, LOCK_UN);
	return 0;
}

static void
close_bdb(struct table *t)
{
	struct bdb *b = t->data;

	if (b->cursor)
		b->cursor->close(b->cursor);
	if (b->db && b->db->close(b->db, b->dirty ? 0 : DB_NOSYNC) != 0 &&
	    b->dirty)
		log_warn("close database %s: %m", b->path);
	free(b->path);
	buf_free(&b->key);
	free(b);
	t->data = NULL;
}

static bool
open_bdb(struct table *t, DBTYPE type)
{
	struct bdb *b = mem_alloc(sizeof(*b));
	int rc;

	b->type = type;
	b->path = mem_sprintf("%s.db", t->name);
	t->data = b;
	free(t->label);
	t->label = mem_sprintf("%s:%s", t->type->name, b->path);
	rc = open_locked(t, b);
	if (rc != 0)
		return table_fail(t, "open database %s: %s", b->path,
				  rc > 0 ? strerror(rc) : db_strerror(rc));
	if (!(t->flags & TABLE_WRITE))
		warn_stale(t, b);
	return true;
}

static bool
open_hash(struct table *t)
{
	return open_bdb(t, DB_HASH);
}

static bool
open_btree(struct table *t)
{
	return open_bdb(t, DB_BTREE);
}

/* ---- keys with and without NUL ---- */

static DBT
make_dbt(struct span s)
{
	DBT d;

	memset(&d, 0, sizeof(d));
	d.data = (void *)(uintptr_t)s.data;
	d.size = (u_int32_t)s.len;
	return d;
}

/* The forms of a key to try, best first; *n of them. */
static void
key_forms(const struct table *t, const struct bdb *b, bool with_nul[2],
	  size_t *n)
{
	unsigned only = t->flags & (TABLE_KEY_NUL | TABLE_KEY_PLAIN);

	*n = 1;
	with_nul[0] = !(only & TABLE_KEY_PLAIN);
	if (only)
		return;
	*n = 2;
	with_nul[0] = !b->plain_first;
	with_nul[1] = b->plain_first;
}

static DBT
key_dbt(struct bdb *b, struct span key, bool with_nul)
{
	buf_set(&b->key, key);
	return make_dbt(span_make(buf_cstr(&b->key), key.len + with_nul));
}

/* What is found is the text up to a NUL. */
static struct span
stored_text(const DBT *d)
{
	return span_make(d->data, d->data ? strnlen(d->data, d->size) : 0);
}

static int
lookup(struct table *t, struct bdb *b, struct span key, struct buf *value)
{
	bool with_nul[2];
	size_t n;
	int rc = DB_NOTFOUND;

	key_forms(t, b, with_nul, &n);
	for (size_t i = 0; i < n && rc == DB_NOTFOUND; i++) {
		DBT k = key_dbt(b, key, with_nul[i]), v;

		memset(&v, 0, sizeof(v));
		rc = b->db->get(b->db, NULL, &k, &v, 0);
		if (rc == 0) {
			b->plain_first = !with_nul[i];
			buf_set(value, stored_text(&v));
		}
	}
	return rc;
}

/* Changed in place? Then open it again: 1 done, 0 not needed, -1 failed. */
static int
reopen_changed(struct table *t, struct bdb *b)
{
	DB *old = b->db;
	struct stat st;
	int rc;

	if ((t->flags & TABLE_WRITE) || !table_watch_changed(t))
		return 0;
	if (fstat(t->watch_fd, &st) == 0 && st.st_nlink == 0)
		return 0;
	rc = open_locked(t, b);
	if (rc == 0) {
		old->close(old, DB_NOSYNC);
		return 1;
	}
	b->db = old;
	log_warn("open database %s: %s", b->path,
		 rc > 0 ? strerror(rc) : db_strerror(rc));
	return -1;
}

static enum table_status
get_bdb(struct table *t, struct span key, struct buf *value, struct why *why)
{
	struct bdb *b = t->data;
	int rc, again, tries = 0;

	do {
		buf_reset(value);
		rc = lookup(t, b, key, value);
		again = reopen_changed(t, b);
	} while (again > 0 && ++tries < REOPEN_MAX);
	if (again != 0)
		return table_retry(why);
	if (rc == 0)
		return TABLE_FOUND;
	if (rc == DB_NOTFOUND)
		return TABLE_ABSENT;
	log_warn("error reading %s: %s", b->path, db_strerror(rc));
	return table_retry(why);
}

/* ---- writing ---- */

/* A crash may lose the last second of a cache, and never tears the file: it
 * is written as a whole. */
static int
sync_sometimes(struct bdb *b)
{
	int64_t now = io_monotonic();

	b->dirty = true;
	if (b->synced && now - b->synced < SYNC_INTERVAL)
		return 0;
	b->synced = now;
	b->dirty = false;
	return b->db->sync(b->db, 0);
}

static bool
put_bdb(struct table *t, struct span key, struct span value, struct why *why)
{
	struct bdb *b = t->data;
	bool nul = !(t->flags & TABLE_KEY_PLAIN);
	DBT k = key_dbt(b, key, nul), v;
	char *copy = mem_strndup(value.data, value.len);
	int rc;

	v = make_dbt(span_make(copy, value.len + nul));
	rc = b->db->put(b->db, NULL, &k, &v, 0);
	free(copy);
	if (rc == 0)
		rc = sync_sometimes(b);
	if (rc == 0)
		return true;
	log_warn("error writing %s: %s", b->path, db_strerror(rc));
	table_retry(why);
	return false;
}

static enum table_status
delete_bdb(struct table *t, struct span key, struct why *why)
{
	struct bdb *b = t->data;
	bool with_nul[2];
	size_t n;
	int rc = DB_NOTFOUND;

	key_forms(t, b, with_nul, &n);
	for (size_t i = 0; i < n && rc == DB_NOTFOUND; i++) {
		DBT k = key_dbt(b, key, with_nul[i]);

		rc = b->db->del(b->db, NULL, &k, 0);
	}
	if (rc == DB_NOTFOUND)
		return TABLE_ABSENT;
	if (rc == 0)
		rc = sync_sometimes(b);
	if (rc == 0)
		return TABLE_FOUND;
	log_warn("error deleting from %s: %s", b->path, db_strerror(rc));
	return table_retry(why);
}

static enum table_status
next_bdb(struct table *t, bool first, struct buf *key, struct buf *value,
	 struct why *why)
{
	struct bdb *b = t->data;
	DBT k, v;
	int rc = 0;

	memset(&k, 0, sizeof(k));
	memset(&v, 0, sizeof(v));
	if (!b->cursor)
		rc = b->db->cursor(b->db, NULL, &b->cursor, 0);
	if (rc == 0)
		rc = b->cursor->get(b->cursor, &k, &v,
				    first ? DB_FIRST : DB_NEXT);
	if (rc == 0) {
		buf_set(key, stored_text(&k));
		buf_set(value, stored_text(&v));
		return TABLE_FOUND;
	}
	if (b->cursor) {
		b->cursor->close(b->cursor);
		b->cursor = NULL;
	}
	if (rc == DB_NOTFOUND)
		return TABLE_ABSENT;
	log_warn("error seeking %s: %s", b->path, db_strerror(rc));
	return table_retry(why);
}

const struct table_type table_type_hash = {
    .name = "hash",
    .open = open_hash,
    .get = get_bdb,
    .close = close_bdb,
    .put = put_bdb,
    .del = delete_bdb,
    .next = next_bdb,
};

const struct table_type table_type_btree = {
    .name = "btree",
    .open = open_btree,
    .get = get_bdb,
    .close = close_bdb,
    .put = put_bdb,
    .del = delete_bdb,
    .next = next_bdb,
};
