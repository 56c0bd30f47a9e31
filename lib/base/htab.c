/* SPDX-License-Identifier: MIT */
#include "lib/base/htab.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "lib/base/mem.h"

/*
 * Open addressing with tombstones: an entry whose key is NULL and dead is
 * set was removed, and stays in place so that probes run past it and an
 * iteration is not disturbed.
 */
struct entry {
	char *key;
	size_t len;
	uint64_t hash;
	void *value;
	bool dead;
};

struct htab {
	struct entry *slots;
	size_t cap;  /* a power of two */
	size_t used; /* live and dead */
	size_t live;
};

static uint64_t
hash_of(struct span key)
{
	static uint64_t seed;

	while (!seed)
		if (getrandom(&seed, sizeof(seed), 0) < 0)
			seed = (uintptr_t)&seed;
	return XXH3_64bits_withSeed(key.len ? key.data : "", key.len, seed);
}

struct htab *
htab_new(void)
{
	struct htab *h = mem_alloc(sizeof(*h));

	h->cap = 16;
	h->slots = mem_calloc(h->cap, sizeof(*h->slots));
	return h;
}

void
htab_free(struct htab *h, void (*free_value)(void *))
{
	if (!h)
		return;
	for (size_t i = 0; i < h->cap; i++) {
		if (h->slots[i].key && free_value)
			free_value(h->slots[i].value);
		free(h->slots[i].key);
	}
	free(h->slots);
	free(h);
}

size_t
htab_count(const struct htab *h)
{
	return h->live;
}

/* The slot of key, or the free slot where a probe for it ends. */
static struct entry *
find(const struct htab *h, struct span key, uint64_t hash)
{
	size_t i = hash & (h->cap - 1);

	for (;; i = (i + 1) & (h->cap - 1)) {
		struct entry *e = &h->slots[i];

		if (!e->key && !e->dead)
			return e;
		if (e->key && e->hash == hash &&
		    span_equal(key, span_make(e->key, e->len)))
			return e;
	}
}

static void
grow(struct htab *h)
{
	struct entry *old = h->slots;
	size_t n = h->cap;

	if (h->live * 2 >= h->cap)
		h->cap *= 2;
	h->slots = mem_calloc(h->cap, sizeof(*h->slots));
	h->used = h->live;
	for (size_t i = 0; i < n; i++)
		if (old[i].key)
			*find(h, span_make(old[i].key, old[i].len),
			      old[i].hash) = old[i];
	free(old);
}

void *
htab_get(const struct htab *h, struct span key)
{
	struct entry *e = find(h, key, hash_of(key));

	return e->key ? e->value : NULL;
}

void *
htab_put(struct htab *h, struct span key, void *value)
{
	uint64_t hash = hash_of(key);
	struct entry *e = find(h, key, hash);
	void *before;

	if (e->key) {
		before = e->value;
		e->value = value;
		return before;
	}
	if ((h->used + 1) * 4 > h->cap * 3) {
		grow(h);
		e = find(h, key, hash);
	}
	e->key = mem_strndup(key.data, key.len);
	e->len = key.len;
	e->hash = hash;
	e->value = value;
	h->used++;
	h->live++;
	return NULL;
}

void *
htab_remove(struct htab *h, struct span key)
{
	struct entry *e = find(h, key, hash_of(key));
	void *value = e->value;

	if (!e->key)
		return NULL;
	free(e->key);
	e->key = NULL;
	e->value = NULL;
	e->dead = true;
	h->live--;
	return value;
}

bool
htab_next(const struct htab *h, size_t *pos, struct span *key, void **value)
{
	for (; *pos < h->cap; (*pos)++) {
		const struct entry *e = &h->slots[*pos];

		if (!e->key)
			continue;
		if (key)
			*key = span_make(e->key, e->len);
		if (value)
			*value = e->value;
		(*pos)++;
		return true;
	}
	return false;
}
