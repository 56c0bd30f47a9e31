/* SPDX-License-Identifier: MIT */
/*
 * The changes are kept in memory until the commit, so that a file that turns
 * out too small can be made larger and the one transaction tried again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/table/mkmap_impl.h"
#include "lib/table/table_lmdb.h"

enum { GROW_MAX = 40 };

struct change {
	size_t key, key_len; /* in text */
	size_t value, value_len;
	bool deleted;
};

struct maker {
	MDB_env *env;
	MDB_dbi dbi;
	bool locked;
	struct buf text;
	struct change *v;
	size_t n, cap;
	struct htab *index; /* key to its number in v, plus one */
};

static void
free_maker(struct maker *k)
{
	if (k->locked)
		lmdb_lock(k->env, F_UNLCK);
	if (k->env)
		mdb_env_close(k->env);
	buf_free(&k->text);
	free(k->v);
	htab_free(k->index, NULL);
	free(k);
}

static int
open_database(struct maker *k)
{
	MDB_txn *txn;
	int rc = lmdb_begin(k->env, 0, &txn);

	if (rc != 0)
		return rc;
	rc = mdb_dbi_open(txn, NULL, 0, &k->dbi);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static bool
open_lmdb(struct mkmap *m, const char *name, mode_t mode, char **error)
{
	struct maker *k = mem_alloc(sizeof(*k));
	int rc, fd = -1;

	m->path = mem_sprintf("%s.lmdb", name);
	m->label = mem_sprintf("lmdb:%s", name);
	m->data = k;
	k->index = htab_new();
	/* LMDB applies the umask and would create what must exist. */
	fd =
	    open(m->path,
		 O_RDWR | O_CLOEXEC | (m->flags & MKMAP_EXISTING ? 0 : O_CREAT),
		 mode);
	rc = fd < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	if (rc == 0)
		rc = lmdb_open_env(&k->env, m->path, 0, lmdb_map_size(), mode);
	if (rc == 0 && !(k->locked = lmdb_lock(k->env, F_WRLCK)))
		rc = errno;
	if (rc == 0)
		rc = open_database(k);
	if (rc == 0)
		return true;
	*error = mem_sprintf("open database %s: %s", m->path, mdb_strerror(rc));
	free_maker(k);
	return false;
}

/* Is the key in the file as it was? 1, 0, -1. */
static int
in_file(struct mkmap *m, struct span key)
{
	struct maker *k = m->data;
	MDB_val kv = {key.len, (void *)(uintptr_t)key.data}, vv;
	MDB_txn *txn;
	int rc = lmdb_begin(k->env, MDB_RDONLY, &txn);

	if (rc == 0) {
		rc = mdb_get(txn, k->dbi, &kv, &vv);
		mdb_txn_abort(txn);
	}
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc == 0 ? 1
		       : mkmap_fail(m, "error reading %s: %s", m->path,
				    mdb_strerror(rc));
}

static struct change *
find_change(struct maker *k, struct span key)
{
	uintptr_t n = (uintptr_t)htab_get(k->index, key);

	return n ? &k->v[n - 1] : NULL;
}

static struct change *
add_change(struct maker *k, struct span key)
{
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 2 : 256;
		k->v = mem_realloc(k->v, k->cap, sizeof(*k->v));
	}
	k->v[k->n] = (struct change){.key = k->text.len, .key_len = key.len};
	buf_append_span(&k->text, key);
	htab_put(k->index, key, (void *)(uintptr_t)(k->n + 1));
	return &k->v[k->n++];
}

/* Would the entry be there after the commit? 1, 0, -1. */
static int
exists(struct mkmap *m, struct span key, const struct change *c)
{
	if (c)
		return !c->deleted;
	return m->flags & MKMAP_UPDATE ? in_file(m, key) : 0;
}

static int
put_entry(struct mkmap *m, struct span key, struct span value, bool replace)
{
	struct maker *k = m->data;
	struct change *c = find_change(k, key);
	int rc = exists(m, key, c);

	if (rc < 0)
		return rc;
	if (key.len > (size_t)mdb_env_get_maxkeysize(k->env))
		return mkmap_fail(m, "error writing %s: key is too long: %.50s",
				  m->path, key.data);
	if (rc > 0 && !replace)
		return 1;
	if (!c)
		c = add_change(k, key);
	c->deleted = false;
	c->value = k->text.len;
	c->value_len = value.len;
	buf_append_span(&k->text, value);
	return 0;
}

static int
delete_entry(struct mkmap *m, struct span key)
{
	struct maker *k = m->data;
	struct change *c;
	int rc;

	if (key.len == 0 || key.len > (size_t)mdb_env_get_maxkeysize(k->env))
		return 0;
	c = find_change(k, key);
	rc = exists(m, key, c);
	if (rc <= 0)
		return rc;
	if (!c)
		c = add_change(k, key);
	c->deleted = true;
	return 1;
}

static int
apply(struct mkmap *m, MDB_txn *txn)
{
	struct maker *k = m->data;
	int rc = m->flags & MKMAP_UPDATE ? 0 : mdb_drop(txn, k->dbi, 0);

	for (size_t i = 0; i < k->n && rc == 0; i++) {
		const struct change *c = &k->v[i];
		MDB_val kv = {c->key_len, k->text.data + c->key};
		MDB_val vv = {c->value_len, k->text.data + c->value};

		if (!c->deleted)
			rc = mdb_put(txn, k->dbi, &kv, &vv, 0);
		else if ((rc = mdb_del(txn, k->dbi, &kv, NULL)) == MDB_NOTFOUND)
			rc = 0;
	}
	return rc;
}

static int
apply_all(struct mkmap *m)
{
	struct maker *k = m->data;
	MDB_txn *txn;
	int rc = lmdb_begin(k->env, 0, &txn);

	if (rc != 0)
		return rc;
	rc = apply(m, txn);
	if (rc == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static bool
commit_lmdb(struct mkmap *m)
{
	struct maker *k = m->data;
	int rc = apply_all(m);

	for (int i = 0; i < GROW_MAX && rc == MDB_MAP_FULL; i++) {
		rc = lmdb_grow(k->env);
		if (rc == 0)
			rc = apply_all(m);
	}
	if (rc != 0)
		return mkmap_fail(m, "error writing %s: %s", m->path,
				  mdb_strerror(rc)) == 0;
	free_maker(k);
	m->data = NULL;
	return true;
}

static void
abort_lmdb(struct mkmap *m)
{
	if (m->data)
		free_maker(m->data);
	m->data = NULL;
}

const struct mkmap_driver mkmap_driver_lmdb = {
    .type = "lmdb",
    .open = open_lmdb,
    .put = put_entry,
    .del = delete_entry,
    .commit = commit_lmdb,
    .abort = abort_lmdb,
};
