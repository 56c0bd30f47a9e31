/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	NUMBER_DIGITS = 16,
	SEARCH_BLOCK = 64 * 1024,
	CHECK_AGAIN_USEC = 5000000,
	MAGIC_SIZE = 8,
};

#define PREFIX "incoming/"

bool
segment_path_ok(const char *path, uint64_t *number)
{
	struct span s = span_of(path);
	struct span name = span_from(s, sizeof(PREFIX) - 1);

	return strncmp(path, PREFIX, sizeof(PREFIX) - 1) == 0 &&
	       name.len == NUMBER_DIGITS &&
	       num_parse_base(name, 16, UINT64_MAX, number) && *number != 0;
}

struct segment *
segment_get(struct queue *q, const char *path)
{
	return htab_get(q->segments, span_of(path));
}

struct segment *
segment_by_number(struct queue *q, uint64_t number)
{
	char path[32];

	snprintf(path, sizeof(path), PREFIX "%016" PRIX64, number);
	return segment_get(q, path);
}

struct segment *
segment_add(struct queue *q, const char *path)
{
	struct segment *s = segment_get(q, path);
	uint64_t number;

	if (s || !segment_path_ok(path, &number) || access(path, F_OK) < 0)
		return s;
	s = mem_alloc(sizeof(*s));
	s->number = number;
	s->fd = -1;
	snprintf(s->path, sizeof(s->path), "%s", path);
	htab_put(q->segments, span_of(s->path), s);
	return s;
}

void
segment_free(struct segment *s)
{
	if (s->fd >= 0)
		close(s->fd);
	free(s->v);
	free(s->done);
	free(s);
}

bool
segment_open(struct segment *s)
{
	if (s->fd >= 0)
		return true;
	s->fd = open(s->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	return s->fd >= 0;
}

void
segment_rest(struct segment *s)
{
	if (s->fd >= 0 && s->n_open == 0) {
		close(s->fd);
		s->fd = -1;
		/* Without our lock an empty one may get a writer still. */
		s->unlocked = false;
	}
}

/* Index of the first entry at or behind offset. */
static size_t
position(const struct segment *s, int64_t offset)
{
	size_t lo = 0, hi = s->n;

	/* Most of the time it is the end. */
	if (s->n == 0 || s->v[s->n - 1].offset < offset)
		return s->n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->v[mid].offset < offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct entry *
segment_find(struct segment *s, int64_t offset)
{
	size_t i = position(s, offset);

	return i < s->n && s->v[i].offset == offset ? &s->v[i] : NULL;
}

static void
count_state(struct segment *s, enum entry_state state, int by)
{
	if (state == ENTRY_IDLE)
		s->n_idle += (size_t)by;
	else if (state != ENTRY_DONE)
		s->n_open += (size_t)by;
}

struct entry *
segment_put(struct segment *s, int64_t offset, enum entry_state state)
{
	size_t i = position(s, offset);

	if (i < s->n && s->v[i].offset == offset)
		return &s->v[i];
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 4;
		s->v = mem_realloc(s->v, s->cap, sizeof(*s->v));
	}
	memmove(&s->v[i + 1], &s->v[i], (s->n - i) * sizeof(*s->v));
	s->v[i] = (struct entry){.offset = offset, .state = state};
	s->n++;
	count_state(s, state, 1);
	return &s->v[i];
}

void
segment_set(struct segment *s, struct entry *e, enum entry_state state)
{
	count_state(s, e->state, -1);
	e->state = state;
	count_state(s, state, 1);
	if (state != ENTRY_TAKEN)
		e->held = NULL;
}

void
segment_put_off(struct entry *e, int64_t until)
{
	int64_t seconds = until / 1000000;

	e->not_before = seconds < 0		? 0
			: seconds > UINT32_MAX ? UINT32_MAX
					       : (uint32_t)seconds;
}

bool
segment_entry_due(const struct entry *e)
{
	return e->state == ENTRY_IDLE &&
	       (!e->not_before || e->not_before <= io_now() / 1000000);
}

void
segment_add_done(struct segment *s, int64_t offset, uint32_t index)
{
	for (size_t i = 0; i < s->n_done; i++)
		if (s->done[i].offset == offset && s->done[i].index == index)
			return;
	if (s->n_done == s->cap_done) {
		s->cap_done = s->cap_done ? s->cap_done * 2 : 8;
		s->done = mem_realloc(s->done, s->cap_done, sizeof(*s->done));
	}
	s->done[s->n_done++] = (struct done_rcpt){offset, index};
}

bool
segment_is_unlocked(struct segment *s)
{
	if (!s->unlocked && segment_open(s) &&
	    flock(s->fd, LOCK_EX | LOCK_NB) == 0)
		s->unlocked = true;
	return s->unlocked;
}

/* The next header of this segment behind offset (-1: none); its own number
 * and place are in it, so that nothing else can be taken for one. false:
 * errno */
static bool
search_header(struct segment *s, int64_t offset, int64_t *next)
{
	char *block = mem_alloc(SEARCH_BLOCK);
	int64_t found = -1, at = offset + 1;
	ssize_t n = 0;

	while (found < 0 &&
	       (n = pread(s->fd, block, SEARCH_BLOCK, at)) >= IMAGE_HEADER) {
		const char *p = block;
		size_t left = (size_t)n;

		while (found < 0 &&
		       (p = memmem(p, left, "PRMAIL1\n", MAGIC_SIZE))) {
			struct image_header h;

			left = (size_t)(block + n - p);
			if (left < IMAGE_HEADER)
				break;
			if (image_decode(p, &h) && h.file == s->number &&
			    h.offset == at + (p - block))
				found = h.offset;
			p++;
			left--;
		}
		at += n - IMAGE_HEADER + 1;
	}
	free(block);
	*next = found;
	return n >= 0;
}

/* A state record stands there: the segment was on its way to be a file of
 * deferred/ (queue_move.c) when the process ended. */
static bool
is_state_record(struct segment *s, int64_t offset)
{
	char magic[MAGIC_SIZE];

	return io_pread_all(s->fd, magic, sizeof(magic), offset) &&
	       queue_state_is_record(magic, sizeof(magic));
}

enum damage {
	DAMAGE_SKIPPED, /* s->end is behind it */
	DAMAGE_NONE,    /* it is the end of the segment */
	DAMAGE_STUCK,   /* the disk does not let us know, or save it */
};

/* Keep a copy of what lies between s->end and next (-1: the file's end). */
static bool
save_damage(struct queue *q, struct segment *s, int64_t next)
{
	struct entry *e = segment_find(s, s->end);
	char name[QUEUE_ID_MAX];

	if (e && e->state == ENTRY_DONE)
		return true;
	snprintf(name, sizeof(name), "%016" PRIX64 "%" PRIX64, s->number,
		 (uint64_t)s->end);
	if (!corrupt_save(s->fd, s->end, next < 0 ? -1 : next - s->end, name))
		return false;
	segment_set(s, segment_put(s, s->end, ENTRY_DONE), ENTRY_DONE);
	queue_journal_done(q, s, s->end);
	return true;
}

/*
 * No image at s->end of a segment that will not grow. A writer that died
 * leaves the beginning of an image, or nothing, at the end: that was never
 * acknowledged. Anything else is damage: save it, and go on behind it.
 */
static enum damage
skip_damage(struct queue *q, struct segment *s, enum queue_read st)
{
	struct stat file;
	int64_t next;

	if (st == QUEUE_READ_ERROR || fstat(s->fd, &file) < 0)
		return DAMAGE_STUCK;
	if (s->end >= file.st_size || is_state_record(s, s->end))
		return DAMAGE_NONE;
	if (!search_header(s, s->end, &next))
		return DAMAGE_STUCK;
	if (next < 0 && (q->reader || st != QUEUE_READ_CORRUPT))
		return DAMAGE_NONE;
	if (!q->reader && !save_damage(q, s, next))
		return DAMAGE_STUCK;
	s->end = next < 0 ? file.st_size : next;
	return DAMAGE_SKIPPED;
}

bool
segment_advance(struct queue *q, struct segment *s)
{
	struct image_header h;
	enum queue_read st;
	bool last;

	if (!segment_open(s))
		return false;
	/* Ask before reading: what comes after the answer is not missed. */
	last = q->reader || segment_is_unlocked(s);
	for (;;) {
		enum damage d;

		st = image_read_header(s->fd, s->end, &h);
		if (st == QUEUE_READ_OK && h.file == s->number) {
			segment_put(s, s->end, ENTRY_IDLE);
			s->end += image_length(&h);
			continue;
		}
		if (st == QUEUE_READ_OK)
			st = QUEUE_READ_CORRUPT;
		if (!last)
			return false;
		d = skip_damage(q, s, st);
		if (d != DAMAGE_SKIPPED)
			return d == DAMAGE_NONE;
	}
}

/* Nobody needs it: away. false: errno */
static bool
segment_remove(struct queue *q, struct segment *s)
{
	if (!queue_sys_unlink(s->path) && errno != ENOENT)
		return false;
	segment_free(htab_remove(q->segments, span_of(s->path)));
	return true;
}

void
segment_settle(struct queue *q, struct segment *s, int64_t now)
{
	if (s->n_open || s->n_idle || s->next_check > now)
		return;
	s->next_check = now + CHECK_AGAIN_USEC;
	if (!segment_open(s)) {
		if (errno == ENOENT)
			segment_free(
			    htab_remove(q->segments, span_of(s->path)));
		return;
	}
	/*
	 * All of it must have been read, and the journal must say that all of
	 * it is done. A full disk does not let the journal say so, and gets
	 * room only by what goes.
	 */
	if (segment_is_unlocked(s) && segment_advance(q, s) && s->n_idle == 0 &&
	    (q->journal.n_pending == 0 || q->full)) {
		if (segment_remove(q, s))
			return;
		log_warn("remove %s: %m", s->path);
	}
	if (s->n_idle)
		q->missed = true;
	segment_rest(s);
}
