/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/le.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	HEADER = 24, /* magic, number, hash */
	RECORD = 32,
	HASHED = 24, /* bytes of a record that its hash covers */
	SIZE_MAX_MB = 1024,
};

#define LOG_PATH "journal/log"
#define NEW_PATH "journal/log.new"

static const char magic[8] = "PRJRNL1\n";

static void
encode_header(uint64_t number, char out[HEADER])
{
	memcpy(out, magic, sizeof(magic));
	le_put64(out + 8, number);
	le_put64(out + 16, XXH3_64bits(out, 16));
}

static void
encode_record(const struct journal_record *r, uint64_t seed, char out[RECORD])
{
	le_put32(out, r->type);
	le_put32(out + 4, r->index);
	le_put64(out + 8, r->file);
	le_put64(out + 16, (uint64_t)r->offset);
	le_put64(out + HASHED, XXH3_64bits_withSeed(out, HASHED, seed));
}

static bool
decode_record(const char *in, uint64_t seed, struct journal_record *r)
{
	if (le_get64(in + HASHED) != XXH3_64bits_withSeed(in, HASHED, seed))
		return false;
	r->type = le_get32(in);
	r->index = le_get32(in + 4);
	r->file = le_get64(in + 8);
	r->offset = (int64_t)le_get64(in + 16);
	return r->offset >= 0;
}

uint64_t
journal_parse(struct span data, uint64_t *number, journal_fn fn, void *arg)
{
	struct journal_record r;
	uint64_t n = 0;

	*number = 0;
	if (data.len < HEADER || memcmp(data.data, magic, sizeof(magic)) != 0 ||
	    le_get64(data.data + 16) != XXH3_64bits(data.data, 16))
		return 0;
	*number = le_get64(data.data + 8);
	data = span_from(data, HEADER);
	while (data.len >= RECORD &&
	       decode_record(data.data, *number + n, &r)) {
		if (fn)
			fn(arg, &r);
		n++;
		data = span_from(data, RECORD);
	}
	return n;
}

bool
journal_read(journal_fn fn, void *arg)
{
	struct buf data = BUF_INIT;
	uint64_t number;
	bool ok;

	ok = io_read_file(LOG_PATH, (size_t)SIZE_MAX_MB << 20, &data);
	if (!ok && errno == ENOENT)
		ok = true;
	else if (ok)
		journal_parse(buf_span(&data), &number, fn, arg);
	buf_free(&data);
	return ok;
}

/* An empty journal (or with n records) under NEW_PATH, durable; -1: errno. */
static int
create_new(uint64_t number, const struct journal_record *records, size_t n)
{
	struct buf data = BUF_INIT;
	int fd, saved;

	unlink(NEW_PATH);
	fd = queue_sys_create(NEW_PATH, 0600);
	if (fd < 0)
		return -1;
	buf_reserve(&data, HEADER + n * RECORD);
	encode_header(number, data.data);
	for (size_t i = 0; i < n; i++)
		encode_record(&records[i], number + i,
			      data.data + HEADER + i * RECORD);
	if (queue_sys_write(fd, data.data, HEADER + n * RECORD, 0) &&
	    queue_sys_datasync(fd)) {
		buf_free(&data);
		return fd;
	}
	saved = errno;
	buf_free(&data);
	close(fd);
	unlink(NEW_PATH);
	errno = saved;
	return -1;
}

/* Put a new file in the place of the journal. */
static bool
replace(struct journal *j, const struct journal_record *records, size_t n)
{
	uint64_t number = queue_sys_random();
	int fd = create_new(number, records, n);

	if (fd < 0)
		return false;
	if (!queue_sys_rename(NEW_PATH, LOG_PATH)) {
		int saved = errno;

		close(fd);
		unlink(NEW_PATH);
		errno = saved;
		return false;
	}
	/* From here the new file is the journal, whatever the sync says: the
	 * old one has no name. Both hold the same facts. */
	if (j->fd >= 0)
		close(j->fd);
	j->fd = fd;
	j->number = number;
	j->count = n;
	return queue_sys_sync_dir("journal");
}

bool
journal_open(struct journal *j, journal_fn fn, void *arg)
{
	struct buf data = BUF_INIT;
	size_t valid;

	*j = (struct journal){.fd = -1};
	unlink(NEW_PATH);
	if (!io_read_file(LOG_PATH, (size_t)SIZE_MAX_MB << 20, &data)) {
		buf_free(&data);
		return errno == ENOENT && replace(j, NULL, 0);
	}
	j->count = journal_parse(buf_span(&data), &j->number, fn, arg);
	valid = HEADER + j->count * RECORD;
	if (data.len > valid && j->number)
		log_info("journal: ignoring %zu bytes of an unfinished write",
			 data.len - valid);
	else if (!j->number)
		log_warn("journal: not readable, starting a new one; messages "
			 "may be delivered twice");
	buf_free(&data);
	if (!j->number)
		return replace(j, NULL, 0);
	j->fd = open(LOG_PATH, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	return j->fd >= 0 && queue_sys_truncate(j->fd, (int64_t)valid);
}

void
journal_close(struct journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	free(j->pending);
	*j = (struct journal){.fd = -1};
}

void
journal_add(struct journal *j, const struct journal_record *r)
{
	if (j->n_pending == j->cap_pending) {
		j->cap_pending = j->cap_pending ? j->cap_pending * 2 : 64;
		j->pending = mem_realloc(j->pending, j->cap_pending,
					 sizeof(*j->pending));
	}
	j->pending[j->n_pending++] = *r;
}

/* Forget what was pending, and the memory of an unusual burst. */
static void
pending_reset(struct journal *j)
{
	j->n_pending = 0;
	if (j->cap_pending > 4096) {
		free(j->pending);
		j->pending = NULL;
		j->cap_pending = 0;
	}
}

/* Where the first pending record belongs. */
static int64_t
durable_end(const struct journal *j)
{
	return HEADER + (int64_t)j->count * RECORD;
}

bool
journal_flush(struct journal *j)
{
	char *data;
	bool ok;

	if (j->n_pending == 0)
		return true;
	data = mem_calloc(j->n_pending, RECORD);
	for (size_t i = 0; i < j->n_pending; i++)
		encode_record(&j->pending[i], j->number + j->count + i,
			      data + i * RECORD);
	ok = queue_sys_write_durable(j->fd, data, j->n_pending * RECORD,
				     durable_end(j));
	free(data);
	if (!ok) {
		int saved = errno;

		queue_sys_truncate(j->fd, durable_end(j));
		errno = saved;
		return false;
	}
	j->count += j->n_pending;
	pending_reset(j);
	return true;
}

bool
journal_rewrite(struct journal *j, const struct journal_record *records,
		size_t n)
{
	int before = j->fd;

	if (!replace(j, records, n) && j->fd == before)
		return false;
	pending_reset(j);
	return true;
}
