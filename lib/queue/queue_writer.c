/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/queue/image.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_notify.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	GATHER_MAX = 64 * 1024,  /* content that is gathered in memory */
	KEEP_MEMORY = 16 * 1024, /* what an idle writer keeps of it */
	SEGMENT_BYTES = 4 * 1024 * 1024,
	SEGMENT_MESSAGES = 1000,
	WRITE_BEHIND = 1024 * 1024, /* start writing out a big message */
	SPACE_CHECK_USEC = 1000000,
	CREATE_TRIES = 20,
};

/* A file that this process appends to, locked. */
struct out_file {
	int fd; /* -1: none */
	uint64_t number;
	char path[sizeof("incoming/") + QUEUE_ID_MAX];
	int64_t size;   /* end of the last committed image */
	unsigned count; /* committed images */
	bool name_safe; /* the directory was synced */
};

/* A committed message that qmgr was not told of yet. */
struct unsaid {
	char id[QUEUE_ID_MAX];
	char path[sizeof("incoming/") + QUEUE_ID_MAX];
	int64_t offset, length;
};

enum { UNSAID_MAX = 8 };

struct queue_writer {
	bool maildrop;
	bool hold_back;
	struct unsaid unsaid[UNSAID_MAX];
	size_t n_unsaid;
	struct out_file segment;
	struct queue_notify notify;
	struct buf envelope;
	char *gather; /* IMAGE_HEADER + GATHER_MAX bytes, mapped at first use */
	bool gather_busy;
	int64_t space_checked; /* io_monotonic() */
	bool space_ok;
};

struct queue_entry {
	struct queue_writer *w;
	char id[QUEUE_ID_MAX];
	int64_t arrival;
	char *gather;    /* room for the header, then content */
	size_t gathered; /* content bytes in it */
	int64_t size;    /* of the content so far */
	int64_t lines;
	int error;           /* errno of the first failure */
	struct out_file own; /* a big message's */
	XXH3_state_t *hash;  /* not NULL: streams to own */
	int64_t written_out; /* content bytes whose writing was started */
};

struct queue_writer *
queue_writer_new(const char *kind)
{
	struct queue_writer *w = mem_alloc(sizeof(*w));

	if (strcmp(kind, "incoming") != 0 && strcmp(kind, "maildrop") != 0)
		log_panic("queue_writer_new: no kind %s", kind);
	w->maildrop = strcmp(kind, "maildrop") == 0;
	w->segment.fd = -1;
	w->space_ok = true;
	queue_notify_init(&w->notify);
	return w;
}

/* Closing gives up the lock: the file will not grow any more. */
static void
out_file_close(struct out_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Close; when nothing was committed to it, remove. */
static void
out_file_drop(struct out_file *f)
{
	int saved = errno;

	if (f->fd >= 0 && f->count == 0)
		queue_sys_unlink(f->path);
	out_file_close(f);
	errno = saved;
}

void
queue_writer_free(struct queue_writer *w)
{
	if (!w)
		return;
	out_file_drop(&w->segment);
	queue_notify_close(&w->notify);
	if (w->gather)
		munmap(w->gather, IMAGE_HEADER + GATHER_MAX);
	buf_free(&w->envelope);
	free(w);
}

/* ---- files ---- */

/*
 * Lock the file just created. The owner of the queue, who may have met it
 * between creation and lock, removes what is empty and unlocked: then it has
 * no name any more, and another is needed.
 */
static bool
lock_created(struct out_file *f)
{
	struct stat st;

	while (flock(f->fd, LOCK_EX) < 0)
		if (errno != EINTR)
			return false;
	if (fstat(f->fd, &st) < 0)
		return false;
	if (st.st_nlink == 0) {
		errno = EEXIST;
		return false;
	}
	return true;
}

static bool
out_file_try(struct out_file *f, mode_t mode)
{
	f->fd = queue_sys_create(f->path, 0600);
	if (f->fd < 0)
		return false;
	if (lock_created(f) && (mode == 0600 || fchmod(f->fd, mode) == 0))
		return true;
	out_file_drop(f);
	return false;
}

/* false: errno */
static bool
out_file_open(struct queue_writer *w, struct out_file *f, const char *id)
{
	f->size = 0;
	f->count = 0;
	f->name_safe = false;
	if (w->maildrop) {
		/* pickup runs as another user than who submits. */
		f->number = 0;
		snprintf(f->path, sizeof(f->path), "maildrop/%s", id);
		return out_file_try(f, 0744);
	}
	for (int i = 0; i < CREATE_TRIES; i++) {
		f->number = queue_sys_random();
		snprintf(f->path, sizeof(f->path), "incoming/%016" PRIX64,
			 f->number);
		if (out_file_try(f, 0600))
			return true;
		if (errno != EEXIST)
			return false;
	}
	return false;
}

/* Once per file its name, to the disk. */
static bool
out_file_sync_name(struct queue_writer *w, struct out_file *f)
{
	f->name_safe =
	    f->name_safe ||
	    queue_sys_sync_dir(w->maildrop ? "maildrop" : "incoming");
	return f->name_safe;
}

/*
 * A write or sync behind f->size failed. Make sure that nothing there can be
 * taken for a message, and leave the file to its earlier messages.
 */
static void
out_file_revert(struct out_file *f)
{
	static const char zero[IMAGE_HEADER];
	int saved = errno;

	if (f->fd >= 0 && !queue_sys_truncate(f->fd, f->size) &&
	    !queue_sys_write(f->fd, zero, sizeof(zero), f->size))
		log_warn("%s: cannot take back a message that was refused: %m",
			 f->path);
	out_file_drop(f);
	errno = saved;
}

/* ---- begin ---- */

static void
why_from_errno(struct why *why, int error)
{
	if (error == ENOSPC || error == EDQUOT || error == EFBIG)
		why_set_code(why, 452, "4.3.1", "Insufficient system storage");
	else
		why_set_code(why, 451, "4.3.0",
			     "Error: queue file write error");
}

/* queue_minfree; asked once a second. */
static bool
enough_space(struct queue_writer *w)
{
	int64_t now;
	struct statvfs fs;

	if (conf->queue_minfree <= 0)
		return true;
	now = io_monotonic();
	if (w->space_checked && now - w->space_checked < SPACE_CHECK_USEC)
		return w->space_ok;
	w->space_checked = now;
	w->space_ok = true;
	if (statvfs(w->maildrop ? "maildrop" : "incoming", &fs) < 0)
		return true;
	w->space_ok = fs.f_bavail > (uint64_t)conf->queue_minfree / fs.f_frsize;
	if (!w->space_ok)
		log_warn("not enough free space in mail queue: %ju bytes < "
			 "queue_minfree",
			 (uintmax_t)fs.f_bavail * fs.f_frsize);
	return w->space_ok;
}

static char *
map_gather(void)
{
	void *p = mmap(NULL, IMAGE_HEADER + GATHER_MAX, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The writer's memory, or another for a second message at the same time. */
static char *
get_gather(struct queue_writer *w)
{
	if (w->gather_busy)
		return map_gather();
	if (!w->gather)
		w->gather = map_gather();
	w->gather_busy = w->gather != NULL;
	return w->gather;
}

static void
put_gather(struct queue_entry *e)
{
	struct queue_writer *w = e->w;

	if (e->gather != w->gather) {
		munmap(e->gather, IMAGE_HEADER + GATHER_MAX);
		return;
	}
	w->gather_busy = false;
	if (e->size > KEEP_MEMORY - IMAGE_HEADER)
		madvise(w->gather + KEEP_MEMORY,
			IMAGE_HEADER + GATHER_MAX - KEEP_MEMORY, MADV_DONTNEED);
}

struct queue_entry *
queue_begin(struct queue_writer *w, struct why *why)
{
	struct queue_entry *e;
	char *gather;

	if (!enough_space(w)) {
		why_from_errno(why, ENOSPC);
		return NULL;
	}
	gather = get_gather(w);
	if (!gather) {
		log_warn("no memory for a message: %m");
		why_from_errno(why, ENOMEM);
		return NULL;
	}
	e = mem_alloc(sizeof(*e));
	e->w = w;
	e->gather = gather;
	e->own.fd = -1;
	queue_id_new(e->id, &e->arrival);
	return e;
}

struct queue_entry *
queue_begin_as(struct queue_writer *w, const char *id, struct why *why)
{
	struct queue_entry *e = queue_begin(w, why);

	if (e)
		snprintf(e->id, sizeof(e->id), "%s", id);
	return e;
}

const char *
queue_entry_id(const struct queue_entry *e)
{
	return e->id;
}

int64_t
queue_entry_arrival(const struct queue_entry *e)
{
	return e->arrival;
}

int64_t
queue_entry_size(const struct queue_entry *e)
{
	return e->size;
}

/* ---- content ---- */

/* Move what was gathered to the message's own file. false: e->error */
static bool
stream_out(struct queue_entry *e)
{
	int64_t done = e->size - (int64_t)e->gathered;

	if (!e->hash) {
		if (!out_file_open(e->w, &e->own, e->id)) {
			e->error = errno;
			return false;
		}
		e->hash = XXH3_createState();
		if (!e->hash)
			log_fatal_code(75, "out of memory: checksum");
		XXH3_64bits_reset(e->hash);
	}
	XXH3_64bits_update(e->hash, e->gather + IMAGE_HEADER, e->gathered);
	if (!queue_sys_write(e->own.fd, e->gather + IMAGE_HEADER, e->gathered,
			     IMAGE_HEADER + done)) {
		e->error = errno;
		return false;
	}
	e->gathered = 0;
	if (e->size - e->written_out >= WRITE_BEHIND) {
		sync_file_range(e->own.fd, e->written_out,
				e->size - e->written_out,
				SYNC_FILE_RANGE_WRITE);
		e->written_out = e->size;
	}
	return true;
}

static int64_t
count_lines(const char *p, size_t len)
{
	int64_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n';
	return n;
}

void
queue_write(struct queue_entry *e, struct span content)
{
	while (content.len && !e->error) {
		size_t n = GATHER_MAX - e->gathered;

		if (n == 0) {
			stream_out(e);
			continue;
		}
		if (n > content.len)
			n = content.len;
		e->lines += count_lines(content.data, n);
		memcpy(e->gather + IMAGE_HEADER + e->gathered, content.data, n);
		e->gathered += n;
		e->size += (int64_t)n;
		content = span_from(content, n);
	}
}

/* ---- commit ---- */

static void
entry_free(struct queue_entry *e)
{
	put_gather(e);
	XXH3_freeState(e->hash);
	out_file_drop(&e->own);
	free(e);
}

/* Also after a failure: what was streamed disappears. */
void
queue_abort(struct queue_entry *e)
{
	if (e)
		entry_free(e);
}

static void
fill_header(struct queue_entry *e, const struct out_file *f,
	    const struct buf *envelope, struct image_header *h)
{
	*h = (struct image_header){.file = f->number,
				   .offset = f->size,
				   .content_length = e->size,
				   .envelope_length = (int64_t)envelope->len};
	memcpy(h->id, e->id, sizeof(h->id));
	h->envelope_hash = image_hash(envelope->data, envelope->len);
}

/* Everything in one write, durable when it returns: no moment in which a
 * crash of this process leaves what nobody was told of. */
static bool
write_gathered(struct queue_entry *e, struct out_file *f,
	       const struct buf *envelope, struct image_header *h)
{
	struct iovec iov[2] = {
	    {e->gather, IMAGE_HEADER + e->gathered},
	    {envelope->data, envelope->len},
	};

	fill_header(e, f, envelope, h);
	h->content_hash = image_hash(e->gather + IMAGE_HEADER, e->gathered);
	image_encode(h, e->gather);
	return queue_sys_writev_durable(f->fd, iov, 2, f->size);
}

/* The rest of a big message, its header last; durable. */
static bool
write_streamed(struct queue_entry *e, const struct buf *envelope,
	       struct image_header *h)
{
	char raw[IMAGE_HEADER];

	if (e->gathered && !stream_out(e)) {
		errno = e->error;
		return false;
	}
	fill_header(e, &e->own, envelope, h);
	h->content_hash = XXH3_64bits_digest(e->hash);
	image_encode(h, raw);
	return queue_sys_write(e->own.fd, envelope->data, envelope->len,
			       IMAGE_HEADER + e->size) &&
	       queue_sys_write(e->own.fd, raw, sizeof(raw), 0) &&
	       queue_sys_datasync(e->own.fd);
}

/* A segment with room for an image of that length. */
static bool
ready_segment(struct queue_writer *w, struct queue_entry *e, int64_t length)
{
	struct out_file *f = &w->segment;

	if (f->fd >= 0 && f->count &&
	    (f->size + length > SEGMENT_BYTES || f->count >= SEGMENT_MESSAGES))
		out_file_close(f);
	return f->fd >= 0 || out_file_open(w, f, e->id);
}

/* false: errno */
static bool
put_on_disk(struct queue_entry *e, struct image_header *h)
{
	struct queue_writer *w = e->w;
	struct out_file *f = e->hash || w->maildrop ? &e->own : &w->segment;
	const struct buf *envelope = &w->envelope;
	bool ok;

	if (e->error) {
		errno = e->error;
		return false;
	}
	if (envelope->len > IMAGE_ENVELOPE_MAX) {
		errno = EFBIG;
		return false;
	}
	if (e->hash) {
		ok = write_streamed(e, envelope, h);
	} else {
		if (f == &e->own)
			ok = out_file_open(w, f, e->id);
		else
			ok = ready_segment(w, e,
					   IMAGE_HEADER + e->size +
					       (int64_t)envelope->len);
		ok = ok && write_gathered(e, f, envelope, h);
	}
	if (!ok || !out_file_sync_name(w, f)) {
		out_file_revert(f);
		return false;
	}
	f->size += image_length(h);
	f->count++;
	return true;
}

void
queue_writer_hold_back(struct queue_writer *w)
{
	w->hold_back = true;
}

void
queue_writer_announce(struct queue_writer *w)
{
	w->hold_back = false;
	for (size_t i = 0; i < w->n_unsaid; i++) {
		const struct unsaid *u = &w->unsaid[i];

		queue_notify_enqueued(&w->notify, u->id, u->path, u->offset,
				      u->length);
	}
	w->n_unsaid = 0;
}

static void
announce(struct queue_writer *w, const char *id, const struct out_file *f,
	 const struct image_header *h)
{
	struct unsaid *u;

	if (!w->hold_back || w->n_unsaid == UNSAID_MAX) {
		queue_notify_enqueued(&w->notify, id, f->path, h->offset,
				      image_length(h));
		return;
	}
	u = &w->unsaid[w->n_unsaid++];
	memcpy(u->id, id, sizeof(u->id));
	memcpy(u->path, f->path, sizeof(u->path));
	u->offset = h->offset;
	u->length = image_length(h);
}

bool
queue_commit(struct queue_entry *e, struct envelope *env, struct why *why)
{
	struct queue_writer *w = e->w;
	struct out_file *f = e->hash || w->maildrop ? &e->own : &w->segment;
	struct image_header h;
	bool ok;

	env->size = e->size + e->lines;
	env->arrival = e->arrival;
	buf_reset(&w->envelope);
	envelope_encode(env, &w->envelope);
	ok = put_on_disk(e, &h);
	if (!ok) {
		log_warn("%s: queue file write error: %m", e->id);
		why_from_errno(why, errno);
	} else if (!w->maildrop) {
		announce(w, e->id, f, &h);
	}
	if (w->envelope.cap > KEEP_MEMORY)
		buf_free(&w->envelope);
	entry_free(e);
	return ok;
}
