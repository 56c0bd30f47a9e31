/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/queue/queue_walk.h"

/* ---- ownership ---- */

static int
take_lock(void)
{
	int fd = open("journal/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		      0600);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int saved = errno == EWOULDBLOCK ? EAGAIN : errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

bool
queue_list_segments(struct queue *q)
{
	bool ok;

	struct queue_walk *w = queue_walk_new("incoming");
	const char *name, *path;

	while (queue_walk_next(w, &name, &path, NULL))
		segment_add(q, path);
	ok = errno == 0;
	queue_walk_free(w);
	return ok;
}

void
queue_replay(void *arg, const struct journal_record *r)
{
	struct segment *s = segment_by_number(arg, r->file);

	if (!s)
		return;
	if (r->type == JOURNAL_DONE)
		segment_set(s, segment_put(s, r->offset, ENTRY_DONE),
			    ENTRY_DONE);
	else if (r->type == JOURNAL_RCPT)
		segment_add_done(s, r->offset, r->index);
}

/* A message in hand may need a descriptor. */
static void
raise_descriptor_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

struct queue *
queue_own(void)
{
	struct queue *q;
	int fd;

	/* Where the queue directory is ours; otherwise it is there. */
	mkdir("journal", 0700);
	fd = take_lock();
	if (fd < 0)
		return NULL;
	raise_descriptor_limit();
	q = mem_alloc(sizeof(*q));
	q->lock_fd = fd;
	q->segments = htab_new();
	q->files = htab_new();
	q->unsaved = htab_new();
	q->walk_deferred = queue_walk_new("deferred");
	q->walk_hold = queue_walk_new("hold");
	q->journal.fd = q->receipts.fd = -1;
	if (!queue_list_segments(q) ||
	    !journal_open(&q->journal, queue_replay, q)) {
		int saved = errno;

		log_error("open the queue: %m");
		queue_disown(q);
		errno = saved == EAGAIN ? EIO : saved;
		return NULL;
	}
	receipts_recover(q);
	q->settle = true;
	return q;
}

static void
free_segment(void *value)
{
	segment_free(value);
}

static void
free_state(void *value)
{
	queue_state_free(value);
	free(value);
}

void
queue_disown(struct queue *q)
{
	if (!q)
		return;
	if (q->journal.fd >= 0)
		queue_sync(q);
	journal_close(&q->journal);
	for (size_t i = 0; i < q->n_moves; i++) {
		close(q->moves[i].fd);
		free(q->moves[i].path);
	}
	for (size_t i = 0; i < q->n_dirty; i++)
		close(q->dirty[i]);
	free(q->moves);
	free(q->dirty);
	strvec_free(&q->dirs);
	strvec_free(&q->removals);
	strvec_free(&q->scan);
	super_index_free(q);
	receipts_free(q);
	htab_free(q->segments, free_segment);
	htab_free(q->files, NULL);
	htab_free(q->unsaved, free_state);
	queue_walk_free(q->walk_deferred);
	queue_walk_free(q->walk_hold);
	close(q->lock_fd);
	free(q);
}

/* ---- messages in hand ---- */

static struct held *
held_new(const struct image_header *hdr, const char *queue_name)
{
	struct held *h = mem_alloc(sizeof(*h));

	h->h = *hdr;
	memcpy(h->m.id, hdr->id, sizeof(h->m.id));
	snprintf(h->m.queue_name, sizeof(h->m.queue_name), "%s", queue_name);
	h->m.place.fd = -1;
	return h;
}

void
held_free(struct held *h)
{
	struct queue_message *m = &h->m;

	if (h->seg)
		m->place.fd = -1; /* the segment's */
	queue_place_close(&m->place);
	for (size_t i = 0; m->last && i < m->env.n_rcpts; i++)
		why_free(&m->last[i]);
	free(m->last);
	free(m->state);
	free(h->fresh);
	envelope_free(&m->env);
	free(h);
}

/* Read the image of h (fd, header known) into the message. */
static enum queue_read
held_read(struct held *h, int fd, bool check)
{
	struct buf data = BUF_INIT;
	enum queue_read st;

	st = image_read_envelope(fd, &h->h, &data);
	if (st == QUEUE_READ_OK && check)
		st = image_check_content(fd, &h->h);
	if (st == QUEUE_READ_OK && !envelope_decode(buf_span(&data), &h->m.env))
		st = QUEUE_READ_CORRUPT;
	buf_free(&data);
	if (st != QUEUE_READ_OK)
		return st;
	image_place(fd, &h->h, &h->m.place);
	h->m.state = mem_calloc(h->m.env.n_rcpts, 1);
	return st;
}

/* Recipients that the journal says are done. */
static void
apply_done(struct held *h)
{
	struct segment *s = h->seg;

	for (size_t i = 0; i < s->n_done; i++)
		if (s->done[i].offset == h->h.offset &&
		    s->done[i].index < h->m.env.n_rcpts)
			h->m.state[s->done[i].index] = RCPT_DONE;
}

struct held *
held_from_segment(struct queue *q, struct segment *s, int64_t offset,
		  bool check, enum queue_read *st)
{
	struct image_header hdr;
	struct entry *e;
	struct held *h;

	if (!segment_open(s)) {
		*st = QUEUE_READ_ERROR;
		return NULL;
	}
	*st = image_read_header(s->fd, offset, &hdr);
	if (*st == QUEUE_READ_OK && hdr.file != s->number)
		*st = QUEUE_READ_CORRUPT;
	if (*st != QUEUE_READ_OK)
		return NULL;
	h = held_new(&hdr, "incoming");
	*st = held_read(h, s->fd, check);
	if (*st != QUEUE_READ_OK) {
		held_free(h);
		return NULL;
	}
	h->seg = s;
	h->m.segment = s->number;
	h->m.place.path = mem_strdup(s->path);
	apply_done(h);
	e = segment_put(s, offset, ENTRY_TAKEN);
	segment_set(s, e, ENTRY_TAKEN);
	e->held = h;
	if (s->end == offset)
		s->end += image_length(&hdr);
	q->settle = true;
	return h;
}

struct queue_message *
queue_take(struct queue *q, const char *id, const char *segment, int64_t offset)
{
	struct segment *s = segment_add(q, segment);
	enum queue_read st;
	struct entry *e;
	struct held *h;

	if (!s || offset < 0)
		return NULL;
	e = segment_find(s, offset);
	if (e && !segment_entry_due(e))
		return NULL;
	h = held_from_segment(q, s, offset, false, &st);
	if (h)
		return &h->m;
	/* A scan looks closer, and saves what cannot be read. */
	log_warn("%s: cannot read the message at %s offset %lld", id, segment,
		 (long long)offset);
	q->missed = true;
	segment_rest(s);
	return NULL;
}

/* ---- messages in files ---- */

/* A copy that was interrupted has its original in a segment still. */
static void
unreadable_file(struct queue *q, const char *path, const char *id)
{
	if (super_in_segment(q, id)) {
		log_info("%s: removing an unfinished copy", id);
		queue_sys_unlink(path);
		return;
	}
	corrupt_move(path, id);
}

static void
apply_state(struct held *h, struct queue_state *s)
{
	free(h->m.state);
	h->m.state = s->state;
	h->m.last = s->last;
	h->m.attempts = s->attempts;
	h->m.delay_warned = s->delay_warned;
	h->m.expire = s->expire || (h->m.env.flags & ENVELOPE_EXPIRED);
	s->state = NULL;
	s->last = NULL;
}

/* To be recorded in the message's file. */
static void
touch(struct queue *q, struct held *h, size_t i)
{
	if (!h->touched)
		q->n_touched++;
	h->touched = true;
	if (h->n_fresh == h->cap_fresh) {
		h->cap_fresh = h->cap_fresh ? h->cap_fresh * 2 : 4;
		h->fresh =
		    mem_realloc(h->fresh, h->cap_fresh, sizeof(*h->fresh));
	}
	h->fresh[h->n_fresh++] = (uint32_t)i;
}

/* What the disk would not take at the time. */
static void
apply_unsaved(struct queue *q, struct held *h)
{
	struct queue_state *s = htab_remove(q->unsaved, span_of(h->m.id));

	if (!s)
		return;
	for (size_t i = 0; i < s->n && i < h->m.env.n_rcpts; i++)
		if (s->state[i] == RCPT_DONE && h->m.state[i] != RCPT_DONE) {
			h->m.state[i] = RCPT_DONE;
			touch(q, h, i);
		}
	free_state(s);
}

static struct held *
held_from_file(int fd, const char *queue_name, const char *id,
	       enum queue_read *st)
{
	struct image_header hdr;
	struct queue_state state;
	struct held *h;

	*st = image_read_header(fd, 0, &hdr);
	if (*st == QUEUE_READ_OK && strcmp(hdr.id, id) != 0)
		*st = QUEUE_READ_CORRUPT;
	if (*st != QUEUE_READ_OK)
		return NULL;
	h = held_new(&hdr, queue_name);
	*st = held_read(h, fd, true);
	if (*st != QUEUE_READ_OK) {
		held_free(h);
		return NULL;
	}
	queue_state_init(&state, h->m.env.n_rcpts);
	if (!queue_state_read(fd, image_length(&hdr), &state, &h->state_end))
		*st = QUEUE_READ_ERROR;
	apply_state(h, &state);
	queue_state_free(&state);
	return h;
}

struct queue_message *
queue_open(struct queue *q, const char *queue_name, const char *id)
{
	struct buf path = BUF_INIT;
	struct held *h = NULL;
	enum queue_read st;
	int fd;

	if (!queue_id_valid(span_of(id)) || htab_get(q->files, span_of(id)))
		return NULL;
	queue_path(queue_name, id, &path);
	if (q->removals.n && strvec_has(&q->removals, buf_cstr(&path))) {
		buf_free(&path);
		return NULL;
	}
	fd = open(buf_cstr(&path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		if (errno != ENOENT)
			log_warn("open %s: %m", buf_cstr(&path));
		buf_free(&path);
		return NULL;
	}
	h = held_from_file(fd, queue_name, id, &st);
	if (h && h->state_end == image_length(&h->h) &&
	    super_in_segment(q, id)) {
		/* Nothing behind the image: the copy was not finished. */
		fd = dup(fd);
		held_free(h);
		h = NULL;
		st = QUEUE_READ_CORRUPT;
	}
	if (h) {
		h->m.place.path = buf_steal(&path);
		htab_put(q->files, span_of(id), h);
		apply_unsaved(q, h);
		return &h->m;
	}
	if (st == QUEUE_READ_ERROR)
		log_warn("read %s: %m", buf_cstr(&path));
	else
		unreadable_file(q, buf_cstr(&path), id);
	close(fd);
	buf_free(&path);
	return NULL;
}

/* ---- in delivery ---- */

/*
 * A read lock belongs to the open file, not to a process: those who got the
 * descriptor from us keep it alive, and do not conflict with us.
 */
static struct flock
image_lock(const struct queue_message *m, short type)
{
	return (struct flock){.l_type = type,
			      .l_whence = SEEK_SET,
			      .l_start = m->place.offset,
			      .l_len = m->place.length};
}

void
queue_mark_in_delivery(const struct queue_message *m, bool on)
{
	struct flock lock = image_lock(m, on ? F_RDLCK : F_UNLCK);

	/* Without locks (a file system may not have them) a message may be
	 * delivered twice after a crash, no more. */
	fcntl(m->place.fd, F_OFD_SETLK, &lock);
}

bool
queue_is_in_delivery(const struct queue_message *m)
{
	struct flock lock = image_lock(m, F_WRLCK);

	return fcntl(m->place.fd, F_OFD_GETLK, &lock) == 0 &&
	       lock.l_type != F_UNLCK;
}

/* ---- progress ---- */

void
queue_journal_done(struct queue *q, const struct segment *s, int64_t offset)
{
	struct journal_record r = {
	    .type = JOURNAL_DONE, .file = s->number, .offset = offset};

	journal_add(&q->journal, &r);
}

void
queue_rcpt_done(struct queue *q, struct queue_message *m, size_t i)
{
	struct held *h = (struct held *)m;
	struct journal_record r = {
	    .type = JOURNAL_RCPT, .index = (uint32_t)i, .offset = h->h.offset};

	if (i >= m->env.n_rcpts || m->state[i] == RCPT_DONE)
		return;
	m->state[i] = RCPT_DONE;
	if (h->seg) {
		r.file = h->seg->number;
		journal_add(&q->journal, &r);
	} else {
		touch(q, h, i);
	}
}

void
held_keep_done(struct held *h)
{
	for (size_t i = 0; i < h->m.env.n_rcpts; i++)
		if (h->m.state[i] == RCPT_DONE)
			segment_add_done(h->seg, h->h.offset, (uint32_t)i);
}

/* Keep in memory what the disk would not take. */
static void
keep_unsaved(struct queue *q, struct held *h)
{
	struct queue_state *s = mem_alloc(sizeof(*s)), *old;

	queue_state_init(s, h->m.env.n_rcpts);
	memcpy(s->state, h->m.state, s->n);
	old = htab_put(q->unsaved, span_of(h->m.id), s);
	if (old)
		free_state(old);
}

/* The caller is done with a message that is in a file. */
static void
put_file_back(struct queue *q, struct held *h, bool saved)
{
	if (h->touched)
		q->n_touched--;
	if (h->touched && !saved)
		keep_unsaved(q, h);
	htab_remove(q->files, span_of(h->m.id));
	held_free(h);
}

void
held_put_back(struct queue *q, struct held *h, enum entry_state state)
{
	struct segment *s = h->seg;

	if (state != ENTRY_DONE)
		held_keep_done(h);
	segment_set(s, segment_put(s, h->h.offset, state), state);
	q->settle = true;
	held_free(h);
}

void
queue_finish(struct queue *q, struct queue_message *m)
{
	struct held *h = (struct held *)m;
	bool gone;

	if (h->seg) {
		queue_journal_done(q, h->seg, h->h.offset);
		held_put_back(q, h, ENTRY_DONE);
		return;
	}
	gone = queue_sys_unlink(m->place.path) || errno == ENOENT;
	if (!gone) {
		log_error("remove %s: %m", m->place.path);
		for (size_t i = 0; i < m->env.n_rcpts; i++)
			queue_rcpt_done(q, m, i);
		strvec_add(&q->removals, m->place.path);
	}
	move_sync_dir_later(q, m->place.path);
	put_file_back(q, h, gone);
}

void
queue_release(struct queue *q, struct queue_message *m)
{
	struct held *h = (struct held *)m;
	struct stat st;
	int64_t next;

	if (h->seg) {
		held_put_back(q, h, ENTRY_IDLE);
		return;
	}
	next = fstat(m->place.fd, &st) == 0
		   ? st.st_mtim.tv_sec * 1000000LL + st.st_mtim.tv_nsec / 1000
		   : 0;
	put_file_back(q, h, !h->touched || state_append(q, h, next, true));
}

bool
queue_defer(struct queue *q, struct queue_message *m, int64_t next)
{
	struct held *h = (struct held *)m;
	bool ok;

	if (h->seg) {
		ok = move_to_file(q, h, "deferred", next);
		if (!ok)
			segment_put_off(
			    segment_put(h->seg, h->h.offset, ENTRY_TAKEN),
			    next);
		held_put_back(q, h, ok ? ENTRY_MOVING : ENTRY_IDLE);
		return ok;
	}
	ok = state_append(q, h, next, h->touched);
	put_file_back(q, h, ok);
	return ok;
}
