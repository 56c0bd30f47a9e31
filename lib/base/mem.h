/* SPDX-License-Identifier: MIT */
/*
 * mem - allocation that never returns NULL.
 *
 * Out of memory ends the process with status 75 (EX_TEMPFAIL) after one log
 * line: no caller can do better, and nothing that was acknowledged depends on
 * memory. Size arithmetic that overflows counts as out of memory.
 */
#ifndef LIB_BASE_MEM_H
#define LIB_BASE_MEM_H

#include <stddef.h>

/* Zeroed. */
void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *ptr, size_t count, size_t size);
char *mem_strdup(const char *s);
/* A NUL-terminated copy of len bytes. */
char *mem_strndup(const char *s, size_t len);
/* printf into a new string. */
char *mem_sprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
