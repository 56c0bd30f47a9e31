/* SPDX-License-Identifier: MIT */
#include "lib/service/rate_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "lib/base/log.h"
#include "lib/service/service.h"

struct entry {
	struct rate_key key; /* family 0: free */
	int64_t start;
	int count[RATE_KINDS];
};

/* What a worker writes of its client, and others read while it does: a pair
 * of numbers that nobody needs a lock for. */
struct holder {
	_Atomic uint64_t id; /* hash of the key; 0: no client */
};

struct rate_table {
	pthread_mutex_t lock;
	int64_t window;
	uint64_t seed;
	int sets, slots;
	int used;
	struct rate_peaks peaks;
	struct holder *holders;
	struct entry entry[];
};

bool
rate_key_parse(const char *addr, int v4_bits, int v6_bits, struct rate_key *key)
{
	int bits, size;

	memset(key, 0, sizeof(*key));
	if (inet_pton(AF_INET, addr, key->addr) == 1) {
		key->family = 4;
		bits = v4_bits;
		size = 4;
	} else if (inet_pton(AF_INET6, addr, key->addr) == 1) {
		key->family = 6;
		bits = v6_bits;
		size = 16;
	} else {
		return false;
	}
	if (bits > size * 8)
		bits = size * 8;
	key->bits = (uint8_t)bits;
	for (int i = 0; i < size; i++) {
		int keep = bits - i * 8;

		if (keep <= 0)
			key->addr[i] = 0;
		else if (keep < 8)
			key->addr[i] &= (uint8_t)(0xff << (8 - keep));
	}
	return true;
}

void
rate_key_format(const struct rate_key *key, char out[RATE_KEY_TEXT])
{
	char text[INET6_ADDRSTRLEN] = "";
	int full = key->family == 4 ? 32 : 128;

	inet_ntop(key->family == 4 ? AF_INET : AF_INET6, key->addr, text,
		  sizeof(text));
	if (key->bits == full)
		snprintf(out, RATE_KEY_TEXT, "%s", text);
	else
		snprintf(out, RATE_KEY_TEXT, "%s/%d", text, key->bits);
}

static void
init_lock(pthread_mutex_t *lock)
{
	pthread_mutexattr_t a;

	if (pthread_mutexattr_init(&a) ||
	    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) ||
	    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST) ||
	    pthread_mutex_init(lock, &a))
		log_fatal("cannot make a mutex for processes");
	pthread_mutexattr_destroy(&a);
}

struct rate_table *
rate_table_new(int entries, int slots, int64_t window)
{
	int sets = entries / RATE_WAYS > 0 ? entries / RATE_WAYS : 1;
	struct rate_table *t = service_shared_memory(
	    sizeof(*t) + (size_t)sets * RATE_WAYS * sizeof(struct entry));

	t->holders =
	    service_shared_memory((size_t)slots * sizeof(struct holder));
	init_lock(&t->lock);
	t->window = window;
	t->sets = sets;
	t->slots = slots;
	if (getrandom(&t->seed, sizeof(t->seed), 0) < 0)
		log_fatal("getrandom: %m");
	return t;
}

/* FNV-1a from a secret start, then mixed; never 0. */
static uint64_t
hash(const struct rate_table *t, const struct rate_key *key)
{
	const unsigned char *p = (const unsigned char *)key;
	uint64_t h = t->seed ^ 14695981039346656037ULL;

	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ p[i]) * 1099511628211ULL;
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	return h ? h : 1;
}

/* false: nothing can be counted (never seen, but no reason to stop mail). */
static bool
lock(struct rate_table *t)
{
	int rc = pthread_mutex_lock(&t->lock);

	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(&t->lock);
	return rc == 0;
}

static bool
same(const struct rate_key *a, const struct rate_key *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

static bool
is_over(const struct rate_table *t, const struct entry *e, int64_t now)
{
	return now - e->start > t->window;
}

static struct entry *
find(struct rate_table *t, const struct rate_key *key)
{
	struct entry *set =
	    &t->entry[hash(t, key) % (uint64_t)t->sets * RATE_WAYS];

	for (int i = 0; i < RATE_WAYS; i++)
		if (same(&set[i].key, key))
			return &set[i];
	return NULL;
}

/* A free entry of the set, or the oldest. */
static struct entry *
make(struct rate_table *t, const struct rate_key *key, int64_t now)
{
	struct entry *set =
	    &t->entry[hash(t, key) % (uint64_t)t->sets * RATE_WAYS];
	struct entry *best = set;

	for (int i = 1; i < RATE_WAYS && best->key.family; i++)
		if (!set[i].key.family || set[i].start < best->start)
			best = &set[i];
	if (!best->key.family && ++t->used > t->peaks.entries) {
		t->peaks.entries = t->used;
		t->peaks.entries_when = time(NULL);
	}
	*best = (struct entry){.key = *key, .start = now};
	return best;
}

static void
note_peak(struct rate_peak *p, int value, const struct rate_key *key)
{
	if (value <= p->value)
		return;
	*p = (struct rate_peak){value, *key, time(NULL)};
}

int
rate_add(struct rate_table *t, const struct rate_key *key, enum rate_kind kind,
	 int64_t now)
{
	struct entry *e;
	int n;

	if (!lock(t))
		return 0;
	e = find(t, key);
	if (!e)
		e = make(t, key, now);
	else if (is_over(t, e, now))
		*e = (struct entry){.key = *key, .start = now};
	n = e->count[kind] < INT32_MAX ? ++e->count[kind] : INT32_MAX;
	note_peak(&t->peaks.rate[kind], n, key);
	pthread_mutex_unlock(&t->lock);
	return n;
}

int
rate_get(struct rate_table *t, const struct rate_key *key, enum rate_kind kind,
	 int64_t now)
{
	const struct entry *e;
	int n = 0;

	if (!lock(t))
		return 0;
	e = find(t, key);
	if (e && !is_over(t, e, now))
		n = e->count[kind];
	pthread_mutex_unlock(&t->lock);
	return n;
}

int
rate_connected(struct rate_table *t, int slot, const struct rate_key *key)
{
	uint64_t id = hash(t, key);
	int n = 0;

	if (slot < 0 || slot >= t->slots)
		return 0;
	atomic_store(&t->holders[slot].id, id);
	for (int i = 0; i < t->slots; i++)
		n += atomic_load(&t->holders[i].id) == id;
	if (lock(t)) {
		note_peak(&t->peaks.connections, n, key);
		pthread_mutex_unlock(&t->lock);
	}
	return n;
}

void
rate_disconnected(struct rate_table *t, int slot)
{
	if (slot >= 0 && slot < t->slots)
		atomic_store(&t->holders[slot].id, 0);
}

void
rate_sweep(struct rate_table *t, int64_t now)
{
	if (!lock(t))
		return;
	for (int i = 0; t->used > 0 && i < t->sets * RATE_WAYS; i++) {
		struct entry *e = &t->entry[i];

		if (!e->key.family || !is_over(t, e, now))
			continue;
		e->key.family = 0;
		t->used--;
	}
	pthread_mutex_unlock(&t->lock);
}

void
rate_take_peaks(struct rate_table *t, struct rate_peaks *out)
{
	memset(out, 0, sizeof(*out));
	if (!lock(t))
		return;
	*out = t->peaks;
	memset(&t->peaks, 0, sizeof(t->peaks));
	pthread_mutex_unlock(&t->lock);
}
