/* SPDX-License-Identifier: MIT */
/* The body of a Content-Type header (RFC 2045 section 5.1). */
#include "lib/mime/mime.h"

struct scan {
	const char *p, *end;
};

/* White space and comments. */
static void
skip_blank(struct scan *s)
{
	size_t depth = 0;

	for (; s->p < s->end; s->p++) {
		if (*s->p == '(')
			depth++;
		else if (*s->p == ')' && depth)
			depth--;
		else if (depth && *s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		else if (!depth && *s->p != ' ' && *s->p != '\t' &&
			 *s->p != '\n' && *s->p != '\r')
			return;
	}
}

static struct span
scan_token(struct scan *s)
{
	const char *start;

	skip_blank(s);
	start = s->p;
	while (s->p < s->end && (unsigned char)*s->p > ' ' &&
	       !strchr("()<>@,;:\\\"/[]?=", *s->p))
		s->p++;
	return span_make(start, (size_t)(s->p - start));
}

static bool
scan_byte(struct scan *s, char c)
{
	skip_blank(s);
	if (s->p == s->end || *s->p != c)
		return false;
	s->p++;
	return true;
}

/*
 * A quoted string or what stands up to the next ';' or white space: mailers
 * write boundaries with bytes that a token may not have.
 */
static void
scan_value(struct scan *s, struct buf *out)
{
	buf_reset(out);
	if (!scan_byte(s, '"')) {
		while (s->p < s->end && (unsigned char)*s->p > ' ' &&
		       *s->p != ';')
			buf_append_byte(out, *s->p++);
		return;
	}
	for (; s->p < s->end && *s->p != '"'; s->p++) {
		if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		if (*s->p != '\n' && *s->p != '\r')
			buf_append_byte(out, *s->p);
	}
	if (s->p < s->end)
		s->p++;
}

/* To behind the next ';' that is not quoted. */
static bool
next_parameter(struct scan *s)
{
	bool quoted = false;

	for (; s->p < s->end; s->p++) {
		if (*s->p == '"')
			quoted = !quoted;
		else if (*s->p == '\\' && s->p + 1 < s->end)
			s->p++;
		else if (*s->p == ';' && !quoted) {
			s->p++;
			return true;
		}
	}
	return false;
}

bool
mime_content_type(struct span body, struct span *type, struct span *subtype,
		  struct buf *boundary)
{
	struct scan s = {body.data, body.data + body.len};

	buf_reset(boundary);
	*type = scan_token(&s);
	if (type->len == 0 || !scan_byte(&s, '/'))
		return false;
	*subtype = scan_token(&s);
	if (subtype->len == 0)
		return false;
	while (next_parameter(&s)) {
		struct span name = scan_token(&s);

		if (!scan_byte(&s, '=') ||
		    !span_equal_cstr_nocase(name, "boundary"))
			continue;
		scan_value(&s, boundary);
		/* Trailing space is never part of it. */
		while (boundary->len &&
		       boundary->data[boundary->len - 1] == ' ')
			buf_truncate(boundary, boundary->len - 1);
		break;
	}
	return true;
}
