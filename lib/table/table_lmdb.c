/* SPDX-License-Identifier: MIT */
/*
 * lmdb: - LMDB files (lmdb_table(5)): one file, without LMDB's own lock file;
 * a transaction holds an fcntl(2) lock on the whole file instead, shared to
 * read, exclusive to write.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/table/table_impl.h"
#include "lib/table/table_lmdb.h"

enum {
	RESIZE_TRIES = 3,
	DEFAULT_MAP_SIZE = 16 * 1024 * 1024, /* without a configuration */
};

struct lmdb {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *reader; /* reset between look-ups */
	MDB_cursor *cursor;
	MDB_txn *walk; /* of the cursor */
	struct buf at; /* key where the walk is, with its NUL */
	char *path;
	bool plain_first;
	struct buf key;
};

size_t
lmdb_map_size(void)
{
	return conf && conf->lmdb_map_size > 0 ? (size_t)conf->lmdb_map_size
					       : DEFAULT_MAP_SIZE;
}

bool
lmdb_lock(MDB_env *env, short type)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET};
	int fd;

	if (mdb_env_get_fd(env, &fd) != 0)
		return false;
	while (fcntl(fd, F_SETLKW, &l) < 0)
		if (errno != EINTR)
			return false;
	return true;
}

int
lmdb_open_env(MDB_env **out, const char *path, unsigned flags, size_t size,
	      mode_t mode)
{
	MDB_env *env;
	int rc = mdb_env_create(&env);

	if (rc != 0)
		return rc;
	rc = mdb_env_set_mapsize(env, size);
	if (rc == 0)
		rc = mdb_env_open(env, path, flags | MDB_NOSUBDIR | MDB_NOLOCK,
				  mode);
	if (rc != 0) {
		mdb_env_close(env);
		return rc;
	}
	*out = env;
	return 0;
}

int
lmdb_begin(MDB_env *env, unsigned flags, MDB_txn **txn)
{
	int rc = 0;

	/* Another process may have made the file larger than our map. */
	for (int i = 0; i < RESIZE_TRIES; i++) {
		rc = mdb_txn_begin(env, NULL, flags, txn);
		if (rc != MDB_MAP_RESIZED)
			break;
		rc = mdb_env_set_mapsize(env, 0);
		if (rc != 0)
			break;
	}
	return rc;
}

int
lmdb_grow(MDB_env *env)
{
	MDB_envinfo info;
	int rc = mdb_env_info(env, &info);

	if (rc != 0)
		return rc;
	if (info.me_mapsize > SIZE_MAX / 2)
		return ENOMEM;
	return mdb_env_set_mapsize(env, info.me_mapsize * 2);
}

/* Reading: lock, then a fresh view of the file. */
static int
begin_read(struct lmdb *l)
{
	int rc;

	if (!lmdb_lock(l->env, F_RDLCK))
		return errno;
	if (l->reader) {
		rc = mdb_txn_renew(l->reader);
		if (rc == 0)
			return 0;
		mdb_txn_abort(l->reader);
		l->reader = NULL;
	}
	rc = lmdb_begin(l->env, MDB_RDONLY, &l->reader);
	if (rc != 0)
		lmdb_lock(l->env, F_UNLCK);
	return rc;
}

static void
end_read(struct lmdb *l)
{
	mdb_txn_reset(l->reader);
	lmdb_lock(l->env, F_UNLCK);
}

static void
end_walk(struct lmdb *l)
{
	if (l->cursor)
		mdb_cursor_close(l->cursor);
	if (l->walk)
		mdb_txn_abort(l->walk);
	if (l->walk)
		lmdb_lock(l->env, F_UNLCK);
	l->cursor = NULL;
	l->walk = NULL;
}

static void
close_lmdb(struct table *t)
{
	struct lmdb *l = t->data;

	end_walk(l);
	if (l->reader)
		mdb_txn_abort(l->reader);
	if (l->env)
		mdb_env_close(l->env);
	free(l->path);
	buf_free(&l->key);
	buf_free(&l->at);
	free(l);
	t->data = NULL;
}

/* Open the one unnamed database of the file; it exists always. */
static int
open_database(struct lmdb *l, bool writes)
{
	MDB_txn *txn;
	int rc;

	if (!lmdb_lock(l->env, writes ? F_WRLCK : F_RDLCK))
		return errno;
	rc = lmdb_begin(l->env, writes ? 0 : MDB_RDONLY, &txn);
	if (rc == 0) {
		rc = mdb_dbi_open(txn, NULL, 0, &l->dbi);
		if (rc == 0)
			rc = mdb_txn_commit(txn);
		else
			mdb_txn_abort(txn);
	}
	lmdb_lock(l->env, F_UNLCK);
	return rc;
}

static void
warn_stale(const char *source, const char *path)
{
	struct stat st;

	if (stat(path, &st) == 0)
		table_warn_stale(source, path, &st);
}

static bool
open_lmdb(struct table *t)
{
	struct lmdb *l = mem_alloc(sizeof(*l));
	bool writes = t->flags & TABLE_WRITE;
	int rc;

	l->path = mem_sprintf("%s.lmdb", t->name);
	t->data = l;
	rc = lmdb_open_env(&l->env, l->path, writes ? 0 : MDB_RDONLY,
			   lmdb_map_size(), 0600);
	if (rc == 0)
		rc = open_database(l, writes);
	if (rc != 0)
		return table_fail(t, "open database %s: %s", l->path,
				  mdb_strerror(rc));
	if (!writes)
		warn_stale(t->name, l->path);
	return true;
}

/* ---- keys ---- */

static MDB_val
key_val(struct lmdb *l, struct span key, bool with_nul)
{
	buf_set(&l->key, key);
	return (MDB_val){key.len + with_nul,
			 (void *)(uintptr_t)buf_cstr(&l->key)};
}

static struct span
stored_text(const MDB_val *v)
{
	return span_make(v->mv_data,
			 v->mv_data ? strnlen(v->mv_data, v->mv_size) : 0);
}

static size_t
key_forms(const struct table *t, const struct lmdb *l, bool with_nul[2])
{
	unsigned only = t->flags & (TABLE_KEY_NUL | TABLE_KEY_PLAIN);

	with_nul[0] = only ? !(only & TABLE_KEY_PLAIN) : !l->plain_first;
	with_nul[1] = l->plain_first;
	return only ? 1 : 2;
}

static bool
fits(struct lmdb *l, struct span key)
{
	return key.len < (size_t)mdb_env_get_maxkeysize(l->env);
}

static enum table_status
failed(const struct lmdb *l, int rc, struct why *why)
{
	log_warn("error accessing %s: %s", l->path, mdb_strerror(rc));
	return table_retry(why);
}

static enum table_status
get_lmdb(struct table *t, struct span key, struct buf *value, struct why *why)
{
	struct lmdb *l = t->data;
	bool with_nul[2];
	size_t n = key_forms(t, l, with_nul);
	int rc;

	if (key.len == 0 || !fits(l, key))
		return TABLE_ABSENT;
	rc = begin_read(l);
	if (rc != 0)
		return failed(l, rc, why);
	rc = MDB_NOTFOUND;
	for (size_t i = 0; i < n && rc == MDB_NOTFOUND; i++) {
		MDB_val k = key_val(l, key, with_nul[i]), v;

		rc = mdb_get(l->reader, l->dbi, &k, &v);
		if (rc == 0) {
			l->plain_first = !with_nul[i];
			buf_set(value, stored_text(&v));
		}
	}
	end_read(l);
	if (rc == MDB_NOTFOUND)
		return TABLE_ABSENT;
	return rc == 0 ? TABLE_FOUND : failed(l, rc, why);
}

/* ---- writing ---- */

/* One change as a transaction: value NULL deletes. */
static int
change_once(struct lmdb *l, MDB_val *key, MDB_val *value)
{
	MDB_txn *txn;
	int rc = lmdb_begin(l->env, 0, &txn);

	if (rc != 0)
		return rc;
	rc = value ? mdb_put(txn, l->dbi, key, value, 0)
		   : mdb_del(txn, l->dbi, key, NULL);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static int
change(struct lmdb *l, MDB_val key, MDB_val *value)
{
	int rc;

	end_walk(l);
	if (l->reader) {
		/* The map may only be resized without transactions. */
		mdb_txn_abort(l->reader);
		l->reader = NULL;
	}
	if (!lmdb_lock(l->env, F_WRLCK))
		return errno;
	rc = change_once(l, &key, value);
	if (rc == MDB_MAP_FULL) {
		rc = lmdb_grow(l->env);
		if (rc == 0)
			rc = change_once(l, &key, value);
	}
	lmdb_lock(l->env, F_UNLCK);
	return rc;
}

static bool
put_lmdb(struct table *t, struct span key, struct span value, struct why *why)
{
	struct lmdb *l = t->data;
	bool nul = !(t->flags & TABLE_KEY_PLAIN);
	char *copy = mem_strndup(value.data, value.len);
	MDB_val v = {value.len + nul, copy};
	int rc = change(l, key_val(l, key, nul), &v);

	free(copy);
	if (rc == 0)
		return true;
	failed(l, rc, why);
	return false;
}

static enum table_status
delete_lmdb(struct table *t, struct span key, struct why *why)
{
	struct lmdb *l = t->data;
	bool with_nul[2];
	size_t n = key_forms(t, l, with_nul);
	int rc = MDB_NOTFOUND;

	if (key.len == 0 || !fits(l, key))
		return TABLE_ABSENT;
	for (size_t i = 0; i < n && rc == MDB_NOTFOUND; i++)
		rc = change(l, key_val(l, key, with_nul[i]), NULL);
	if (rc == MDB_NOTFOUND)
		return TABLE_ABSENT;
	return rc == 0 ? TABLE_FOUND : failed(l, rc, why);
}

/* ---- walking ---- */

static int
start_walk(struct lmdb *l)
{
	int rc;

	if (!lmdb_lock(l->env, F_RDLCK))
		return errno;
	rc = lmdb_begin(l->env, MDB_RDONLY, &l->walk);
	if (rc != 0) {
		l->walk = NULL;
		lmdb_lock(l->env, F_UNLCK);
		return rc;
	}
	return mdb_cursor_open(l->walk, l->dbi, &l->cursor);
}

/* A change in between ended the walk: find the place behind the last key. */
static int
resume_walk(struct lmdb *l, MDB_val *k, MDB_val *v)
{
	MDB_val last = {l->at.len, l->at.data};
	int rc = start_walk(l);

	if (rc != 0)
		return rc;
	*k = last;
	rc = mdb_cursor_get(l->cursor, k, v, MDB_SET_RANGE);
	if (rc == 0 && k->mv_size == last.mv_size &&
	    !memcmp(k->mv_data, last.mv_data, last.mv_size))
		rc = mdb_cursor_get(l->cursor, k, v, MDB_NEXT);
	return rc;
}

static enum table_status
next_lmdb(struct table *t, bool first, struct buf *key, struct buf *value,
	  struct why *why)
{
	struct lmdb *l = t->data;
	MDB_val k, v;
	int rc;

	if (first) {
		end_walk(l);
		rc = start_walk(l);
		if (rc == 0)
			rc = mdb_cursor_get(l->cursor, &k, &v, MDB_FIRST);
	} else if (l->cursor) {
		rc = mdb_cursor_get(l->cursor, &k, &v, MDB_NEXT);
	} else {
		rc = resume_walk(l, &k, &v);
	}
	if (rc == 0) {
		buf_set(&l->at, span_make(k.mv_data, k.mv_size));
		buf_set(key, stored_text(&k));
		buf_set(value, stored_text(&v));
		return TABLE_FOUND;
	}
	end_walk(l);
	return rc == MDB_NOTFOUND ? TABLE_ABSENT : failed(l, rc, why);
}

const struct table_type table_type_lmdb = {
    .name = "lmdb",
    .open = open_lmdb,
    .get = get_lmdb,
    .close = close_lmdb,
    .put = put_lmdb,
    .del = delete_lmdb,
    .next = next_lmdb,
};
