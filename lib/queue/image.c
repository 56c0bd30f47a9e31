/* SPDX-License-Identifier: MIT */
#include "lib/queue/image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/le.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	AT_FILE = 8,
	AT_OFFSET = 16,
	AT_CONTENT = 24,
	AT_ENVELOPE = 32,
	AT_CONTENT_HASH = 40,
	AT_ENVELOPE_HASH = 48,
	AT_ID = 56,
	AT_HASH = 120,
	COPY_SIZE = 64 * 1024,
};

static const char magic[8] = "PRMAIL1\n";

uint64_t
image_hash(const void *data, size_t len)
{
	return XXH3_64bits(len ? data : "", len);
}

void
image_encode(const struct image_header *h, char out[IMAGE_HEADER])
{
	memset(out, 0, IMAGE_HEADER);
	memcpy(out, magic, sizeof(magic));
	le_put64(out + AT_FILE, h->file);
	le_put64(out + AT_OFFSET, (uint64_t)h->offset);
	le_put64(out + AT_CONTENT, (uint64_t)h->content_length);
	le_put64(out + AT_ENVELOPE, (uint64_t)h->envelope_length);
	le_put64(out + AT_CONTENT_HASH, h->content_hash);
	le_put64(out + AT_ENVELOPE_HASH, h->envelope_hash);
	memcpy(out + AT_ID, h->id, strnlen(h->id, QUEUE_ID_MAX - 1));
	le_put64(out + AT_HASH, image_hash(out, AT_HASH));
}

/* An id, then nothing but NUL. */
static bool
id_ok(const char *p)
{
	size_t n = strnlen(p, QUEUE_ID_MAX);

	for (size_t i = n; i < QUEUE_ID_MAX; i++)
		if (p[i])
			return false;
	return queue_id_valid(span_make(p, n));
}

bool
image_decode(const char in[IMAGE_HEADER], struct image_header *h)
{
	int64_t end;

	if (memcmp(in, magic, sizeof(magic)) != 0 ||
	    le_get64(in + AT_HASH) != image_hash(in, AT_HASH) ||
	    !id_ok(in + AT_ID))
		return false;
	h->file = le_get64(in + AT_FILE);
	h->offset = (int64_t)le_get64(in + AT_OFFSET);
	h->content_length = (int64_t)le_get64(in + AT_CONTENT);
	h->envelope_length = (int64_t)le_get64(in + AT_ENVELOPE);
	h->content_hash = le_get64(in + AT_CONTENT_HASH);
	h->envelope_hash = le_get64(in + AT_ENVELOPE_HASH);
	memcpy(h->id, in + AT_ID, QUEUE_ID_MAX);
	return h->offset >= 0 && h->content_length >= 0 &&
	       h->envelope_length > 0 &&
	       h->envelope_length <= IMAGE_ENVELOPE_MAX &&
	       !__builtin_add_overflow(h->offset, h->content_length, &end) &&
	       !__builtin_add_overflow(end, h->envelope_length, &end) &&
	       !__builtin_add_overflow(end, IMAGE_HEADER, &end);
}

int64_t
image_length(const struct image_header *h)
{
	return IMAGE_HEADER + h->content_length + h->envelope_length;
}

static bool
all_zero(const char *p, size_t n)
{
	while (n > 0 && *p == 0) {
		p++;
		n--;
	}
	return n == 0;
}

enum queue_read
image_read_header(int fd, int64_t offset, struct image_header *h)
{
	char raw[IMAGE_HEADER];
	struct stat st;

	if (!io_pread_all(fd, raw, sizeof(raw), offset))
		return errno == 0 ? QUEUE_READ_END : QUEUE_READ_ERROR;
	if (all_zero(raw, sizeof(raw)))
		return QUEUE_READ_END;
	if (!image_decode(raw, h) || h->offset != offset)
		return QUEUE_READ_CORRUPT;
	if (fstat(fd, &st) < 0)
		return QUEUE_READ_ERROR;
	if (st.st_size - offset < image_length(h))
		return QUEUE_READ_END;
	return QUEUE_READ_OK;
}

enum queue_read
image_check_content(int fd, const struct image_header *h)
{
	enum queue_read st = QUEUE_READ_OK;
	int64_t at = h->offset + IMAGE_HEADER, left = h->content_length;
	size_t size = left < COPY_SIZE ? (size_t)left : COPY_SIZE;
	XXH3_state_t *x;
	char *block;

	if (left == 0)
		return h->content_hash == image_hash("", 0)
			   ? QUEUE_READ_OK
			   : QUEUE_READ_CORRUPT;
	block = mem_alloc(size);
	x = XXH3_createState();
	if (!x)
		abort();
	XXH3_64bits_reset(x);
	while (left > 0 && st == QUEUE_READ_OK) {
		size_t n = left < (int64_t)size ? (size_t)left : size;

		if (!io_pread_all(fd, block, n, at))
			st = errno ? QUEUE_READ_ERROR : QUEUE_READ_CORRUPT;
		else
			XXH3_64bits_update(x, block, n);
		at += (int64_t)n;
		left -= (int64_t)n;
	}
	if (st == QUEUE_READ_OK && XXH3_64bits_digest(x) != h->content_hash)
		st = QUEUE_READ_CORRUPT;
	XXH3_freeState(x);
	free(block);
	return st;
}

enum queue_read
image_read_envelope(int fd, const struct image_header *h, struct buf *data)
{
	size_t n = (size_t)h->envelope_length;

	buf_reserve(data, n);
	if (!io_pread_all(fd, data->data, n,
			  h->offset + IMAGE_HEADER + h->content_length))
		return errno ? QUEUE_READ_ERROR : QUEUE_READ_CORRUPT;
	data->len = n;
	data->data[n] = '\0';
	return image_hash(data->data, n) == h->envelope_hash
		   ? QUEUE_READ_OK
		   : QUEUE_READ_CORRUPT;
}

void
image_place(int fd, const struct image_header *h, struct queue_place *place)
{
	place->fd = fd;
	place->path = NULL;
	place->offset = h->offset;
	place->length = image_length(h);
	place->content_offset = h->offset + IMAGE_HEADER;
	place->content_length = h->content_length;
}

void
queue_place_close(struct queue_place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
	free(p->path);
	p->path = NULL;
}

enum queue_read
queue_read_image(int fd, int64_t offset, bool check, struct queue_place *place,
		 char id[QUEUE_ID_MAX], struct envelope *env)
{
	struct image_header h;
	struct buf data = BUF_INIT;
	enum queue_read st;

	st = image_read_header(fd, offset, &h);
	if (st == QUEUE_READ_OK)
		st = image_read_envelope(fd, &h, &data);
	if (st == QUEUE_READ_OK && check)
		st = image_check_content(fd, &h);
	if (st == QUEUE_READ_OK && !envelope_decode(buf_span(&data), env))
		st = QUEUE_READ_CORRUPT;
	buf_free(&data);
	if (st != QUEUE_READ_OK)
		return st;
	if (place)
		image_place(fd, &h, place);
	if (id)
		memcpy(id, h.id, QUEUE_ID_MAX);
	return QUEUE_READ_OK;
}

/* Content from one file to the other, checked on the way. */
static bool
copy_content(int from, const struct image_header *h, int to)
{
	XXH3_state_t *x = XXH3_createState();
	char *block = mem_alloc(COPY_SIZE);
	int64_t done = 0;
	bool ok = x != NULL;

	if (ok)
		XXH3_64bits_reset(x);
	while (ok && done < h->content_length) {
		int64_t left = h->content_length - done;
		size_t n = left < COPY_SIZE ? (size_t)left : COPY_SIZE;

		ok = io_pread_all(from, block, n,
				  h->offset + IMAGE_HEADER + done);
		if (!ok && errno == 0)
			errno = EIO;
		if (ok) {
			XXH3_64bits_update(x, block, n);
			ok = queue_sys_write(to, block, n, IMAGE_HEADER + done);
		}
		done += (int64_t)n;
	}
	if (ok && XXH3_64bits_digest(x) != h->content_hash) {
		errno = EIO;
		ok = false;
	}
	XXH3_freeState(x);
	free(block);
	return ok;
}

bool
image_copy(int from, const struct image_header *h, int to, const char *id,
	   const struct envelope *env, int64_t *end)
{
	struct image_header copy = *h;
	struct buf data = BUF_INIT;
	char raw[IMAGE_HEADER];
	bool ok;

	if (env) {
		envelope_encode(env, &data);
		copy.envelope_length = (int64_t)data.len;
		copy.envelope_hash = image_hash(data.data, data.len);
	} else if (image_read_envelope(from, h, &data) != QUEUE_READ_OK) {
		buf_free(&data);
		errno = EIO;
		return false;
	}
	copy.file = 0;
	copy.offset = 0;
	if (id) {
		memset(copy.id, 0, sizeof(copy.id));
		memcpy(copy.id, id, strnlen(id, QUEUE_ID_MAX - 1));
	}
	image_encode(&copy, raw);
	ok = copy_content(from, h, to) &&
	     queue_sys_write(to, data.data, data.len,
			     IMAGE_HEADER + copy.content_length) &&
	     queue_sys_write(to, raw, sizeof(raw), 0);
	buf_free(&data);
	*end = image_length(&copy);
	return ok;
}
