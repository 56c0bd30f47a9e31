/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/ipc/proto.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	INDEX_FRESH_USEC = 1000000, /* before it is made again for a miss */
	INDEX_KEEP_USEC = 10000000,
};

/* ---- where messages are in segments ---- */

struct super_place {
	uint64_t number;
	int64_t offset;
};

void
super_index_free(struct queue *q)
{
	htab_free(q->index, free);
	q->index = NULL;
}

void
super_index_age(struct queue *q)
{
	if (q->index && io_monotonic() - q->index_time > INDEX_KEEP_USEC)
		super_index_free(q);
}

static void
index_segment(struct queue *q, struct segment *s)
{
	segment_advance(q, s);
	for (size_t i = 0; s->fd >= 0 && s->n_idle && i < s->n; i++) {
		struct image_header h;
		struct super_place *p;

		if (s->v[i].state != ENTRY_IDLE ||
		    image_read_header(s->fd, s->v[i].offset, &h) !=
			QUEUE_READ_OK)
			continue;
		p = mem_alloc(sizeof(*p));
		*p = (struct super_place){s->number, s->v[i].offset};
		free(htab_put(q->index, span_of(h.id), p));
	}
	segment_rest(s);
}

static void
make_index(struct queue *q)
{
	size_t pos = 0;
	void *value;

	super_index_free(q);
	q->index = htab_new();
	q->index_time = io_monotonic();
	queue_list_segments(q);
	while (htab_next(q->segments, &pos, NULL, &value))
		index_segment(q, value);
}

/* The idle entry of a message, as the index has it. */
static struct entry *
look_up(struct queue *q, const char *id, struct segment **s)
{
	struct super_place *p = htab_get(q->index, span_of(id));
	struct entry *e;

	*s = p ? segment_by_number(q, p->number) : NULL;
	e = *s ? segment_find(*s, p->offset) : NULL;
	return e && e->state == ENTRY_IDLE ? e : NULL;
}

static struct entry *
find_in_segments(struct queue *q, const char *id, struct segment **s)
{
	struct entry *e;

	if (!q->index)
		make_index(q);
	e = look_up(q, id, s);
	if (!e && io_monotonic() - q->index_time > INDEX_FRESH_USEC) {
		make_index(q);
		e = look_up(q, id, s);
	}
	return e;
}

bool
super_in_segment(struct queue *q, const char *id)
{
	struct segment *s;

	return find_in_segments(q, id, &s) != NULL;
}

/* ---- requeue ---- */

/* What pickup gets: the recipients that are left, to be routed again. */
static void
reduce_to_open(struct envelope *env, const uint8_t *state)
{
	size_t kept = 0;

	for (size_t i = 0; i < env->n_rcpts; i++) {
		struct rcpt r = env->rcpts[i];

		free(r.transport);
		free(r.nexthop);
		r.transport = r.nexthop = NULL;
		r.class = 0;
		if (state[i] == RCPT_DONE) {
			free(r.address);
			free(r.orig_to);
			free(r.dsn_orcpt);
			continue;
		}
		env->rcpts[kept++] = r;
	}
	env->n_rcpts = kept;
	env->flags |= ENVELOPE_MAILDROP;
	env->flags &= ~(unsigned)(ENVELOPE_HOLD | ENVELOPE_EXPIRED);
}

static bool
envelope_to_requeue(const struct queue_message *m, struct envelope *env)
{
	struct buf data = BUF_INIT;
	bool ok;

	envelope_encode(&m->env, &data);
	ok = envelope_decode(buf_span(&data), env);
	buf_free(&data);
	if (ok)
		reduce_to_open(env, m->state);
	return ok;
}

/* A copy in maildrop/, durable. */
static bool
copy_to_maildrop(struct queue_message *m)
{
	struct held *h = (struct held *)m;
	struct envelope env = ENVELOPE_INIT;
	struct buf path = BUF_INIT;
	int64_t end;
	int fd;
	bool ok;

	queue_path("maildrop", m->id, &path);
	fd = queue_sys_create(buf_cstr(&path), 0600);
	ok = fd >= 0 && fchmod(fd, 0744) == 0 && envelope_to_requeue(m, &env) &&
	     image_copy(m->place.fd, &h->h, fd, m->id, &env, &end) &&
	     queue_sys_datasync(fd) && queue_sys_sync_dir("maildrop");
	if (!ok) {
		log_error("%s: cannot requeue: %m", m->id);
		if (fd >= 0)
			queue_sys_unlink(buf_cstr(&path));
	}
	if (fd >= 0)
		close(fd);
	envelope_free(&env);
	buf_free(&path);
	return ok;
}

static int
requeue(struct queue *q, struct queue_message *m)
{
	if (!copy_to_maildrop(m)) {
		queue_release(q, m);
		return -1;
	}
	queue_finish(q, m);
	return 1;
}

/* ---- one message ---- */

static int
super_segment(struct queue *q, int op, const char *id)
{
	struct segment *s;
	struct entry *e = find_in_segments(q, id, &s);
	enum queue_read st;
	struct held *h;

	if (!e || op == SUPER_RELEASE)
		return 0;
	h = held_from_segment(q, s, e->offset, false, &st);
	if (!h) {
		log_warn("%s: cannot read %s", id, s->path);
		segment_rest(s);
		return -1;
	}
	switch (op) {
	case SUPER_DELETE:
		queue_finish(q, &h->m);
		return 1;
	case SUPER_HOLD:
		return queue_hold(q, &h->m) ? 1 : -1;
	case SUPER_REQUEUE:
		return requeue(q, &h->m);
	case SUPER_EXPIRE:
	case SUPER_EXPIRE_RELEASE:
		h->m.expire = true;
		return queue_defer(q, &h->m, io_now()) ? 1 : -1;
	default:
		queue_release(q, &h->m);
		return 0;
	}
}

static int
rename_between(struct queue *q, const char *from, const char *to_queue,
	       const char *id)
{
	struct buf to = BUF_INIT;
	bool ok;

	queue_path(to_queue, id, &to);
	ok = move_rename(q, from, buf_cstr(&to));
	if (!ok)
		log_error("rename %s to %s: %m", from, buf_cstr(&to));
	else if (strcmp(to_queue, "deferred") == 0)
		utimensat(AT_FDCWD, buf_cstr(&to), NULL, 0);
	buf_free(&to);
	return ok ? 1 : -1;
}

static int
expire_file(struct queue *q, const char *queue_name, const char *id)
{
	struct queue_message *m = queue_open(q, queue_name, id);
	bool ok;

	if (!m)
		return 0;
	m->expire = true;
	ok = state_append(q, (struct held *)m, io_now(), true);
	queue_release(q, m);
	return ok ? 1 : -1;
}

static int
requeue_file(struct queue *q, const char *queue_name, const char *id)
{
	struct queue_message *m = queue_open(q, queue_name, id);

	return m ? requeue(q, m) : 0;
}

/* path exists, in queue_name (maildrop, deferred, hold). */
static int
super_file(struct queue *q, int op, const char *queue_name, const char *id,
	   const char *path)
{
	bool hold = strcmp(queue_name, "hold") == 0;
	bool maildrop = strcmp(queue_name, "maildrop") == 0;
	int rc;

	if (maildrop && op != SUPER_DELETE)
		return 0;
	switch (op) {
	case SUPER_DELETE:
		if (!queue_sys_unlink(path)) {
			if (errno == ENOENT)
				return 0;
			log_error("remove %s: %m", path);
			return -1;
		}
		move_sync_dir_later(q, path);
		return 1;
	case SUPER_HOLD:
		return hold ? 0 : rename_between(q, path, "hold", id);
	case SUPER_RELEASE:
		return hold ? rename_between(q, path, "deferred", id) : 0;
	case SUPER_REQUEUE:
		return requeue_file(q, queue_name, id);
	case SUPER_EXPIRE:
	case SUPER_EXPIRE_RELEASE:
		rc = expire_file(q, queue_name, id);
		if (rc == 1 && hold && op == SUPER_EXPIRE_RELEASE)
			rc = rename_between(q, path, "deferred", id);
		return rc;
	default:
		return 0;
	}
}

int
queue_super(struct queue *q, int op, const char *queue_name, const char *id)
{
	static const char *const files[] = {"deferred", "hold", "maildrop"};
	bool any = !queue_name || !*queue_name;
	struct buf path = BUF_INIT;
	int rc = 0;

	if (!queue_id_valid(span_of(id)))
		return 0;
	if (htab_get(q->files, span_of(id))) {
		log_warn("%s: is being delivered", id);
		return -1;
	}
	for (size_t i = 0; i < 3 && rc == 0; i++) {
		if (!any && strcmp(queue_name, files[i]) != 0)
			continue;
		queue_path(files[i], id, &path);
		if (access(buf_cstr(&path), F_OK) == 0)
			rc = super_file(q, op, files[i], id, buf_cstr(&path));
	}
	if (rc == 0 && (any || strcmp(queue_name, "incoming") == 0 ||
			strcmp(queue_name, "active") == 0))
		rc = super_segment(q, op, id);
	buf_free(&path);
	return rc;
}
