/* SPDX-License-Identifier: MIT */
#include "lib/smtp/reply.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/utf8.h"

void
reply_free(struct reply *r)
{
	buf_free(&r->text);
	*r = (struct reply)REPLY_INIT;
}

/* "250", "250-x", "250 x": the code, or 0. */
static int
line_code(struct span line)
{
	if (line.len < 3 || line.data[0] < '2' || line.data[0] > '5' ||
	    !isdigit((unsigned char)line.data[1]) ||
	    !isdigit((unsigned char)line.data[2]))
		return 0;
	if (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-')
		return 0;
	return (line.data[0] - '0') * 100 + (line.data[1] - '0') * 10 +
	       (line.data[2] - '0');
}

static void
keep_line(struct reply *r, struct span line)
{
	size_t start;

	if (r->lines >= REPLY_LINES_MAX ||
	    r->text.len + line.len + 1 > REPLY_TEXT_MAX)
		return;
	if (r->lines++)
		buf_append_byte(&r->text, '\n');
	start = r->text.len;
	buf_append_span(&r->text, line);
	if (line.len)
		utf8_printable(r->text.data + start, line.len, '?');
}

/* A status code counts only where it agrees with the reply code. */
static void
find_dsn(struct reply *r, int code, struct span line)
{
	struct span text = span_from(line, 4);
	size_t n = dsn_code_length(text);

	r->dsn[0] = '\0';
	if (n && n < sizeof(r->dsn) && text.data[0] == code / 100 + '0')
		snprintf(r->dsn, sizeof(r->dsn), "%.*s", (int)n, text.data);
}

/* The line that was no reply, or one too many, is all that is kept. */
static enum reply_status
bad(struct reply *r, struct span line)
{
	buf_reset(&r->text);
	r->lines = 0;
	if (line.len > REPLY_BAD_MAX)
		line.len = REPLY_BAD_MAX;
	keep_line(r, line);
	r->code = 0;
	return REPLY_BAD;
}

enum reply_status
reply_read(struct stream *s, struct reply *r)
{
	size_t total = 0;

	s->max_skip = REPLY_READ_MAX;
	buf_reset(&r->text);
	*r = (struct reply){.text = r->text};
	for (;;) {
		struct span line;
		unsigned flags;
		int code;

		if (stream_read_line(s, REPLY_LINE_MAX, &line, &flags) !=
		    STREAM_OK)
			return REPLY_IO;
		code = line_code(line);
		total += line.len + 2;
		if (code == 0 || (flags & LINE_ENDLESS) ||
		    total > REPLY_READ_MAX)
			return bad(r, line);
		if (r->code && r->code != code)
			r->mixed = true;
		if (!r->code)
			find_dsn(r, code, line);
		r->code = code;
		keep_line(r, line);
		if (line.len == 3 || line.data[3] == ' ')
			break;
	}
	if (r->dsn[0] && r->dsn[0] != r->code / 100 + '0')
		r->dsn[0] = '\0';
	return REPLY_OK;
}

struct span
reply_line(const struct reply *r, size_t i)
{
	struct span rest = buf_span(&r->text);

	if (i >= r->lines)
		return span_make(NULL, 0);
	for (;; i--) {
		long nl = span_find(rest, '\n');
		struct span line =
		    nl < 0 ? rest : span_make(rest.data, (size_t)nl);

		if (i == 0)
			return span_from(line, 4);
		rest = span_from(rest, (size_t)nl + 1);
	}
}

void
reply_text(const struct reply *r, struct buf *out)
{
	struct span text = buf_span(&r->text);

	for (size_t i = 0; i < text.len; i++)
		buf_append_byte(out, text.data[i] == '\n' ? ' ' : text.data[i]);
}
