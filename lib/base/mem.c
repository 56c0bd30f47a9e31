/* SPDX-License-Identifier: MIT */
#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"

void *
mem_alloc(size_t size)
{
	return mem_calloc(1, size);
}

void *
mem_calloc(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	if (!p)
		log_fatal_code(75, "out of memory: %zu bytes", size);
	return p;
}

void *
mem_realloc(void *ptr, size_t count, size_t size)
{
	void *p = reallocarray(ptr, count ? count : 1, size ? size : 1);

	if (!p)
		log_fatal_code(75, "out of memory: %zu bytes", size);
	return p;
}

char *
mem_strdup(const char *s)
{
	return mem_strndup(s, strlen(s));
}

char *
mem_strndup(const char *s, size_t len)
{
	size_t size;
	char *p;

	if (__builtin_add_overflow(len, 1, &size))
		log_fatal_code(75, "out of memory: string too long");
	p = mem_alloc(size);
	if (len)
		memcpy(p, s, len);
	return p;
}

char *
mem_sprintf(const char *fmt, ...)
{
	va_list ap;
	char *p = NULL;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&p, fmt, ap);
	va_end(ap);
	if (n < 0)
		log_fatal_code(75, "out of memory: string");
	return p;
}
