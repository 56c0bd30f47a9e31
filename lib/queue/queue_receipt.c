/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_receipt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/le.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum { HASHED = 64 };

#define PREFIX "receipts-"

/* ---- records ---- */

void
receipt_encode(const struct receipt *r, char out[RECEIPT_BYTES])
{
	memset(out, 0, RECEIPT_BYTES);
	memcpy(out, r->id, strnlen(r->id, QUEUE_ID_MAX - 1));
	le_put64(out + 40, r->index);
	le_put64(out + 48, r->file);
	le_put64(out + 56, (uint64_t)r->offset);
	le_put64(out + HASHED, XXH3_64bits(out, HASHED));
}

bool
receipt_decode(const char in[RECEIPT_BYTES], struct receipt *r)
{
	if (le_get64(in + HASHED) != XXH3_64bits(in, HASHED) ||
	    le_get64(in + 40) > UINT32_MAX)
		return false;
	memcpy(r->id, in, QUEUE_ID_MAX);
	r->id[QUEUE_ID_MAX - 1] = '\0';
	r->index = (uint32_t)le_get64(in + 40);
	r->file = le_get64(in + 48);
	r->offset = (int64_t)le_get64(in + 56);
	return r->offset >= 0 && queue_id_valid(span_of(r->id));
}

/* ---- who delivers ---- */

void
receipt_slot_close(struct receipt_slot *s)
{
	if (s->fd >= 0)
		close(s->fd);
	*s = (struct receipt_slot)RECEIPT_SLOT_NONE;
}

void
receipt_slot_take(struct receipt_slot *s, int fd, int64_t base)
{
	receipt_slot_close(s);
	s->fd = fd;
	s->base = base;
}

void
receipt_write(struct receipt_slot *s, const struct receipt *v, size_t n,
	      bool durable)
{
	bool (*write)(int fd, const void *data, size_t len, int64_t offset) =
	    durable ? queue_sys_write_durable : queue_sys_write;
	char *data;

	if (s->fd < 0 || n == 0)
		return;
	if (n > RECEIPTS_IN_SLOT)
		n = RECEIPTS_IN_SLOT;
	if (s->next + n > RECEIPTS_IN_SLOT)
		s->next = 0;
	data = mem_calloc(n, RECEIPT_BYTES);
	for (size_t i = 0; i < n; i++)
		receipt_encode(&v[i], data + i * RECEIPT_BYTES);
	write(s->fd, data, n * RECEIPT_BYTES,
	      s->base + (int64_t)(s->next * RECEIPT_BYTES));
	s->next += n;
	free(data);
}

/* ---- slots ---- */

/* This owner's file. -1: errno */
static int
create_file(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "journal/" PREFIX "%016" PRIX64,
		 queue_sys_random());
	fd = queue_sys_create(path, 0600);
	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_SH) == 0 && queue_sys_sync_dir("journal"))
		return fd;
	queue_sys_unlink(path);
	close(fd);
	return -1;
}

int
queue_receipt_fd(const struct queue *q)
{
	return q->receipts.fd;
}

/* Room that a full disk cannot take away. */
static bool
add_slot(struct queue *q)
{
	static const char zero[RECEIPT_SLOT];
	size_t n = q->receipts.n;

	if (n == RECEIPT_SLOTS_MAX)
		return false;
	if (q->receipts.fd < 0)
		q->receipts.fd = create_file();
	if (q->receipts.fd < 0 ||
	    !queue_sys_write(q->receipts.fd, zero, sizeof(zero),
			     (int64_t)(n * RECEIPT_SLOT)))
		return false;
	q->receipts.used =
	    mem_realloc(q->receipts.used, n + 1, sizeof(*q->receipts.used));
	q->receipts.used[n] = false;
	q->receipts.n++;
	return true;
}

int64_t
queue_receipt_slot(struct queue *q)
{
	size_t i = 0;

	while (i < q->receipts.n && q->receipts.used[i])
		i++;
	if (i == q->receipts.n && !add_slot(q))
		return -1;
	q->receipts.used[i] = true;
	return (int64_t)(i * RECEIPT_SLOT);
}

void
queue_receipt_slot_free(struct queue *q, int64_t slot)
{
	if (slot >= 0)
		q->receipts.used[slot / RECEIPT_SLOT] = false;
}

/* ---- reading ---- */

/* Calls fn for each receipt of the slot at base of fd. false: its end, or it
 * cannot be read. */
static bool
read_slot(int fd, int64_t base, void (*fn)(void *arg, const struct receipt *r),
	  void *arg)
{
	char data[RECEIPT_SLOT];
	struct receipt r;

	if (!io_pread_all(fd, data, sizeof(data), base))
		return false;
	for (size_t i = 0; i < RECEIPTS_IN_SLOT; i++)
		if (receipt_decode(data + i * RECEIPT_BYTES, &r))
			fn(arg, &r);
	return true;
}

static void
read_file(int fd, void (*fn)(void *arg, const struct receipt *r), void *arg)
{
	for (int64_t i = 0; i < RECEIPT_SLOTS_MAX; i++)
		if (!read_slot(fd, i * RECEIPT_SLOT, fn, arg))
			break;
}

static bool
is_about(const struct receipt *r, const struct queue_message *m)
{
	const struct held *h = (const struct held *)m;

	return !strcmp(r->id, m->id) && r->index < m->env.n_rcpts &&
	       r->file == (h->seg ? h->seg->number : 0) &&
	       (r->file == 0 || r->offset == h->h.offset);
}

struct question {
	const struct queue_message *m;
	size_t index;
	bool found;
};

static void
compare(void *arg, const struct receipt *r)
{
	struct question *ask = arg;

	if (r->index == ask->index && is_about(r, ask->m))
		ask->found = true;
}

bool
queue_receipt_has(const struct queue *q, int64_t slot,
		  const struct queue_message *m, size_t i)
{
	struct question ask = {.m = m, .index = i};

	if (slot >= 0)
		read_slot(q->receipts.fd, slot, compare, &ask);
	return ask.found;
}

/* ---- what earlier owners left ---- */

static bool
is_known(const struct segment *s, const struct receipt *r)
{
	for (size_t i = 0; i < s->n_done; i++)
		if (s->done[i].offset == r->offset &&
		    s->done[i].index == r->index)
			return true;
	return false;
}

static void
recover_in_segment(struct queue *q, const struct receipt *r)
{
	struct segment *s = segment_by_number(q, r->file);
	struct entry *e = s ? segment_find(s, r->offset) : NULL;
	struct journal_record record = {.type = JOURNAL_RCPT,
					.index = r->index,
					.file = r->file,
					.offset = r->offset};

	if (!s || (e && e->state != ENTRY_IDLE) || is_known(s, r))
		return;
	segment_add_done(s, r->offset, r->index);
	journal_add(&q->journal, &record);
}

static bool
recover_in_file(struct queue *q, const char *queue_name,
		const struct receipt *r)
{
	struct queue_message *m = queue_open(q, queue_name, r->id);

	if (!m)
		return false;
	if (is_about(r, m))
		queue_rcpt_done(q, m, r->index);
	queue_release(q, m);
	return true;
}

static void
recover(void *arg, const struct receipt *r)
{
	struct queue *q = arg;

	if (r->file)
		recover_in_segment(q, r);
	else if (!recover_in_file(q, "deferred", r))
		recover_in_file(q, "hold", r);
}

/* Take in what the file says; true: nobody will write to it, and it is on the
 * disk elsewhere. */
static bool
settle_file(struct queue *q, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool last;

	if (fd < 0)
		return errno == ENOENT;
	/* Asked first: what is written after the answer is not missed. */
	last = flock(fd, LOCK_EX | LOCK_NB) == 0;
	read_file(fd, recover, q);
	close(fd);
	return last && queue_sync(q) && q->journal.n_pending == 0;
}

void
queue_receipt_settle(struct queue *q)
{
	struct strvec left = STRVEC_INIT;

	for (size_t i = 0; i < q->old_receipts.n; i++) {
		const char *path = q->old_receipts.v[i];

		if (!settle_file(q, path) ||
		    (!queue_sys_unlink(path) && errno != ENOENT))
			strvec_add(&left, path);
	}
	strvec_free(&q->old_receipts);
	q->old_receipts = left;
}

void
receipts_recover(struct queue *q)
{
	DIR *dir = opendir("journal");
	struct dirent *d;

	while (dir && (d = readdir(dir))) {
		char *path;

		if (strncmp(d->d_name, PREFIX, sizeof(PREFIX) - 1) != 0)
			continue;
		path = mem_sprintf("journal/%s", d->d_name);
		strvec_add(&q->old_receipts, path);
		free(path);
	}
	if (dir)
		closedir(dir);
	queue_receipt_settle(q);
}

struct to_apply {
	struct queue *q;
	struct queue_message *m;
};

static void
apply(void *arg, const struct receipt *r)
{
	struct to_apply *a = arg;

	if (is_about(r, a->m))
		queue_rcpt_done(a->q, a->m, r->index);
}

void
queue_receipt_apply(struct queue *q, struct queue_message *m)
{
	struct to_apply a = {q, m};

	for (size_t i = 0; i < q->old_receipts.n; i++) {
		int fd = open(q->old_receipts.v[i],
			      O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd < 0)
			continue;
		read_file(fd, apply, &a);
		close(fd);
	}
}

void
receipts_free(struct queue *q)
{
	if (q->receipts.fd >= 0)
		close(q->receipts.fd);
	free(q->receipts.used);
	strvec_free(&q->old_receipts);
}
