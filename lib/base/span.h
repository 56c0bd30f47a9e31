/* SPDX-License-Identifier: MIT */
/*
 * span - borrowed bytes: a pointer and a length, never NUL terminated.
 *
 * A span owns nothing. It must not outlive the call that it was passed to
 * unless the callee's header says so, and it must not point into a buf that
 * is appended to while the span is in use.
 */
#ifndef LIB_BASE_SPAN_H
#define LIB_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *data;
	size_t len;
};

/* For printf: printf("%.*s", SPAN_ARG(s)). */
#define SPAN_ARG(s) (int)(s).len, (s).data

static inline struct span
span_make(const char *data, size_t len)
{
	return (struct span){data, len};
}

/* The span of a C string; NULL gives the empty span. */
static inline struct span
span_of(const char *cstr)
{
	return (struct span){cstr, cstr ? strlen(cstr) : 0};
}

bool span_equal(struct span a, struct span b);
/* ASCII case-insensitive. */
bool span_equal_nocase(struct span a, struct span b);
bool span_equal_cstr(struct span a, const char *b);
bool span_equal_cstr_nocase(struct span a, const char *b);
bool span_starts_nocase(struct span a, const char *prefix);
bool span_ends_nocase(struct span a, const char *suffix);

/* Index of the first (last) byte c, or -1. */
long span_find(struct span s, char c);
long span_rfind(struct span s, char c);

/* Without leading and trailing space, tab, CR and LF. */
struct span span_trim(struct span s);

/* From index from (clamped) to the end. */
struct span span_from(struct span s, size_t from);

/*
 * Cut the next token off *rest: the longest run of bytes not in seps, after
 * skipping leading bytes in seps. false when nothing is left.
 */
bool span_next_token(struct span *rest, const char *seps, struct span *token);

#endif
