/* SPDX-License-Identifier: MIT */
/* utf8 - validity of UTF-8 text (RFC 3629). */
#ifndef LIB_BASE_UTF8_H
#define LIB_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Length of the valid UTF-8 sequence at s (1 to 4), or 0 when there is none
 * in the len bytes (overlong forms and surrogates are invalid).
 */
size_t utf8_sequence(const char *s, size_t len);
bool utf8_valid(const char *s, size_t len);
bool utf8_is_ascii(const char *s, size_t len);
/* In place: control bytes and bytes outside valid UTF-8 become subst. */
void utf8_printable(char *s, size_t len, char subst);

#endif
