/* SPDX-License-Identifier: MIT */
#include "lib/base/casefold.h"

#include "lib/base/casefold_data.h"
#include "lib/base/utf8.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char
fold_byte(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

void
casefold_ascii(struct span text, struct buf *out)
{
	char *p = buf_reserve(out, text.len + 1);

	for (size_t i = 0; i < text.len; i++)
		p[i] = fold_byte(text.data[i]);
	p[text.len] = '\0';
	out->len += text.len;
}

static uint32_t
decode(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	switch (n) {
	case 2:
		return (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu);
	case 3:
		return (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 |
		       (u[2] & 0x3fu);
	case 4:
		return (u[0] & 0x07u) << 18 | (u[1] & 0x3fu) << 12 |
		       (u[2] & 0x3fu) << 6 | (u[3] & 0x3fu);
	default:
		return u[0];
	}
}

static void
encode(uint32_t c, struct buf *out)
{
	if (c < 0x80) {
		buf_append_byte(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_append_byte(out, (char)(0xc0 | c >> 6));
	} else if (c < 0x10000) {
		buf_append_byte(out, (char)(0xe0 | c >> 12));
		buf_append_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
	} else {
		buf_append_byte(out, (char)(0xf0 | c >> 18));
		buf_append_byte(out, (char)(0x80 | (c >> 12 & 0x3f)));
		buf_append_byte(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_append_byte(out, (char)(0x80 | (c & 0x3f)));
}

static const struct fold_full *
find_full(uint32_t c)
{
	size_t lo = 0, hi = COUNT(fold_full);

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (fold_full[mid].from == c)
			return &fold_full[mid];
		if (fold_full[mid].from < c)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* The ranges with a step of two may interleave, so the search ends at the
 * first that begins behind c instead of bisecting. */
static uint32_t
fold_simple(uint32_t c)
{
	for (size_t i = 0; i < COUNT(fold_ranges); i++) {
		const struct fold_range *r = &fold_ranges[i];

		if (r->first > c)
			break;
		if (c <= r->last && (c - r->first) % (uint32_t)r->step == 0)
			return (uint32_t)((int64_t)c + r->delta);
	}
	return c;
}

void
casefold_utf8(struct span text, struct buf *out)
{
	for (size_t i = 0; i < text.len;) {
		size_t n = utf8_sequence(text.data + i, text.len - i);
		const struct fold_full *full;
		uint32_t c;

		if (n <= 1) {
			buf_append_byte(out, fold_byte(text.data[i++]));
			continue;
		}
		c = decode(text.data + i, n);
		i += n;
		full = find_full(c);
		if (!full) {
			encode(fold_simple(c), out);
			continue;
		}
		for (size_t k = 0; k < 3 && full->to[k]; k++)
			encode(full->to[k], out);
	}
}
