/* SPDX-License-Identifier: MIT */
/* strvec - an owned, growable list of owned C strings. */
#ifndef LIB_BASE_STRVEC_H
#define LIB_BASE_STRVEC_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/span.h"

struct strvec {
	char **v; /* v[n] is NULL once something was added */
	size_t n;
	size_t cap;
};

#define STRVEC_INIT {NULL, 0, 0}

void strvec_free(struct strvec *sv);
void strvec_reset(struct strvec *sv);
void strvec_add(struct strvec *sv, const char *s);
void strvec_add_span(struct strvec *sv, struct span s);
bool strvec_has(const struct strvec *sv, const char *s);
bool strvec_has_nocase(const struct strvec *sv, const char *s);
/*
 * Split at bytes of seps, as Postfix splits a list: "{...}" keeps its inner
 * separators when braces is set (the outer braces are kept in the token).
 */
void strvec_split(struct strvec *sv, struct span text, const char *seps,
		  bool braces);

#endif
