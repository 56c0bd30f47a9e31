/* SPDX-License-Identifier: MIT */
/*
 * buf - an owned, growable byte buffer.
 *
 * Initialise with BUF_INIT or zero bytes. data is always NUL terminated once
 * something was appended (the NUL is not counted in len), so buf_cstr() is
 * free. A buf grows by doubling; whoever feeds it remote bytes checks len
 * against a limit first.
 */
#ifndef LIB_BASE_BUF_H
#define LIB_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "lib/base/span.h"

struct buf {
	char *data;
	size_t len;
	size_t cap;
};

#define BUF_INIT {NULL, 0, 0}

void buf_free(struct buf *b);
/* Forget the content, keep the memory. */
void buf_reset(struct buf *b);
/* Make room for extra more bytes; returns the address behind len. */
char *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_span(struct buf *b, struct span s);
void buf_append_cstr(struct buf *b, const char *s);
void buf_append_byte(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Replace the content. s may point into b. */
void buf_set(struct buf *b, struct span s);
void buf_set_cstr(struct buf *b, const char *s);
/* Cut down to len bytes (no effect when it is already shorter). */
void buf_truncate(struct buf *b, size_t len);
/* Drop the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Never NULL. */
const char *buf_cstr(const struct buf *b);
struct span buf_span(const struct buf *b);
/* Hand the string over to the caller (free()); the buf is empty again. */
char *buf_steal(struct buf *b);

#endif
