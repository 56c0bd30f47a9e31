/* SPDX-License-Identifier: MIT */
#include "lib/smtp/footer.h"

#include <string.h>

#include "lib/dsn/why.h"

/* Length of "550 5.1.1 " or "550 " at the start of a reply. */
static size_t
prefix_length(struct span reply)
{
	size_t dsn = dsn_code_length(span_from(reply, 4));

	if (dsn && 4 + dsn < reply.len && reply.data[4 + dsn] == ' ')
		return 4 + dsn + 1;
	return 4;
}

static long
find_break(struct span text)
{
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.data[i] == '\\' && text.data[i + 1] == 'n')
			return (long)i;
	return -1;
}

/* Append text to line, a "\n" in it as a new line that begins with prefix. */
static void
add_lines(struct buf *line, struct span prefix, struct span text, bool joined)
{
	for (;;) {
		long at = find_break(text);
		struct span one =
		    at < 0 ? text : span_make(text.data, (size_t)at);

		if (!joined) {
			buf_append_cstr(line, "\r\n");
			buf_append_span(line, prefix);
		}
		joined = false;
		buf_append_span(line, one);
		if (at < 0)
			return;
		text = span_from(text, (size_t)at + 2);
	}
}

/* "550 " becomes "550-" on all lines but the last. */
static void
mark_lines(struct buf *line)
{
	char *p = line->data, *end = line->data + line->len;

	for (;;) {
		char *eol = memchr(p, '\r', (size_t)(end - p));

		if (!eol)
			return;
		p[3] = '-';
		p = eol + 2;
	}
}

void
footer_add(struct buf *line, struct buf *text)
{
	struct buf prefix = BUF_INIT;
	struct span footer = buf_span(text);
	bool joined;

	if (line->len < 4)
		return;
	/* No macro may begin a line of its own. */
	for (size_t i = 0; i < text->len; i++)
		if (text->data[i] == '\r' || text->data[i] == '\n')
			text->data[i] = ' ';
	joined = footer.len >= 2 && !memcmp(footer.data, "\\c", 2);
	if (joined)
		footer = span_from(footer, 2);
	buf_append(&prefix, line->data, prefix_length(buf_span(line)));
	add_lines(line, buf_span(&prefix), footer, joined);
	mark_lines(line);
	buf_free(&prefix);
}
