/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_edit.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/mime/header.h"

void
milter_headers_free(struct milter_headers *h)
{
	for (size_t i = 0; i < h->n; i++)
		free(h->v[i].text);
	free(h->v);
	*h = (struct milter_headers)MILTER_HEADERS_INIT;
}

bool
milter_headers_fit(const struct milter_headers *h)
{
	return h->n <= MILTER_HEADERS_MAX &&
	       h->bytes <= MILTER_HEADERS_BYTES_MAX;
}

static void
insert_at(struct milter_headers *h, size_t at, struct span text, bool own)
{
	if (h->n == h->cap) {
		h->cap = h->cap ? h->cap * 2 : 32;
		h->v = mem_realloc(h->v, h->cap, sizeof(*h->v));
	}
	memmove(h->v + at + 1, h->v + at, (h->n - at) * sizeof(*h->v));
	h->v[at] = (struct milter_header){mem_strndup(text.data, text.len),
					  text.len, own};
	h->n++;
	h->bytes += text.len + 1;
}

static void
remove_at(struct milter_headers *h, size_t at)
{
	h->bytes -= h->v[at].len + 1;
	free(h->v[at].text);
	h->n--;
	memmove(h->v + at, h->v + at + 1, (h->n - at) * sizeof(*h->v));
}

/* Where the header at the front of section ends, without its LF. */
static size_t
header_length(struct span section)
{
	size_t at = 0;

	for (;;) {
		long eol = span_find(span_from(section, at), '\n');

		if (eol < 0)
			return section.len;
		at += (size_t)eol + 1;
		if (at >= section.len ||
		    (section.data[at] != ' ' && section.data[at] != '\t'))
			return at - 1;
	}
}

void
milter_headers_parse(struct milter_headers *h, struct span section, bool own)
{
	while (section.len) {
		struct span header = section;
		bool mine;

		header.len = header_length(section);
		section = span_from(section, header.len + 1);
		mine = own &&
		       span_equal_cstr_nocase(header_name(header), "Received");
		own = own && !mine;
		insert_at(h, h->n, header, mine);
	}
}

void
milter_headers_render(const struct milter_headers *h, struct buf *out)
{
	for (size_t i = 0; i < h->n; i++) {
		buf_append(out, h->v[i].text, h->v[i].len);
		buf_append_byte(out, '\n');
	}
}

void
milter_header_format(struct span name, struct span value, bool space,
		     struct buf *out)
{
	for (size_t i = 0; i < name.len; i++)
		if (name.data[i] != '\n' && name.data[i] != '\r')
			buf_append_byte(out, name.data[i]);
	buf_append_byte(out, ':');
	if (space)
		buf_append_byte(out, ' ');
	for (size_t i = 0; i < value.len; i++) {
		char c = value.data[i];
		char next = i + 1 < value.len ? value.data[i + 1] : '\0';

		if (c == '\r' && next == '\n')
			continue;
		buf_append_byte(out, c);
		if (c == '\n' && next != ' ' && next != '\t')
			buf_append_byte(out, '\t');
	}
}

void
milter_headers_add(struct milter_headers *h, struct span header)
{
	insert_at(h, h->n, header, false);
}

void
milter_headers_insert(struct milter_headers *h, uint32_t index,
		      struct span header)
{
	insert_at(h, index < h->n ? index : h->n, header, false);
}

static bool
has_name(const struct milter_header *m, struct span name)
{
	struct span own = header_name(span_make(m->text, m->len));

	return span_equal_nocase(own, name);
}

void
milter_headers_change(struct milter_headers *h, uint32_t index,
		      struct span name, struct span header)
{
	uint32_t seen = 0;

	for (size_t i = 0; i < h->n; i++) {
		if (h->v[i].own || !has_name(&h->v[i], name) || ++seen < index)
			continue;
		remove_at(h, i);
		if (header.len)
			insert_at(h, i, header, false);
		return;
	}
	if (header.len)
		milter_headers_add(h, header);
}
