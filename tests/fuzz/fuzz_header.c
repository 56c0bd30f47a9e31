/* SPDX-License-Identifier: MIT */
/* The header reader and the walk through MIME parts must not depend on how
 * the content is cut into pieces. The first two bytes choose the cut and the
 * limits. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/mime/header.h"
#include "lib/mime/mime.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct buf log;
	struct mime *mime;
	struct span body;
	struct buf start;
	bool ended;
};

static void
part_header(void *arg, enum mime_owner nested, struct span header)
{
	struct run *r = arg;

	buf_append_cstr(&r->log, nested ? "\001N" : "\001P");
	buf_append_span(&r->log, header);
}

static void
part_body(void *arg, struct span text, bool line_end, size_t offset)
{
	struct run *r = arg;

	buf_printf(&r->log, "\001%zu%c", offset, line_end ? 'L' : 'l');
	buf_append_span(&r->log, text);
}

static void
part_error(void *arg, enum mime_error error, struct span text)
{
	struct run *r = arg;

	buf_append_byte(&r->log, '\001');
	buf_append_byte(&r->log, (char)('A' + (int)error));
	buf_append_span(&r->log, text);
}

static const struct mime_events part_events = {part_header, part_body,
					       part_error};

static void
on_header(void *arg, struct span header)
{
	struct run *r = arg;

	buf_append_cstr(&r->log, "\001H");
	buf_append_span(&r->log, header);
	mime_primary_header(r->mime, header);
}

static void
on_end(void *arg, bool empty_line, struct span rest)
{
	struct run *r = arg;

	if (r->ended)
		abort();
	r->ended = true;
	buf_printf(&r->log, "\001E%d", empty_line);
	buf_set(&r->start, rest);
}

static const struct header_events events = {on_header, on_end};

static void
run_all(struct run *r, struct span s, size_t step,
	const struct mime_limits *limits)
{
	struct header_reader reader = {0};

	header_reader_init(&reader, limits->header_size);
	r->mime = mime_new(limits, &part_events, r);
	while (s.len) {
		size_t n = s.len < step ? s.len : step;
		struct span piece = span_make(s.data, n);
		size_t used = header_reader_feed(&reader, piece, &events, r);

		if (used > n || (used < n && !r->ended))
			abort();
		if (r->ended) {
			mime_feed(r->mime, buf_span(&r->start));
			buf_reset(&r->start);
			mime_feed(r->mime, span_from(piece, used));
		}
		s = span_from(s, n);
	}
	header_reader_finish(&reader, &events, r);
	mime_feed(r->mime, buf_span(&r->start));
	mime_finish(r->mime);
	mime_free(r->mime);
	header_reader_free(&reader);
	buf_free(&r->start);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole = {0}, cut = {0};
	struct mime_limits limits = {.nesting = 3};
	struct span s;

	if (size < 2)
		return 0;
	s = span_make((const char *)data + 2, size - 2);
	limits.strict_headers = data[0] & 16;
	limits.strict_body = data[0] & 32;
	limits.strict_domain = data[0] & 64;
	limits.to_7bit = data[0] & 128;
	limits.header_size = 10 + data[1];
	limits.boundary = 1 + data[1] % 32;
	limits.line = 20 + data[1];
	run_all(&whole, s, size, &limits);
	run_all(&cut, s, 1 + data[0] % 16, &limits);
	if (!span_equal(buf_span(&whole.log), buf_span(&cut.log)))
		abort();
	buf_free(&whole.log);
	buf_free(&cut.log);
	return 0;
}
