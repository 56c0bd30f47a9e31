/* SPDX-License-Identifier: MIT */
#include "lib/base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"

enum { BUF_MIN = 64 };

void
buf_free(struct buf *b)
{
	free(b->data);
	*b = (struct buf)BUF_INIT;
}

void
buf_reset(struct buf *b)
{
	buf_truncate(b, 0);
}

char *
buf_reserve(struct buf *b, size_t extra)
{
	size_t need, cap = b->cap ? b->cap : BUF_MIN;

	if (__builtin_add_overflow(b->len, extra, &need) ||
	    __builtin_add_overflow(need, 1, &need) || need > SIZE_MAX / 4)
		log_fatal_code(75, "out of memory: buffer of %zu bytes", extra);
	if (need > b->cap) {
		while (cap < need)
			cap *= 2;
		b->data = mem_realloc(b->data, cap, 1);
		b->cap = cap;
		b->data[b->len] = '\0';
	}
	return b->data + b->len;
}

void
buf_append(struct buf *b, const void *data, size_t len)
{
	char *p = buf_reserve(b, len);

	if (len)
		memcpy(p, data, len);
	b->len += len;
	b->data[b->len] = '\0';
}

void
buf_append_span(struct buf *b, struct span s)
{
	buf_append(b, s.data, s.len);
}

void
buf_append_cstr(struct buf *b, const char *s)
{
	buf_append(b, s, strlen(s));
}

void
buf_append_byte(struct buf *b, char c)
{
	if (b->len + 1 < b->cap) {
		b->data[b->len++] = c;
		b->data[b->len] = '\0';
	} else {
		buf_append(b, &c, 1);
	}
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	buf_reserve(b, BUF_MIN);
	n = vsnprintf(b->data + b->len, b->cap - b->len, fmt, ap);
	if (n < 0)
		log_panic("buf_vprintf: bad format %s", fmt);
	if ((size_t)n >= b->cap - b->len) {
		buf_reserve(b, (size_t)n);
		vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
	}
	b->len += (size_t)n;
	va_end(again);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_set(struct buf *b, struct span s)
{
	if (s.len && b->data && s.data >= b->data &&
	    s.data < b->data + b->cap) {
		memmove(b->data, s.data, s.len);
		b->len = s.len;
		b->data[b->len] = '\0';
		return;
	}
	buf_reset(b);
	buf_append_span(b, s);
}

void
buf_set_cstr(struct buf *b, const char *s)
{
	buf_set(b, span_of(s));
}

void
buf_truncate(struct buf *b, size_t len)
{
	if (len < b->len) {
		b->len = len;
		b->data[len] = '\0';
	}
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= b->len) {
		buf_reset(b);
		return;
	}
	memmove(b->data, b->data + n, b->len - n + 1);
	b->len -= n;
}

const char *
buf_cstr(const struct buf *b)
{
	return b->data ? b->data : "";
}

struct span
buf_span(const struct buf *b)
{
	return (struct span){b->data, b->len};
}

char *
buf_steal(struct buf *b)
{
	char *s = b->data ? b->data : mem_strdup("");

	*b = (struct buf)BUF_INIT;
	return s;
}
