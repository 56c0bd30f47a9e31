/* SPDX-License-Identifier: MIT */
#include "lib/deliver/loop.h"

#include <ctype.h>

#include "lib/addr/addr.h"
#include "lib/sys/io.h"

static const char header[] = "Delivered-To:";

enum { HEADER_LEN = sizeof(header) - 1, CHUNK = 16 * 1024 };

static void
fold(struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		b->data[i] = (char)tolower((unsigned char)b->data[i]);
}

static void
add(struct span value, struct htab *out)
{
	struct buf b = BUF_INIT;

	addr_unquote(span_trim(value), &b);
	fold(&b);
	if (b.len)
		htab_put(out, buf_span(&b), out);
	buf_free(&b);
}

void
loop_scan_text(struct span text, struct htab *out)
{
	while (text.len) {
		long nl = span_find(text, '\n');
		size_t n = nl < 0 ? text.len : (size_t)nl;
		struct span line = span_make(text.data, n);

		if (n == 0)
			return;
		if (span_starts_nocase(line, header) &&
		    htab_count(out) < LOOP_MAX)
			add(span_from(line, HEADER_LEN), out);
		text = span_from(text, n + 1);
	}
}

/* Does text hold the end of the header? */
static bool
header_ends(struct span text)
{
	return memmem(text.data, text.len, "\n\n", 2) != NULL;
}

struct htab *
loop_scan(int fd, int64_t offset, int64_t length)
{
	struct htab *out = htab_new();
	struct buf text = BUF_INIT;

	if (length > LOOP_HEADER_MAX)
		length = LOOP_HEADER_MAX;
	while ((int64_t)text.len < length) {
		size_t at = text.len, from = at ? at - 1 : 0;
		size_t n = (size_t)(length - (int64_t)at);

		if (n > CHUNK)
			n = CHUNK;
		buf_reserve(&text, n);
		if (!io_pread_all(fd, text.data + at, n, offset + (int64_t)at))
			break;
		text.len += n;
		if (header_ends(span_from(buf_span(&text), from)))
			break;
	}
	loop_scan_text(buf_span(&text), out);
	buf_free(&text);
	return out;
}

bool
loop_has(const struct htab *loops, const char *address)
{
	struct buf b = BUF_INIT;
	bool found;

	buf_append_cstr(&b, address);
	fold(&b);
	found = b.len && htab_get(loops, buf_span(&b));
	buf_free(&b);
	return found;
}
