/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

/*
 * The order is what keeps mail safe: copies and their names first, then the
 * journal that says the originals are done, then the originals go.
 */

enum {
	REWRITE_MIN = 32 * 1024, /* records in the journal: 1 MiB */
	REWRITE_FACTOR = 4,      /* of those that mean something still */
	COMPLAIN_USEC = 10000000,
	UNDONE_USEC = 60000000, /* before a move that failed is tried again */
};

/* One line now and then: a full disk lasts. */
static void
complain(const char *what)
{
	static int64_t next;
	int64_t now = io_monotonic();

	if (now < next)
		return;
	next = now + COMPLAIN_USEC;
	log_error("%s: %m", what);
}

/* State records of messages in hand, then all files with new records. */
static bool
sync_files(struct queue *q)
{
	size_t pos = 0;
	void *value;
	bool ok = true;

	while (q->n_touched && htab_next(q->files, &pos, NULL, &value)) {
		struct held *h = value;

		if (!h->touched)
			continue;
		/* The others may lie where the disk is well. */
		if (!state_append_done(q, h)) {
			complain("record the state of a deferred message");
			ok = false;
			continue;
		}
		h->touched = false;
		q->n_touched--;
	}
	move_sync_fds(q);
	return ok;
}

/* The copy cannot be trusted: back to the original. */
static void
undo_move(struct queue *q, struct move *m)
{
	struct entry *e = segment_find(m->seg, m->offset);

	if (!queue_sys_unlink(m->path))
		strvec_add(&q->removals, m->path);
	if (e) {
		segment_set(m->seg, e, ENTRY_IDLE);
		segment_put_off(e, io_now() + UNDONE_USEC);
	}
	q->missed = true;
}

static bool
sync_moved_data(struct queue *q)
{
	size_t kept = 0;
	bool ok = true;

	for (size_t i = 0; i < q->n_moves; i++) {
		struct move *m = &q->moves[i];

		if (m->fd >= 0 && !queue_sys_datasync(m->fd)) {
			log_error("sync %s: %m", m->path);
			ok = false;
			if (!m->renamed) {
				undo_move(q, m);
				close(m->fd);
				free(m->path);
				continue;
			}
		} else if (m->fd >= 0) {
			close(m->fd);
			m->fd = -1;
		}
		q->moves[kept++] = *m;
	}
	q->n_moves = kept;
	return ok;
}

/* Another try at what queue_finish() could not remove. */
static bool
retry_removals(struct queue *q)
{
	struct strvec left = STRVEC_INIT;

	for (size_t i = 0; i < q->removals.n; i++) {
		const char *path = q->removals.v[i];

		if (queue_sys_unlink(path) || errno == ENOENT) {
			move_sync_dir_later(q, path);
			continue;
		}
		complain("remove a finished message");
		strvec_add(&left, path);
	}
	strvec_free(&q->removals);
	q->removals = left;
	return left.n == 0;
}

static bool
sync_dirs(struct queue *q)
{
	for (size_t i = 0; i < q->dirs.n; i++)
		if (!queue_sys_sync_dir(q->dirs.v[i]) && errno != ENOENT) {
			complain("sync a directory of the queue");
			return false;
		}
	strvec_reset(&q->dirs);
	return true;
}

/* The copies are safe: the originals are done. */
static void
settle_moves(struct queue *q)
{
	size_t kept = 0;

	for (size_t i = 0; i < q->n_moves; i++) {
		struct move *m = &q->moves[i];
		struct entry *e = segment_find(m->seg, m->offset);

		if (m->fd >= 0) {
			q->moves[kept++] = *m;
			continue;
		}
		if (e)
			segment_set(m->seg, e, ENTRY_DONE);
		queue_journal_done(q, m->seg, m->offset);
		free(m->path);
		q->settle = true;
	}
	q->n_moves = kept;
}

/* ---- rewriting the journal ---- */

struct records {
	struct journal_record *v;
	size_t n, cap;
};

static void
keep_record(struct records *r, uint32_t type, uint32_t index,
	    const struct segment *s, int64_t offset)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 256;
		r->v = mem_realloc(r->v, r->cap, sizeof(*r->v));
	}
	r->v[r->n++] = (struct journal_record){
	    .type = type, .index = index, .file = s->number, .offset = offset};
}

static void
keep_segment(struct records *r, const struct segment *s)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct entry *e = &s->v[i];

		if (e->state == ENTRY_DONE)
			keep_record(r, JOURNAL_DONE, 0, s, e->offset);
		for (size_t k = 0; e->held && k < e->held->m.env.n_rcpts; k++)
			if (e->held->m.state[k] == RCPT_DONE)
				keep_record(r, JOURNAL_RCPT, (uint32_t)k, s,
					    e->offset);
	}
	for (size_t i = 0; i < s->n_done; i++)
		keep_record(r, JOURNAL_RCPT, s->done[i].index, s,
			    s->done[i].offset);
}

/* Entries that are done count as meaning something until their segment goes;
 * a look at their number is enough to decide. */
static size_t
count_live(struct queue *q)
{
	size_t pos = 0, n = 0;
	void *value;

	while (htab_next(q->segments, &pos, NULL, &value)) {
		const struct segment *s = value;

		n += s->n + s->n_done;
	}
	return n;
}

static bool
write_journal(struct queue *q)
{
	struct records r = {0};
	size_t pos = 0;
	void *value;
	bool ok;

	if (q->journal.count < REWRITE_MIN ||
	    q->journal.count < REWRITE_FACTOR * count_live(q))
		return journal_flush(&q->journal);
	/* Records of removed segments go: their names must be gone for good. */
	if (!queue_sys_sync_dir("incoming"))
		return journal_flush(&q->journal);
	while (htab_next(q->segments, &pos, NULL, &value))
		keep_segment(&r, value);
	ok = journal_rewrite(&q->journal, r.v, r.n);
	free(r.v);
	/* No room for a second file: the old one may still grow. */
	return ok || journal_flush(&q->journal);
}

/* ---- all of it ---- */

static void
settle_segments(struct queue *q)
{
	int64_t now = io_monotonic();
	size_t pos = 0;
	void *value;

	q->settle = false;
	while (htab_next(q->segments, &pos, NULL, &value))
		segment_settle(q, value, now);
}

bool
queue_sync(struct queue *q)
{
	bool ok = true;

	if (!queue_unsynced(q))
		return true;
	ok = sync_files(q);
	if (q->removals.n)
		ok &= retry_removals(q);
	if (q->n_moves)
		ok &= sync_moved_data(q);
	if (q->dirs.n)
		ok &= sync_dirs(q);
	if (q->n_moves && q->dirs.n == 0)
		settle_moves(q);
	if (!write_journal(q)) {
		bool full = errno == ENOSPC || errno == EDQUOT;

		complain("write journal/log");
		if (full && q->settle) {
			q->full = true;
			settle_segments(q);
			q->full = false;
			/* Once more when the journal has been written. */
			q->settle = true;
		}
		return false;
	}
	if (q->settle)
		settle_segments(q);
	super_index_age(q);
	return ok;
}

bool
queue_unsynced(const struct queue *q)
{
	return q->journal.n_pending || q->n_moves || q->dirs.n || q->n_dirty ||
	       q->n_touched || q->removals.n || q->settle;
}
