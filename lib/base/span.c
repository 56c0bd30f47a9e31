/* SPDX-License-Identifier: MIT */
#include "lib/base/span.h"

#include <strings.h>

bool
span_equal(struct span a, struct span b)
{
	return a.len == b.len && (a.len == 0 || !memcmp(a.data, b.data, a.len));
}

bool
span_equal_nocase(struct span a, struct span b)
{
	return a.len == b.len &&
	       (a.len == 0 || !strncasecmp(a.data, b.data, a.len));
}

bool
span_equal_cstr(struct span a, const char *b)
{
	return span_equal(a, span_of(b));
}

bool
span_equal_cstr_nocase(struct span a, const char *b)
{
	return span_equal_nocase(a, span_of(b));
}

bool
span_starts_nocase(struct span a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.len >= n && (n == 0 || !strncasecmp(a.data, prefix, n));
}

bool
span_ends_nocase(struct span a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.len >= n &&
	       (n == 0 || !strncasecmp(a.data + a.len - n, suffix, n));
}

long
span_find(struct span s, char c)
{
	const char *p = s.len ? memchr(s.data, c, s.len) : NULL;

	return p ? p - s.data : -1;
}

long
span_rfind(struct span s, char c)
{
	for (size_t i = s.len; i-- > 0;)
		if (s.data[i] == c)
			return (long)i;
	return -1;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span
span_trim(struct span s)
{
	while (s.len && is_white(s.data[0]))
		s = span_from(s, 1);
	while (s.len && is_white(s.data[s.len - 1]))
		s.len--;
	return s;
}

struct span
span_from(struct span s, size_t from)
{
	if (from > s.len)
		from = s.len;
	return (struct span){s.len ? s.data + from : s.data, s.len - from};
}

bool
span_next_token(struct span *rest, const char *seps, struct span *token)
{
	size_t i = 0, n;

	while (i < rest->len && rest->data[i] && strchr(seps, rest->data[i]))
		i++;
	*rest = span_from(*rest, i);
	for (n = 0; n < rest->len; n++)
		if (rest->data[n] && strchr(seps, rest->data[n]))
			break;
	*token = span_make(rest->data, n);
	*rest = span_from(*rest, n);
	return n > 0;
}
