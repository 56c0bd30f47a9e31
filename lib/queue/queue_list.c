/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_walk.h"

struct lister {
	const char *id; /* NULL: all */
	bool (*fn)(void *arg, const struct queue_listing *l);
	void *arg;
	bool stop;
	struct htab *seen; /* ids met in segments: they may move meanwhile */
};

static void
copy_name(struct queue_listing *l, const char *queue_name, const char *id)
{
	snprintf(l->queue_name, sizeof(l->queue_name), "%s", queue_name);
	snprintf(l->id, sizeof(l->id), "%s", id);
}

/* ---- files ---- */

static void
list_file(struct lister *ls, const char *queue_name, const char *name,
	  const char *path)
{
	struct queue_listing l = {0};
	struct queue_place place;
	struct queue_state state = {0};
	struct envelope env = ENVELOPE_INIT;
	struct stat st;
	int64_t end;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	if (queue_read_image(fd, 0, false, &place, NULL, &env) !=
		QUEUE_READ_OK ||
	    fstat(fd, &st) < 0) {
		close(fd);
		return;
	}
	queue_state_init(&state, env.n_rcpts);
	queue_state_read(fd, place.offset + place.length, &state, &end);
	copy_name(&l, queue_name, name);
	place.path = mem_strdup(path);
	l.env = &env;
	l.state = state.state;
	l.last = state.last;
	l.expire = state.expire || (env.flags & ENVELOPE_EXPIRED);
	l.place = &place;
	if (strcmp(queue_name, "deferred") == 0)
		l.next_attempt =
		    st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000;
	if (!htab_get(ls->seen, span_of(name)))
		ls->stop = !ls->fn(ls->arg, &l);
	queue_place_close(&place);
	queue_state_free(&state);
	envelope_free(&env);
}

static bool
list_files(struct lister *ls, const char *queue_name)
{
	struct queue_walk *w;
	const char *name, *path;
	bool ok;

	if (ls->id) {
		struct buf p = BUF_INIT;

		queue_path(queue_name, ls->id, &p);
		list_file(ls, queue_name, ls->id, buf_cstr(&p));
		buf_free(&p);
		return true;
	}
	w = queue_walk_new(queue_name);
	errno = 0;
	while (!ls->stop && queue_walk_next(w, &name, &path, NULL))
		if (queue_id_valid(span_of(name)))
			list_file(ls, queue_name, name, path);
	ok = ls->stop || errno == 0 || errno == ENOENT;
	queue_walk_free(w);
	return ok;
}

/* ---- segments ---- */

static bool
all_done(const uint8_t *state, size_t n)
{
	size_t i = 0;

	while (i < n && state[i] == RCPT_DONE)
		i++;
	return n > 0 && i == n;
}

static void
list_image(struct lister *ls, struct segment *s, int64_t offset)
{
	struct queue_listing l = {0};
	struct queue_place place;
	struct envelope env = ENVELOPE_INIT;
	char id[QUEUE_ID_MAX];
	uint8_t *state;

	if (queue_read_image(s->fd, offset, false, &place, id, &env) !=
	    QUEUE_READ_OK)
		return;
	if (ls->id && strcmp(ls->id, id) != 0) {
		envelope_free(&env);
		return;
	}
	state = mem_calloc(env.n_rcpts, 1);
	for (size_t i = 0; i < s->n_done; i++)
		if (s->done[i].offset == offset &&
		    s->done[i].index < env.n_rcpts)
			state[s->done[i].index] = RCPT_DONE;
	copy_name(&l, "incoming", id);
	place.path = s->path;
	l.env = &env;
	l.state = state;
	l.expire = (env.flags & ENVELOPE_EXPIRED) != 0;
	l.place = &place;
	if (!all_done(state, env.n_rcpts)) {
		htab_put(ls->seen, span_of(id), s);
		ls->stop = !ls->fn(ls->arg, &l);
	}
	free(state);
	envelope_free(&env);
}

static void
list_segment(struct queue *q, struct lister *ls, struct segment *s)
{
	if (!segment_open(s))
		return;
	segment_advance(q, s);
	for (size_t i = 0; i < s->n && !ls->stop; i++)
		if (s->v[i].state != ENTRY_DONE)
			list_image(ls, s, s->v[i].offset);
	segment_rest(s);
}

static void
drop_segment(void *value)
{
	segment_free(value);
}

static bool
list_segments(struct lister *ls)
{
	struct queue q = {.reader = true, .segments = htab_new()};
	size_t pos = 0;
	void *value;
	bool ok;

	ok = queue_list_segments(&q) || errno == ENOENT;
	/* After the names: a record about what was there is not missed. */
	ok = journal_read(queue_replay, &q) && ok;
	while (!ls->stop && htab_next(q.segments, &pos, NULL, &value))
		list_segment(&q, ls, value);
	htab_free(q.segments, drop_segment);
	return ok;
}

/* ---- submitted ---- */

static void
note_submitted(struct htab *ids, int fd, int64_t offset)
{
	struct envelope env = ENVELOPE_INIT;
	struct queue_place place;
	char id[QUEUE_ID_MAX];

	if (queue_read_image(fd, offset, false, &place, id, &env) !=
	    QUEUE_READ_OK)
		return;
	if (env.uid >= 0) {
		int *uid = mem_alloc(sizeof(*uid));

		*uid = env.uid;
		free(htab_put(ids, span_of(id), uid));
	}
	envelope_free(&env);
}

struct htab *
queue_submitted(void)
{
	struct queue q = {.reader = true, .segments = htab_new()};
	struct htab *ids = htab_new();
	size_t pos = 0;
	void *value;

	queue_list_segments(&q);
	while (htab_next(q.segments, &pos, NULL, &value)) {
		struct segment *s = value;

		if (!segment_open(s))
			continue;
		segment_advance(&q, s);
		for (size_t i = 0; i < s->n; i++)
			note_submitted(ids, s->fd, s->v[i].offset);
		segment_rest(s);
	}
	htab_free(q.segments, drop_segment);
	return ids;
}

static bool
is_in_file(const char *queue_name, const char *id, int uid)
{
	struct envelope env = ENVELOPE_INIT;
	struct queue_place place;
	struct buf path = BUF_INIT;
	bool same = false;
	int fd;

	queue_path(queue_name, id, &path);
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && queue_read_image(fd, 0, false, &place, NULL, &env) ==
			   QUEUE_READ_OK) {
		same = env.uid == uid;
		envelope_free(&env);
	}
	if (fd >= 0)
		close(fd);
	buf_free(&path);
	return same;
}

bool
queue_was_taken(const struct htab *submitted, const char *id, int uid)
{
	const int *who = htab_get(submitted, span_of(id));

	return (who && *who == uid) || is_in_file("deferred", id, uid) ||
	       is_in_file("hold", id, uid);
}

bool
queue_list(const char *id, bool (*fn)(void *arg, const struct queue_listing *l),
	   void *arg)
{
	static const char *const queues[] = {"deferred", "hold"};
	struct lister ls = {.id = id, .fn = fn, .arg = arg};
	bool ok = true;

	if (id && !queue_id_valid(span_of(id)))
		return true;
	ls.seen = htab_new();
	ok &= list_files(&ls, "maildrop");
	if (!ls.stop)
		ok &= list_segments(&ls);
	for (size_t i = 0; i < 2 && !ls.stop; i++)
		ok &= list_files(&ls, queues[i]);
	htab_free(ls.seen, NULL);
	return ok;
}
