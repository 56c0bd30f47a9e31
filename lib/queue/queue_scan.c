/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/queue/queue_walk.h"

/* ---- segments ---- */

void
queue_rescan_incoming(struct queue *q)
{
	strvec_reset(&q->scan);
	q->scan_at = 0;
	q->scan_offset = 0;
	q->scanned = false;
	q->missed = false;
}

/* The names of a pass: those in the directory now. */
static void
start_pass(struct queue *q)
{
	struct queue_walk *w = queue_walk_new("incoming");
	const char *name, *path;

	q->missed = false;
	while (queue_walk_next(w, &name, &path, NULL))
		if (segment_add(q, path))
			strvec_add(&q->scan, path);
	if (errno)
		log_warn("open directory incoming: %m");
	queue_walk_free(w);
}

/* An image whose header is good and whose rest is not. */
static void
damaged_message(struct queue *q, struct segment *s, struct entry *e)
{
	struct image_header h;

	/* In a file that grows, what is being written looks like that. */
	if (!s->unlocked ||
	    image_read_header(s->fd, e->offset, &h) != QUEUE_READ_OK ||
	    !corrupt_save(s->fd, e->offset, image_length(&h), h.id))
		return;
	segment_set(s, e, ENTRY_DONE);
	queue_journal_done(q, s, e->offset);
	q->settle = true;
}

/* Was it moved to a file before the last owner ended? */
static bool
moved_already(struct queue *q, struct segment *s, struct entry *e)
{
	struct image_header h;

	if (image_read_header(s->fd, e->offset, &h) != QUEUE_READ_OK ||
	    !move_was_done(q, &h))
		return false;
	segment_set(s, e, ENTRY_DONE);
	queue_journal_done(q, s, e->offset);
	q->settle = true;
	return true;
}

static size_t
scan_segment(struct queue *q, struct segment *s, size_t max,
	     void (*fn)(void *arg, struct queue_message *m), void *arg)
{
	size_t taken = 0;

	segment_advance(q, s);
	if (s->n_idle == 0) {
		q->settle = q->settle || s->n_open == 0;
		segment_rest(s);
		return 0;
	}
	/* What a living writer has written may not be committed yet. */
	if (s->fd < 0 || (!s->unlocked && !queue_sys_datasync(s->fd))) {
		log_warn("read %s: %m", s->path);
		return 0;
	}
	/* fn may call queue_sync(), which removes what nobody needs. */
	s->n_open++;
	for (size_t i = 0; i < s->n && s->n_idle && taken < max; i++) {
		struct entry *e = &s->v[i];
		enum queue_read st;
		struct held *h;

		/* What was given back is for the next pass. */
		if (e->offset < q->scan_offset)
			continue;
		q->scan_offset = e->offset + 1;
		if (!segment_entry_due(e) || moved_already(q, s, e))
			continue;
		h = held_from_segment(q, s, e->offset, true, &st);
		if (h) {
			taken++;
			fn(arg, &h->m);
		} else if (st == QUEUE_READ_CORRUPT) {
			damaged_message(q, s, e);
		} else {
			log_warn("read %s: %m", s->path);
		}
	}
	s->n_open--;
	segment_rest(s);
	return taken;
}

size_t
queue_scan_incoming(struct queue *q, size_t max,
		    void (*fn)(void *arg, struct queue_message *m), void *arg)
{
	size_t taken = 0;

	if (q->scanned && q->missed)
		queue_rescan_incoming(q);
	if (q->scanned)
		return 0;
	if (q->scan_at == 0 && q->scan.n == 0)
		start_pass(q);
	while (taken < max && q->scan_at < q->scan.n) {
		struct segment *s = segment_get(q, q->scan.v[q->scan_at]);
		size_t n = 0;

		if (s)
			n = scan_segment(q, s, max - taken, fn, arg);
		taken += n;
		/* Not through with it only when the limit ended the loop. */
		if (taken < max) {
			q->scan_at++;
			q->scan_offset = 0;
		}
	}
	if (q->scan_at >= q->scan.n) {
		strvec_reset(&q->scan);
		q->scan_at = 0;
		q->scan_offset = 0;
		q->scanned = true;
	}
	return taken;
}

/* ---- files ---- */

size_t
queue_scan_deferred(struct queue *q, const char *queue_name, size_t max,
		    void (*fn)(void *arg, const char *id, int64_t next),
		    void *arg)
{
	bool hold = strcmp(queue_name, "hold") == 0;
	struct queue_walk *w = hold ? q->walk_hold : q->walk_deferred;
	bool *ended = hold ? &q->hold_ended : &q->deferred_ended;
	const char *name, *path;
	struct stat st;
	size_t n = 0;

	/* The walk would begin again: say first that it has ended. */
	while (n < max && !*ended) {
		struct span s;

		*ended = !queue_walk_next(w, &name, &path, &st);
		if (*ended)
			break;
		s = span_of(name);

		if (span_ends_nocase(s, ".new")) {
			/* A rewrite that was interrupted. */
			queue_sys_unlink(path);
			continue;
		}
		if (!queue_id_valid(s)) {
			log_warn("%s: not a queue file", path);
			continue;
		}
		n++;
		fn(arg, name,
		   st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000);
	}
	if (n == 0)
		*ended = false;
	return n;
}
