/* SPDX-License-Identifier: MIT */
#include "lib/smtp/transcript.h"

#include "lib/base/utf8.h"

enum {
	COLUMNS = 79,
	INDENT = 5, /* of what is left of a line */
};

void
transcript_free(struct transcript *t)
{
	buf_free(&t->text);
	t->lines = t->kept = 0;
}

static void
add(struct transcript *t, const char *prefix, struct span line)
{
	size_t start = t->text.len;

	t->lines++;
	if (start + line.len > TRANSCRIPT_MAX)
		return;
	t->kept++;
	buf_append_cstr(&t->text, prefix);
	buf_append_span(&t->text, line);
	utf8_printable(t->text.data + start, t->text.len - start, '?');
	buf_append_byte(&t->text, '\n');
}

void
transcript_in(struct transcript *t, struct span line)
{
	add(t, " In:  ", line);
}

void
transcript_out(struct transcript *t, struct span reply)
{
	long end;

	while ((end = span_find(reply, '\n')) >= 0) {
		struct span line = span_make(reply.data, (size_t)end);

		if (line.len && line.data[line.len - 1] == '\r')
			line.len--;
		add(t, " Out: ", line);
		reply = span_from(reply, (size_t)end + 1);
	}
	add(t, " Out: ", reply);
}

static struct span
trim_end(struct span s)
{
	while (s.len && s.data[s.len - 1] == ' ')
		s.len--;
	return s;
}

/* Where the line is to be broken: the last space that leaves at most room
 * columns, else the first one; line.len: nowhere. */
static size_t
break_at(struct span line, size_t room)
{
	size_t at = 0, i = 0;

	while (i < line.len && line.data[i] == ' ')
		i++;
	for (; i < line.len; i++) {
		if (line.data[i] != ' ')
			continue;
		if (i > room && at)
			break;
		at = i;
		if (i > room)
			break;
	}
	return at ? at : line.len;
}

static void
fold(struct span line, struct buf *out)
{
	size_t room = COLUMNS;

	while (line.len > room) {
		size_t at = break_at(line, room);

		buf_append_span(out, trim_end(span_make(line.data, at)));
		line = span_from(line, at);
		while (line.len && line.data[0] == ' ')
			line = span_from(line, 1);
		if (!line.len)
			break;
		buf_printf(out, "\n%*s", INDENT, "");
		room = COLUMNS - INDENT;
	}
	buf_append_span(out, trim_end(line));
	buf_append_byte(out, '\n');
}

void
transcript_render(const struct transcript *t, struct buf *out)
{
	struct span rest = buf_span(&t->text);
	long end;

	while ((end = span_find(rest, '\n')) >= 0) {
		fold(span_make(rest.data, (size_t)end), out);
		rest = span_from(rest, (size_t)end + 1);
	}
	if (t->lines > t->kept)
		buf_printf(out, " ... and %zu more lines\n",
			   t->lines - t->kept);
}
