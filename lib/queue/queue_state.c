/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_state.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "lib/base/mem.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	SNAPSHOT = 1, /* the first byte of a payload */
	DONE_LIST = 2,
	FLAG_DELAY_WARNED = 1,
	FLAG_EXPIRE = 2,
	PAYLOAD_MAX = 256 * 1024 * 1024,
	TEXT_MAX = 64 * 1024,
};

static const char magic[4] = "PRST";

/* What why.diag_type may be; the index is stored. */
static const char *const diag_types[] = {NULL, "smtp", "x-unix"};

enum { N_DIAG_TYPES = sizeof(diag_types) / sizeof(diag_types[0]) };

void
queue_state_init(struct queue_state *s, size_t n)
{
	*s = (struct queue_state){.n = n};
	s->state = mem_calloc(n, 1);
}

static void
free_last(struct why *last, size_t n)
{
	for (size_t i = 0; last && i < n; i++)
		why_free(&last[i]);
	free(last);
}

void
queue_state_free(struct queue_state *s)
{
	free_last(s->last, s->n);
	free(s->state);
	*s = (struct queue_state){0};
}

static void
put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_append(b, &v, sizeof(v));
}

static void
put64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_append(b, &v, sizeof(v));
}

static void
put_text(struct buf *b, struct span s)
{
	if (s.len > TEXT_MAX)
		s.len = TEXT_MAX;
	put32(b, (uint32_t)s.len);
	buf_append_span(b, s);
}

static void
put_why(struct buf *b, const struct why *w)
{
	size_t type = 0;

	if (!why_is_set(w)) {
		buf_append_byte(b, 0);
		return;
	}
	buf_append_byte(b, 1);
	put_text(b, span_of(w->dsn));
	put32(b, (uint32_t)w->code);
	put_text(b, buf_span(&w->text));
	put_text(b, buf_span(&w->mta));
	put_text(b, buf_span(&w->diagnostic));
	for (size_t i = 1; i < N_DIAG_TYPES; i++)
		if (w->diag_type && strcmp(w->diag_type, diag_types[i]) == 0)
			type = i;
	buf_append_byte(b, (char)type);
}

/* Room for the head of a record; returns where it begins. */
static size_t
begin_record(struct buf *out)
{
	size_t start = out->len;

	buf_append(out, magic, sizeof(magic));
	put32(out, 0);
	put64(out, 0);
	return start;
}

/* Length and checksum of the payload that was appended since. */
static void
end_record(struct buf *out, size_t start, int64_t offset)
{
	size_t len = out->len - start - QUEUE_STATE_HEADER;
	uint32_t le = htole32((uint32_t)len);
	uint64_t hash = htole64(XXH3_64bits_withSeed(
	    out->data + start + QUEUE_STATE_HEADER, len, (uint64_t)offset));

	memcpy(out->data + start + 4, &le, sizeof(le));
	memcpy(out->data + start + 8, &hash, sizeof(hash));
}

void
queue_state_encode(const struct queue_state *s, int64_t offset, struct buf *out)
{
	size_t start = begin_record(out);

	buf_append_byte(out, SNAPSHOT);
	buf_append_byte(out, (char)((s->delay_warned ? FLAG_DELAY_WARNED : 0) |
				    (s->expire ? FLAG_EXPIRE : 0)));
	put32(out, s->attempts);
	put64(out, (uint64_t)s->next);
	put32(out, (uint32_t)s->n);
	for (size_t i = 0; i < s->n; i++) {
		buf_append_byte(out, (char)s->state[i]);
		if (s->last)
			put_why(out, &s->last[i]);
		else
			buf_append_byte(out, 0);
	}
	end_record(out, start, offset);
}

static bool
take(struct span *in, void *out, size_t len)
{
	if (in->len < len)
		return false;
	memcpy(out, in->data, len);
	*in = span_from(*in, len);
	return true;
}

static bool
take32(struct span *in, uint32_t *v)
{
	if (!take(in, v, sizeof(*v)))
		return false;
	*v = le32toh(*v);
	return true;
}

static bool
take_text(struct span *in, struct span *text)
{
	uint32_t len;

	if (!take32(in, &len) || len > TEXT_MAX || len > in->len)
		return false;
	*text = span_make(in->data, len);
	*in = span_from(*in, len);
	return true;
}

/* One recipient's reason into w, which is empty. */
static bool
take_why(struct span *in, struct why *w)
{
	struct span dsn, text, mta, diagnostic;
	uint32_t code;
	uint8_t type;

	if (!take_text(in, &dsn) || dsn_code_length(dsn) != dsn.len ||
	    dsn.len == 0 || dsn.len >= DSN_CODE_MAX || !take32(in, &code) ||
	    code > 999 || !take_text(in, &text) || !take_text(in, &mta) ||
	    !take_text(in, &diagnostic) || !take(in, &type, 1) ||
	    type >= N_DIAG_TYPES)
		return false;
	memcpy(w->dsn, dsn.data, dsn.len);
	w->dsn[dsn.len] = '\0';
	w->code = (int)code;
	buf_append_span(&w->text, text);
	if (mta.len)
		buf_append_span(&w->mta, mta);
	if (diagnostic.len)
		buf_append_span(&w->diagnostic, diagnostic);
	w->diag_type = diag_types[type];
	return true;
}

static bool
take_recipients(struct span *in, struct queue_state *s)
{
	for (size_t i = 0; i < s->n; i++) {
		uint8_t has_why;

		if (!take(in, &s->state[i], 1) || s->state[i] > RCPT_DONE ||
		    !take(in, &has_why, 1) || has_why > 1)
			return false;
		if (has_why == 0)
			continue;
		if (!s->last)
			s->last = mem_calloc(s->n, sizeof(*s->last));
		if (!take_why(in, &s->last[i]))
			return false;
	}
	return in->len == 0;
}

static bool
decode_snapshot(struct span payload, struct queue_state *s)
{
	struct queue_state new;
	uint8_t flags;
	uint32_t attempts, n;
	uint64_t next;

	if (!take(&payload, &flags, 1) || !take32(&payload, &attempts) ||
	    !take(&payload, &next, sizeof(next)) || !take32(&payload, &n) ||
	    n != s->n)
		return false;
	queue_state_init(&new, n);
	if (!take_recipients(&payload, &new)) {
		queue_state_free(&new);
		return false;
	}
	new.attempts = attempts;
	new.next = (int64_t)le64toh(next);
	new.delay_warned = (flags & FLAG_DELAY_WARNED) != 0;
	new.expire = (flags & FLAG_EXPIRE) != 0;
	queue_state_free(s);
	*s = new;
	return true;
}

static bool
decode_done_list(struct span payload, struct queue_state *s)
{
	struct span check = payload;
	uint32_t i;

	while (check.len)
		if (!take32(&check, &i) || i >= s->n)
			return false;
	while (take32(&payload, &i))
		s->state[i] = RCPT_DONE;
	return true;
}

bool
queue_state_decode(struct span payload, struct queue_state *s)
{
	uint8_t kind;

	if (!take(&payload, &kind, 1))
		return false;
	return kind == SNAPSHOT    ? decode_snapshot(payload, s)
	       : kind == DONE_LIST ? decode_done_list(payload, s)
				   : false;
}

bool
queue_state_is_record(const char *data, size_t len)
{
	return len >= sizeof(magic) && memcmp(data, magic, sizeof(magic)) == 0;
}

/* The record at offset; false: none that is whole. */
static bool
read_record(int fd, int64_t offset, int64_t size, struct buf *payload)
{
	char head[QUEUE_STATE_HEADER];
	uint32_t len;
	uint64_t hash;

	if (!io_pread_all(fd, head, sizeof(head), offset) ||
	    !queue_state_is_record(head, sizeof(head)))
		return false;
	memcpy(&len, head + 4, sizeof(len));
	memcpy(&hash, head + 8, sizeof(hash));
	len = le32toh(len);
	if (len > PAYLOAD_MAX || offset + QUEUE_STATE_HEADER + len > size)
		return false;
	buf_reset(payload);
	buf_reserve(payload, len);
	if (!io_pread_all(fd, payload->data, len, offset + QUEUE_STATE_HEADER))
		return false;
	payload->len = len;
	return XXH3_64bits_withSeed(payload->data, len, (uint64_t)offset) ==
	       le64toh(hash);
}

bool
queue_state_read(int fd, int64_t offset, struct queue_state *s, int64_t *end)
{
	struct buf payload = BUF_INIT;
	struct stat st;

	*end = offset;
	if (fstat(fd, &st) < 0)
		return false;
	while (read_record(fd, *end, st.st_size, &payload) &&
	       queue_state_decode(buf_span(&payload), s))
		*end += QUEUE_STATE_HEADER + (int64_t)payload.len;
	buf_free(&payload);
	return true;
}

bool
queue_state_write(int fd, const struct queue_state *s, int64_t *end)
{
	struct buf data = BUF_INIT;
	bool ok;

	queue_state_encode(s, *end, &data);
	ok = queue_sys_write(fd, data.data, data.len, *end);
	if (ok)
		*end += (int64_t)data.len;
	buf_free(&data);
	return ok;
}

bool
queue_state_write_done(int fd, const uint32_t *index, size_t n, int64_t *end)
{
	struct buf data = BUF_INIT;
	size_t start = begin_record(&data);
	bool ok;

	buf_append_byte(&data, DONE_LIST);
	for (size_t i = 0; i < n; i++)
		put32(&data, index[i]);
	end_record(&data, start, *end);
	ok = queue_sys_write(fd, data.data, data.len, *end);
	if (ok)
		*end += (int64_t)data.len;
	buf_free(&data);
	return ok;
}
