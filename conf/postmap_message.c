/* SPDX-License-Identifier: MIT */
/*
 * -b and -h: the lines of a message as header_checks(5) and body_checks(5)
 * see them. With -m the headers of MIME parts and of attached messages are
 * headers, and the rest is body; without, everything behind the first header
 * is body.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "conf/postmap.h"

enum {
	DEPTH_MAX = 20,      /* multiparts within multiparts */
	HEADER_MAX = 102400, /* bytes of one logical header */
};

enum state {
	IN_PRIMARY, /* the header of the message */
	IN_PART,    /* a MIME header within */
	IN_NESTED,  /* the header of an attached message */
	IN_BODY,
};

struct parser {
	const struct postmap *p;
	void (*fn)(void *arg, struct span key);
	void *arg;
	enum state state;
	struct buf header; /* the logical header being read */
	bool message_part; /* its body is a message */
	bool multipart;    /* boundary is that of what follows */
	bool digest;       /* its parts are messages unless they say */
	struct buf boundary;
	struct buf stack[DEPTH_MAX];
	bool digests[DEPTH_MAX];
	size_t depth;
};

static void
emit(struct parser *m, struct span key, bool header)
{
	if (header ? m->p->header : m->p->body)
		m->fn(m->arg, key);
}

/* Length of the field name when line is "name:...", with white space before
 * the colon counted in *gap; 0 when it is no header. */
static size_t
header_name(struct span line, size_t *gap)
{
	size_t n = 0, i;

	while (n < line.len && line.data[n] > ' ' && line.data[n] < 127 &&
	       line.data[n] != ':')
		n++;
	i = n;
	while (i < line.len && (line.data[i] == ' ' || line.data[i] == '\t'))
		i++;
	*gap = i - n;
	return i < line.len && line.data[i] == ':' ? n : 0;
}

/* The value of the boundary parameter. */
static void
take_boundary(struct span value, struct buf *out)
{
	size_t i = 0;

	buf_reset(out);
	while (i < value.len) {
		while (i < value.len && value.data[i] != ';') {
			if (value.data[i] == '"')
				for (i++; i < value.len && value.data[i] != '"';
				     i++)
					;
			i++;
		}
		i++;
		while (i < value.len && isspace((unsigned char)value.data[i]))
			i++;
		if (i >= value.len ||
		    !span_starts_nocase(span_from(value, i), "boundary="))
			continue;
		i += strlen("boundary=");
		if (i < value.len && value.data[i] == '(')
			while (i < value.len && value.data[i++] != ')')
				;
		if (i < value.len && value.data[i] == '"') {
			for (i++; i < value.len && value.data[i] != '"'; i++)
				buf_append_byte(out, value.data[i]);
		} else {
			while (i < value.len && value.data[i] != ';' &&
			       !isspace((unsigned char)value.data[i]))
				buf_append_byte(out, value.data[i++]);
		}
		return;
	}
}

static void
look_at_type(struct parser *m, struct span value)
{
	value = span_trim(value);
	m->message_part = span_starts_nocase(value, "message/rfc822") ||
			  span_starts_nocase(value, "message/global");
	m->multipart = span_starts_nocase(value, "multipart/");
	m->digest = span_starts_nocase(value, "multipart/digest");
	if (m->multipart)
		take_boundary(value, &m->boundary);
}

static void
end_header(struct parser *m)
{
	struct span h = buf_span(&m->header);
	long colon = span_find(h, ':');

	if (h.len == 0)
		return;
	if (m->p->mime && colon > 0 &&
	    span_equal_cstr_nocase(span_make(h.data, (size_t)colon),
				   "content-type"))
		look_at_type(m, span_from(h, (size_t)colon + 1));
	emit(m, h, true);
	buf_reset(&m->header);
}

/* Take a line into the header; false: it is not one. */
static bool
add_header_line(struct parser *m, struct span line)
{
	size_t gap, n;

	if (m->header.len > 0 && line.len > 0 &&
	    (line.data[0] == ' ' || line.data[0] == '\t')) {
		if (m->header.len + line.len < HEADER_MAX) {
			buf_append_byte(&m->header, '\n');
			buf_append_span(&m->header, line);
		}
		return true;
	}
	n = header_name(line, &gap);
	if (n == 0)
		return false;
	end_header(m);
	buf_append(&m->header, line.data, n);
	buf_append_span(&m->header, span_from(line, n + gap));
	return true;
}

/* Behind a header: what does the body consist of? */
static void
begin_body(struct parser *m)
{
	end_header(m);
	if (m->p->mime && m->multipart && m->depth < DEPTH_MAX) {
		m->digests[m->depth] = m->digest;
		buf_set(&m->stack[m->depth++], buf_span(&m->boundary));
	}
	m->state = m->p->mime && m->message_part ? IN_NESTED : IN_BODY;
	m->multipart = m->message_part = false;
}

/* "--boundary": 1 a part follows, 2 the last ("--boundary--"), 0 neither. */
static int
match_boundary(struct parser *m, struct span line)
{
	if (!m->p->mime || line.len < 2 || line.data[0] != '-' ||
	    line.data[1] != '-')
		return 0;
	line = span_from(line, 2);
	for (size_t i = m->depth; i-- > 0;) {
		struct span b = buf_span(&m->stack[i]);

		if (line.len < b.len || memcmp(line.data, b.data, b.len) != 0)
			continue;
		m->depth = i + 1;
		line = span_from(line, b.len);
		return line.len >= 2 && !memcmp(line.data, "--", 2) ? 2 : 1;
	}
	return 0;
}

static void
body_line(struct parser *m, struct span line)
{
	int b = match_boundary(m, line);

	emit(m, line, false);
	if (b == 1) {
		m->state = IN_PART;
		m->message_part = m->digests[m->depth - 1];
	} else if (b == 2) {
		m->depth--;
	}
}

static void
parse_line(struct parser *m, struct span line)
{
	bool primary;

	if (m->state != IN_BODY) {
		if (match_boundary(m, line)) {
			begin_body(m);
			m->state = IN_BODY;
			body_line(m, line);
			return;
		}
		primary = m->state == IN_PRIMARY;
		if (add_header_line(m, line))
			return;
		begin_body(m);
		/* The line between header and body belongs to the body, and is
		 * made up where the message has none. */
		if (primary || line.len == 0)
			emit(m, span_make("", 0), false);
		if (line.len == 0)
			return;
		m->state = IN_BODY;
	}
	body_line(m, line);
}

void
postmap_message_keys(const struct postmap *p,
		     void (*fn)(void *arg, struct span key), void *arg)
{
	struct parser m = {.p = p, .fn = fn, .arg = arg};
	char *raw = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&raw, &cap, stdin)) >= 0) {
		struct span line = span_make(raw, (size_t)n);

		if (line.len > 0 && line.data[line.len - 1] == '\n')
			line.len--;
		parse_line(&m, line);
	}
	if (m.state != IN_BODY)
		end_header(&m);
	free(raw);
	buf_free(&m.header);
	buf_free(&m.boundary);
	for (size_t i = 0; i < DEPTH_MAX; i++)
		buf_free(&m.stack[i]);
}
