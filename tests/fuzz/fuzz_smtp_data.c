/* SPDX-License-Identifier: MIT */
/*
 * The reader of DATA and BDAT: however the input is cut, the content is the
 * same; nothing but CR LF . CR LF ends that of DATA (unless bare LF is
 * allowed), and nothing that of BDAT.
 */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/smtp/data.h"

static size_t
convert(const uint8_t *data, size_t size, size_t step, enum bare_policy policy,
	bool keep_cr, bool chunked, struct buf *out, bool *done)
{
	struct data_reader d;
	size_t at = 0;

	if (chunked)
		data_init_chunked(&d, policy);
	else
		data_init(&d, policy);
	d.keep_cr = keep_cr;
	while (at < size && !d.done) {
		size_t n = size - at < step ? size - at : step;
		char *piece = mem_strndup((const char *)data + at, n);
		struct span held, content;
		size_t used = data_convert(&d, piece, n, &held, &content);

		if (used > n || (used < n && !d.done))
			abort();
		buf_append_span(out, held);
		buf_append_span(out, content);
		free(piece);
		at += used;
	}
	if (chunked)
		buf_append_span(out, data_held(&d));
	*done = d.done;
	return at;
}

/* Where RFC 5321 sees the end, or size. */
static size_t
strict_end(const uint8_t *data, size_t size)
{
	if (size >= 3 && !memcmp(data, ".\r\n", 3))
		return 3;
	for (size_t i = 0; i + 5 <= size; i++)
		if (!memcmp(data + i, "\r\n.\r\n", 5))
			return i + 5;
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;
	enum bare_policy policy;
	bool keep_cr, chunked, done, done_cut;
	size_t step, used, end;

	if (size < 2)
		return 0;
	policy = data[0] & 3;
	keep_cr = data[0] & 4;
	chunked = data[0] & 8;
	step = data[1] % 16 + 1;
	data += 2;
	size -= 2;
	used = convert(data, size, size ? size : 1, policy, keep_cr, chunked,
		       &whole, &done);
	if (convert(data, size, step, policy, keep_cr, chunked, &cut,
		    &done_cut) != used ||
	    done != done_cut || !span_equal(buf_span(&whole), buf_span(&cut)))
		abort();
	if (chunked && (done || used != size))
		abort();
	if (!chunked && policy != BARE_ALLOW) {
		end = strict_end(data, size);
		if (used != end)
			abort();
	}
	if (whole.len > size ||
	    (done && whole.len && whole.data[whole.len - 1] != '\n'))
		abort();
	if (!keep_cr && memchr(whole.len ? whole.data : "", '\r', whole.len))
		abort();
	buf_free(&whole);
	buf_free(&cut);
	return 0;
}
