/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	MOVES_MAX = 64, /* unsynced at a time */
	DIRTY_MAX = 64,
	RENAME_MIN = 64 * 1024,  /* smaller messages share segments */
	RECORDS_MAX = 64 * 1024, /* of state before a file is rewritten */
	CLASH_TRIES = 10,
	HOLD_AGAIN_USEC = 60000000, /* after the disk refused to hold it */
};

/* ---- what queue_sync() has to do ---- */

void
move_sync_dir_later(struct queue *q, const char *path)
{
	long slash = span_rfind(span_of(path), '/');
	struct buf dir = BUF_INIT;

	buf_append(&dir, path, slash < 0 ? 0 : (size_t)slash);
	if (!strvec_has(&q->dirs, buf_cstr(&dir)))
		strvec_add(&q->dirs, buf_cstr(&dir));
	buf_free(&dir);
}

void
move_sync_fds(struct queue *q)
{
	for (size_t i = 0; i < q->n_dirty; i++) {
		if (!queue_sys_datasync(q->dirty[i]))
			log_error("sync a message of the deferred queue: %m");
		close(q->dirty[i]);
	}
	q->n_dirty = 0;
}

void
move_sync_fd_later(struct queue *q, int fd)
{
	if (q->n_dirty >= DIRTY_MAX)
		move_sync_fds(q);
	if (q->n_dirty == q->cap_dirty) {
		q->cap_dirty = q->cap_dirty ? q->cap_dirty * 2 : 16;
		q->dirty =
		    mem_realloc(q->dirty, q->cap_dirty, sizeof(*q->dirty));
	}
	q->dirty[q->n_dirty++] = fd;
}

static void
add_move(struct queue *q, struct held *h, int fd, const char *path,
	 bool renamed)
{
	if (q->n_moves == q->cap_moves) {
		q->cap_moves = q->cap_moves ? q->cap_moves * 2 : 16;
		q->moves =
		    mem_realloc(q->moves, q->cap_moves, sizeof(*q->moves));
	}
	q->moves[q->n_moves++] = (struct move){.fd = fd,
					       .path = mem_strdup(path),
					       .seg = h->seg,
					       .offset = h->h.offset,
					       .renamed = renamed};
	move_sync_dir_later(q, path);
	if (renamed)
		move_sync_dir_later(q, h->seg->path);
}

/* ---- state ---- */

struct queue_state
held_state(const struct held *h, int64_t next)
{
	return (struct queue_state){
	    .n = h->m.env.n_rcpts,
	    .state = h->m.state,
	    .last = h->m.last,
	    .attempts = h->m.attempts,
	    .delay_warned = h->m.delay_warned,
	    .expire = h->m.expire,
	    .next = next,
	};
}

/* The modification time is the time of the next attempt. */
static bool
set_time(int fd, int64_t next)
{
	struct timespec t[2] = {
	    {.tv_nsec = UTIME_OMIT},
	    {.tv_sec = next / 1000000, .tv_nsec = next % 1000000 * 1000},
	};

	return futimens(fd, t) == 0;
}

static bool
write_state(int fd, const struct held *h, int64_t next, int64_t *end)
{
	struct queue_state s = held_state(h, next);

	return queue_state_write(fd, &s, end) && set_time(fd, next);
}

/* Many records: write the file anew, with one. */
static bool
state_rewrite(struct queue *q, struct held *h, int64_t next)
{
	char *new = mem_sprintf("%s.new", h->m.place.path);
	int64_t end;
	int fd;
	bool ok;

	unlink(new);
	fd = queue_sys_create(new, 0600);
	ok = fd >= 0 &&
	     image_copy(h->m.place.fd, &h->h, fd, NULL, NULL, &end) &&
	     write_state(fd, h, next, &end) && queue_sys_datasync(fd) &&
	     queue_sys_rename(new, h->m.place.path);
	if (ok) {
		move_sync_dir_later(q, h->m.place.path);
		h->state_end = end;
		h->n_fresh = 0;
	} else {
		unlink(new);
	}
	if (fd >= 0)
		close(fd);
	free(new);
	return ok;
}

/* Open the file for the next record: behind the last whole one there may be a
 * torn one. -1: errno */
static int
open_for_record(struct held *h)
{
	struct stat st;
	int fd = open(h->m.place.path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

	if (fd >= 0 &&
	    (fstat(fd, &st) < 0 || (st.st_size > h->state_end &&
				    !queue_sys_truncate(fd, h->state_end)))) {
		int saved = errno;

		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static bool
record_failed(const struct held *h, int fd)
{
	log_error("%s: cannot record the state of %s: %m", h->m.id,
		  h->m.place.path);
	if (fd >= 0)
		close(fd);
	return false;
}

bool
state_append_done(struct queue *q, struct held *h)
{
	int fd = open_for_record(h);

	if (fd < 0 ||
	    !queue_state_write_done(fd, h->fresh, h->n_fresh, &h->state_end)) {
		int saved = errno;

		if (fd >= 0)
			close(fd);
		errno = saved;
		return false;
	}
	h->n_fresh = 0;
	move_sync_fd_later(q, fd);
	return true;
}

bool
state_append(struct queue *q, struct held *h, int64_t next, bool durable)
{
	int64_t image = image_length(&h->h);
	int fd;

	if (h->state_end - image > RECORDS_MAX + image &&
	    state_rewrite(q, h, next))
		return true;
	fd = open_for_record(h);
	if (fd < 0 || !write_state(fd, h, next, &h->state_end)) {
		if (fd >= 0)
			set_time(fd, next);
		return record_failed(h, fd);
	}
	h->n_fresh = 0;
	if (durable)
		move_sync_fd_later(q, fd);
	else
		close(fd);
	return true;
}

/* ---- from a segment to a file ---- */

enum existing {
	EXISTING_SAME,  /* a whole copy of this message */
	EXISTING_PART,  /* no message: an interrupted copy */
	EXISTING_OTHER, /* another message */
	EXISTING_NONE,  /* no such file, or not readable */
};

/* Every copy ends with a state record: without one it is not whole. */
static bool
has_state(int fd, const struct image_header *h, const struct buf *data)
{
	struct envelope env;
	struct queue_state s;
	int64_t end = 0;
	bool ok;

	if (!envelope_decode(buf_span(data), &env))
		return false;
	queue_state_init(&s, env.n_rcpts);
	ok = queue_state_read(fd, image_length(h), &s, &end) &&
	     end > image_length(h);
	queue_state_free(&s);
	envelope_free(&env);
	return ok;
}

static enum existing
look_at_existing(const char *path, const struct image_header *want)
{
	struct image_header h;
	struct buf data = BUF_INIT;
	enum queue_read st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return EXISTING_NONE;
	st = image_read_header(fd, 0, &h);
	if (st == QUEUE_READ_OK)
		st = image_read_envelope(fd, &h, &data);
	if (st == QUEUE_READ_OK)
		st = image_check_content(fd, &h);
	if (st == QUEUE_READ_OK && !has_state(fd, &h, &data))
		st = QUEUE_READ_CORRUPT;
	buf_free(&data);
	close(fd);
	if (st == QUEUE_READ_ERROR)
		return EXISTING_OTHER;
	if (st != QUEUE_READ_OK)
		return EXISTING_PART;
	return h.content_hash == want->content_hash &&
		       h.envelope_hash == want->envelope_hash &&
		       h.content_length == want->content_length
		   ? EXISTING_SAME
		   : EXISTING_OTHER;
}

static bool
sync_existing(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && queue_sys_datasync(fd);

	if (fd >= 0)
		close(fd);
	return ok && queue_sys_sync_parent(path);
}

bool
move_was_done(struct queue *q, const struct image_header *h)
{
	static const char *const queues[] = {"deferred", "hold"};
	struct buf path = BUF_INIT;
	bool done = false;

	for (size_t i = 0; i < 2 && !done; i++) {
		enum existing e;

		queue_path(queues[i], h->id, &path);
		/* A copy that failed, and is to be removed, counts for nothing.
		 */
		if (access(buf_cstr(&path), F_OK) < 0 ||
		    strvec_has(&q->removals, buf_cstr(&path)))
			continue;
		e = look_at_existing(buf_cstr(&path), h);
		if (e == EXISTING_PART) {
			log_info("%s: removing an unfinished copy", h->id);
			queue_sys_unlink(buf_cstr(&path));
		}
		/* Nobody knows how much of the copy was synced. */
		done = e == EXISTING_SAME && sync_existing(buf_cstr(&path));
	}
	buf_free(&path);
	return done;
}

/* An empty file for the message, under another id when that one is taken by
 * another message; -1: errno. */
static int
create_file(struct held *h, const char *queue_name, char id[QUEUE_ID_MAX],
	    struct buf *path)
{
	int64_t when;

	memcpy(id, h->m.id, QUEUE_ID_MAX);
	for (int i = 0; i < CLASH_TRIES; i++) {
		int fd;

		queue_path(queue_name, id, path);
		fd = queue_sys_create(buf_cstr(path), 0600);
		if (fd < 0 && errno == ENOENT &&
		    queue_sys_make_parents(buf_cstr(path)))
			fd = queue_sys_create(buf_cstr(path), 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd;
		switch (look_at_existing(buf_cstr(path), &h->h)) {
		case EXISTING_SAME:
		case EXISTING_PART:
			/* Left by a process that ended at this point. */
			queue_sys_unlink(buf_cstr(path));
			break;
		default:
			queue_id_new(id, &when);
			log_warn("%s: queue id is in use in %s, now %s",
				 h->m.id, queue_name, id);
			break;
		}
	}
	errno = EEXIST;
	return -1;
}

static bool
copy_out(struct queue *q, struct held *h, const char *queue_name, int64_t next)
{
	struct buf path = BUF_INIT;
	char id[QUEUE_ID_MAX];
	int64_t end;
	int fd = create_file(h, queue_name, id, &path);
	bool ok;

	ok = fd >= 0 && image_copy(h->m.place.fd, &h->h, fd, id, NULL, &end) &&
	     write_state(fd, h, next, &end);
	if (ok) {
		add_move(q, h, fd, buf_cstr(&path), false);
	} else {
		log_error("%s: cannot move to %s: %m", h->m.id,
			  path.len ? buf_cstr(&path) : queue_name);
		if (fd >= 0) {
			queue_sys_unlink(buf_cstr(&path));
			close(fd);
		}
	}
	buf_free(&path);
	return ok;
}

/*
 * A big message has a segment to itself: when its writer is gone, the segment
 * becomes the file. The state record goes in first, so that there is no
 * moment in which the file has a message without it; queue_segment.c knows
 * what a state record behind the last image means.
 */
static bool
rename_out(struct queue *q, struct held *h, const char *queue_name,
	   int64_t next)
{
	int64_t end = image_length(&h->h);
	struct buf path = BUF_INIT;
	int fd;
	bool ok;

	if (end < RENAME_MIN || h->h.offset != 0 || h->seg->n > 1 ||
	    h->seg->end > end || !segment_is_unlocked(h->seg))
		return false;
	fd = open(h->seg->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return false;
	queue_path(queue_name, h->m.id, &path);
	ok = queue_sys_make_parents(buf_cstr(&path)) &&
	     queue_sys_truncate(fd, end) && write_state(fd, h, next, &end) &&
	     renameat2(AT_FDCWD, h->seg->path, AT_FDCWD, buf_cstr(&path),
		       RENAME_NOREPLACE) == 0;
	if (ok)
		add_move(q, h, fd, buf_cstr(&path), true);
	else
		close(fd);
	buf_free(&path);
	return ok;
}

bool
move_to_file(struct queue *q, struct held *h, const char *queue_name,
	     int64_t next)
{
	if (q->n_moves >= MOVES_MAX)
		queue_sync(q);
	return rename_out(q, h, queue_name, next) ||
	       copy_out(q, h, queue_name, next);
}

/* ---- hold ---- */

bool
move_rename(struct queue *q, const char *from, const char *to)
{
	if (!queue_sys_make_parents(to) ||
	    renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0)
		return false;
	move_sync_dir_later(q, from);
	move_sync_dir_later(q, to);
	return true;
}

bool
queue_hold(struct queue *q, struct queue_message *m)
{
	struct held *h = (struct held *)m;
	struct buf to = BUF_INIT;
	bool ok;

	if (h->seg) {
		ok = move_to_file(q, h, "hold", io_now());
		if (!ok)
			segment_put_off(
			    segment_put(h->seg, h->h.offset, ENTRY_TAKEN),
			    io_now() + HOLD_AGAIN_USEC);
		held_put_back(q, h, ok ? ENTRY_MOVING : ENTRY_IDLE);
		return ok;
	}
	queue_path("hold", m->id, &to);
	ok = !h->touched || state_append(q, h, io_now(), true);
	if (ok && h->touched) {
		/* Recorded, under a name that the file is about to lose. */
		h->touched = false;
		q->n_touched--;
	}
	if (ok && strcmp(m->queue_name, "hold") != 0) {
		ok = move_rename(q, m->place.path, buf_cstr(&to));
		if (!ok)
			log_error("rename %s to %s: %m", m->place.path,
				  buf_cstr(&to));
	}
	buf_free(&to);
	queue_release(q, m);
	return ok;
}
