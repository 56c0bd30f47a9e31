/* SPDX-License-Identifier: MIT */
#include "lib/base/strvec.h"

#include <stdlib.h>
#include <strings.h>

#include "lib/base/mem.h"

void
strvec_free(struct strvec *sv)
{
	strvec_reset(sv);
	free(sv->v);
	*sv = (struct strvec)STRVEC_INIT;
}

void
strvec_reset(struct strvec *sv)
{
	for (size_t i = 0; i < sv->n; i++) {
		free(sv->v[i]);
		sv->v[i] = NULL;
	}
	sv->n = 0;
}

void
strvec_add_span(struct strvec *sv, struct span s)
{
	if (sv->n + 2 > sv->cap) {
		sv->cap = sv->cap ? sv->cap * 2 : 8;
		sv->v = mem_realloc(sv->v, sv->cap, sizeof(*sv->v));
	}
	sv->v[sv->n++] = mem_strndup(s.data, s.len);
	sv->v[sv->n] = NULL;
}

void
strvec_add(struct strvec *sv, const char *s)
{
	strvec_add_span(sv, span_of(s));
}

bool
strvec_has(const struct strvec *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcmp(sv->v[i], s))
			return true;
	return false;
}

bool
strvec_has_nocase(const struct strvec *sv, const char *s)
{
	for (size_t i = 0; i < sv->n; i++)
		if (!strcasecmp(sv->v[i], s))
			return true;
	return false;
}

void
strvec_split(struct strvec *sv, struct span text, const char *seps,
	     bool braces)
{
	size_t i = 0;

	while (i < text.len) {
		size_t start;
		int depth = 0;

		while (i < text.len && strchr(seps, text.data[i]) &&
		       text.data[i])
			i++;
		for (start = i; i < text.len; i++) {
			char c = text.data[i];

			if (braces && c == '{')
				depth++;
			else if (braces && c == '}' && depth > 0)
				depth--;
			else if (depth == 0 && c && strchr(seps, c))
				break;
		}
		if (i > start)
			strvec_add_span(sv,
					span_make(text.data + start, i - start));
	}
}
