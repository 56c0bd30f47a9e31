/* SPDX-License-Identifier: MIT */
#include "lib/mime/quoted.h"

enum { COLUMN_MAX = 72 };

void
quoted_free(struct quoted *q)
{
	buf_free(&q->out);
}

void
quoted_start(struct quoted *q)
{
	buf_reset(&q->out);
	q->used = q->column = 0;
	q->has_space = false;
}

static void
soft_break(struct quoted *q)
{
	if (q->column <= COLUMN_MAX)
		return;
	buf_append_cstr(&q->out, "=\n");
	q->column = 0;
}

static void
put_plain(struct quoted *q, char c)
{
	soft_break(q);
	buf_append_byte(&q->out, c);
	q->column++;
}

static void
put_hex(struct quoted *q, char c)
{
	static const char hex[] = "0123456789ABCDEF";
	unsigned char byte = (unsigned char)c;

	soft_break(q);
	buf_append_byte(&q->out, '=');
	buf_append_byte(&q->out, hex[byte >> 4]);
	buf_append_byte(&q->out, hex[byte & 15]);
	q->column += 3;
}

void
quoted_encode(struct quoted *q, struct span piece, bool line_end)
{
	buf_reset(&q->out);
	q->used = 0;
	for (size_t i = 0; i < piece.len; i++) {
		char c = piece.data[i];

		if (q->has_space)
			put_plain(q, q->space);
		q->has_space = c == ' ' || c == '\t';
		q->space = c;
		if (q->has_space)
			continue;
		if (c > ' ' && c < 0x7f && c != '=')
			put_plain(q, c);
		else
			put_hex(q, c);
	}
	if (!line_end)
		return;
	quoted_finish(q);
	buf_append_byte(&q->out, '\n');
	q->column = 0;
}

void
quoted_finish(struct quoted *q)
{
	if (q->has_space)
		put_hex(q, q->space);
	q->has_space = false;
}

bool
quoted_next(struct quoted *q, struct span *text, bool *line_end)
{
	struct span rest = span_from(buf_span(&q->out), q->used);
	long nl = span_find(rest, '\n');

	*line_end = nl >= 0;
	*text = span_make(rest.data, nl < 0 ? rest.len : (size_t)nl);
	q->used += text->len + (nl >= 0);
	return rest.len > 0;
}
