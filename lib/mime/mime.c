/* SPDX-License-Identifier: MIT */
#include "lib/mime/mime.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/mime/header.h"
#include "lib/mime/quoted.h"

enum part_kind {
	PART_LEAF,
	PART_MULTIPART,
	PART_MESSAGE,
};

/* An open multipart. */
struct level {
	char *boundary;
	size_t len;
	bool digest;
	int depth; /* of nested things outside it */
};

struct mime {
	struct mime_limits limits;
	const struct mime_events *ev;
	void *arg;

	struct level *levels;
	size_t n_levels, cap_levels;
	int depth;
	bool too_deep;

	/* of the part or message whose headers are read */
	enum part_kind kind;
	bool digest;
	bool composite; /* message or multipart, of any subtype */
	bool multipart;
	bool global;                /* message/global */
	struct buf encoding;        /* Content-Transfer-Encoding; empty: 7bit */
	struct buf encoding_header; /* with to_7bit: all of it, kept back */
	bool encode;                /* the body becomes quoted-printable */
	struct quoted quoted;
	struct buf boundary;
	struct buf type_header;

	unsigned told; /* 1 << enum mime_error */
	bool started, in_headers;
	enum mime_owner owner; /* of the headers */
	struct header_reader reader;
	struct buf line; /* of a body, incomplete */
	bool long_line;  /* its beginning was given already */
	size_t offset;   /* in the body segment */
};

struct mime *
mime_new(const struct mime_limits *limits, const struct mime_events *events,
	 void *arg)
{
	struct mime *m = mem_alloc(sizeof(*m));

	m->limits = *limits;
	if (m->limits.line == 0)
		m->limits.line = 1;
	if (m->limits.boundary == 0)
		m->limits.boundary = 1;
	m->ev = events;
	m->arg = arg;
	header_reader_init(&m->reader, limits->header_size);
	return m;
}

static void
pop_levels(struct mime *m, size_t keep)
{
	while (m->n_levels > keep) {
		struct level *l = &m->levels[--m->n_levels];

		m->depth = l->depth;
		free(l->boundary);
	}
}

void
mime_free(struct mime *m)
{
	if (!m)
		return;
	pop_levels(m, 0);
	free(m->levels);
	buf_free(&m->boundary);
	buf_free(&m->encoding);
	buf_free(&m->encoding_header);
	quoted_free(&m->quoted);
	buf_free(&m->type_header);
	buf_free(&m->line);
	header_reader_free(&m->reader);
	free(m);
}

/* ---- errors ---- */

static void
tell(struct mime *m, enum mime_error error, struct span text)
{
	if (m->told & (1U << error))
		return;
	m->told |= 1U << error;
	m->ev->error(m->arg, error, text);
}

/* Does the encoding leave the data as they are, 8bit or not? */
static bool
is_identity(const struct mime *m)
{
	struct span e = buf_span(&m->encoding);

	return e.len == 0 || span_equal_cstr_nocase(e, "7bit") ||
	       span_equal_cstr_nocase(e, "8bit") ||
	       span_equal_cstr_nocase(e, "binary");
}

static void
check_header(struct mime *m, struct span header)
{
	if (m->limits.strict_headers && !m->limits.ignore_structure &&
	    !utf8_is_ascii(header.data, header.len))
		tell(m, MIME_8BIT_HEADER, header);
}

static void
check_body(struct mime *m, struct span text)
{
	struct span e = buf_span(&m->encoding);

	if (m->limits.strict_body && !m->limits.ignore_structure &&
	    !span_equal_cstr_nocase(e, "8bit") &&
	    !span_equal_cstr_nocase(e, "binary") &&
	    !utf8_is_ascii(text.data, text.len))
		tell(m, MIME_8BIT_BODY, text);
}

/* ---- what a header says about its part ---- */

static void
note_content_type(struct mime *m, struct span header)
{
	struct span type, subtype;

	buf_set(&m->type_header, header);
	m->kind = PART_LEAF;
	m->digest = false;
	m->composite = m->multipart = m->global = false;
	if (!mime_content_type(header_body(header), &type, &subtype,
			       &m->boundary))
		return;
	m->multipart = span_equal_cstr_nocase(type, "multipart");
	m->composite = m->multipart || span_equal_cstr_nocase(type, "message");
	m->global = !m->multipart && m->composite &&
		    span_equal_cstr_nocase(subtype, "global");
	if (m->multipart && m->boundary.len) {
		m->kind = PART_MULTIPART;
		m->digest = span_equal_cstr_nocase(subtype, "digest");
	} else if (m->composite && !m->multipart &&
		   (m->global || span_equal_cstr_nocase(subtype, "rfc822"))) {
		m->kind = PART_MESSAGE;
	}
}

static void
note_header(struct mime *m, struct span header)
{
	struct span value = header_body(header), word;

	check_header(m, header);
	switch (header_find(header_name(header))->id) {
	case HEADER_CONTENT_TYPE:
		note_content_type(m, header);
		break;
	case HEADER_CONTENT_TRANSFER_ENCODING:
		buf_reset(&m->encoding);
		if (span_next_token(&value, " \t\r\n;(", &word))
			buf_append_span(&m->encoding, word);
		break;
	default:
		break;
	}
}

void
mime_primary_header(struct mime *m, struct span header)
{
	note_header(m, header);
}

static void
forget_part(struct mime *m)
{
	m->kind = PART_LEAF;
	m->digest = m->composite = m->multipart = m->global = false;
	m->encode = false;
	buf_reset(&m->encoding);
	buf_reset(&m->encoding_header);
	buf_reset(&m->boundary);
	buf_reset(&m->type_header);
	m->offset = 0;
}

static void
push_level(struct mime *m)
{
	struct level *l;

	if (m->n_levels == m->cap_levels) {
		m->cap_levels = m->cap_levels ? m->cap_levels * 2 : 4;
		m->levels =
		    mem_realloc(m->levels, m->cap_levels, sizeof(*m->levels));
	}
	l = &m->levels[m->n_levels++];
	l->len = m->boundary.len < m->limits.boundary ? m->boundary.len
						      : m->limits.boundary;
	l->boundary = mem_strndup(buf_cstr(&m->boundary), l->len);
	l->digest = m->digest;
	l->depth = m->depth;
}

static void
start_headers(struct mime *m, enum mime_owner owner, bool digest)
{
	forget_part(m);
	m->owner = owner;
	m->in_headers = true;
	if (digest)
		m->kind = PART_MESSAGE;
	header_reader_init(&m->reader, m->limits.header_size);
}

void
mime_start_message(struct mime *m)
{
	start_headers(m, MIME_PRIMARY, false);
	m->started = true;
}

/* The headers end: what about the encoding (to_7bit)? */
static void
finish_encoding(struct mime *m)
{
	struct span e = buf_span(&m->encoding);
	bool label_only =
	    (m->composite || m->kind == PART_MESSAGE) && !m->global;

	if (m->encoding_header.len == 0)
		return;
	if (!span_equal_cstr_nocase(e, "8bit") &&
	    !span_equal_cstr_nocase(e, "binary")) {
		m->ev->header(m->arg, m->owner, buf_span(&m->encoding_header));
		return;
	}
	m->ev->header(m->arg, m->owner,
		      span_of(label_only ? "Content-Transfer-Encoding: 7bit"
					 : "Content-Transfer-Encoding: "
					   "quoted-printable"));
	if (m->global)
		m->kind = PART_LEAF;
	m->encode = m->kind == PART_LEAF && !m->multipart;
	quoted_start(&m->quoted);
}

/* The headers of a part are complete: its body begins. */
static void
start_body(struct mime *m)
{
	m->in_headers = false;
	if (m->composite && !is_identity(m) && m->limits.strict_domain &&
	    !m->limits.ignore_structure)
		tell(m, MIME_BAD_DOMAIN, buf_span(&m->encoding));
	if (m->kind == PART_LEAF || m->limits.ignore_structure || m->too_deep)
		return;
	if (m->depth > m->limits.nesting + 1) {
		m->too_deep = true;
		tell(m, MIME_TOO_DEEP, buf_span(&m->type_header));
		return;
	}
	if (m->kind == PART_MULTIPART) {
		push_level(m);
		m->depth++;
		forget_part(m);
	} else {
		/* As in Postfix's output; nothing is kept per message. */
		if (!m->limits.to_7bit)
			m->depth++;
		start_headers(m, MIME_NESTED, false);
	}
}

/* ---- lines ---- */

/* Is this line a boundary? Then it starts a part or ends a multipart. What
 * follows the boundary string does not matter (RFC 2046 section 5.1.1). */
static bool
check_boundary(struct mime *m, struct span line)
{
	if (line.len < 3 || line.data[0] != '-' || line.data[1] != '-')
		return false;
	for (size_t i = m->n_levels; i-- > 0;) {
		struct level *l = &m->levels[i];
		struct span rest = span_from(line, 2);
		bool digest = l->digest, close;

		if (rest.len < l->len || memcmp(rest.data, l->boundary, l->len))
			continue;
		rest = span_from(rest, l->len);
		close =
		    rest.len >= 2 && rest.data[0] == '-' && rest.data[1] == '-';
		m->ev->body(m->arg, line, true, m->offset);
		if (close) {
			pop_levels(m, i);
			forget_part(m);
		} else {
			pop_levels(m, i + 1);
			m->depth = l->depth + 1;
			start_headers(m, MIME_PART, digest);
		}
		return true;
	}
	return false;
}

static void
give_body(struct mime *m, struct span text, bool line_end)
{
	check_body(m, text);
	if (!m->encode) {
		m->ev->body(m->arg, text, line_end, m->offset);
		return;
	}
	quoted_encode(&m->quoted, text, line_end);
	while (quoted_next(&m->quoted, &text, &line_end))
		m->ev->body(m->arg, text, line_end, m->offset);
}

static void
body_line(struct mime *m, struct span line)
{
	if (!m->long_line && m->n_levels && check_boundary(m, line))
		return;
	give_body(m, line, true);
	m->offset += line.len + 1;
}

/* Take one line, or all there is of it. Returns bytes used. */
static size_t
feed_body(struct mime *m, struct span s)
{
	long nl = span_find(s, '\n');
	size_t n = nl < 0 ? s.len : (size_t)nl;
	size_t room = m->limits.line - m->line.len;

	if (n > room) {
		buf_append(&m->line, s.data, room);
		give_body(m, buf_span(&m->line), false);
		m->offset += m->line.len;
		m->long_line = true;
		buf_reset(&m->line);
		return room;
	}
	if (nl >= 0 && m->line.len == 0) {
		body_line(m, span_make(s.data, n));
	} else {
		buf_append(&m->line, s.data, n);
		if (nl < 0)
			return n;
		body_line(m, buf_span(&m->line));
		buf_reset(&m->line);
	}
	m->long_line = false;
	return n + 1;
}

static void
on_header(void *arg, struct span header)
{
	struct mime *m = arg;

	note_header(m, header);
	if (m->limits.to_7bit && header_find(header_name(header))->id ==
				     HEADER_CONTENT_TRANSFER_ENCODING)
		buf_set(&m->encoding_header, header);
	else
		m->ev->header(m->arg, m->owner, header);
}

static void
on_end(void *arg, bool empty_line, struct span rest)
{
	struct mime *m = arg;

	m->in_headers = false;
	finish_encoding(m);
	if (empty_line) {
		m->ev->body(m->arg, span_make("", 0), true, 0);
		return;
	}
	/* It has no line end, and may be longer than a body line may. */
	m->kind = PART_LEAF;
	while (rest.len)
		rest = span_from(rest, feed_body(m, rest));
}

static const struct header_events reader_events = {on_header, on_end};

void
mime_feed(struct mime *m, struct span piece)
{
	size_t n;

	if (!m->started)
		start_body(m);
	m->started = true;
	while (piece.len) {
		if (m->in_headers) {
			n = header_reader_feed(&m->reader, piece,
					       &reader_events, m);
			if (!m->in_headers)
				start_body(m);
		} else {
			n = feed_body(m, piece);
		}
		piece = span_from(piece, n);
	}
}

void
mime_finish(struct mime *m)
{
	if (m->in_headers)
		header_reader_finish(&m->reader, &reader_events, m);
	if (m->line.len)
		give_body(m, buf_span(&m->line), false);
	buf_reset(&m->line);
	if (m->encode && m->quoted.has_space) {
		struct span text;
		bool line_end;

		buf_reset(&m->quoted.out);
		m->quoted.used = 0;
		quoted_finish(&m->quoted);
		while (quoted_next(&m->quoted, &text, &line_end))
			m->ev->body(m->arg, text, line_end, m->offset);
	}
}
