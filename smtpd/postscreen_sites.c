/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_sites.h"

#include <arpa/inet.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/num.h"

static void
add_range(uint64_t set[4], int64_t low, int64_t high)
{
	for (int64_t i = low; i <= high; i++)
		set[i / 64] |= UINT64_C(1) << (i % 64);
}

/* "7" or "3..9". */
static bool
parse_range(struct span s, uint64_t set[4])
{
	long at = span_find(s, '.');
	int64_t low, high;

	s = span_trim(s);
	if (at < 0) {
		if (!num_parse(s, 0, 255, &low))
			return false;
		add_range(set, low, low);
		return true;
	}
	if (!num_parse(span_trim(span_make(s.data, (size_t)at)), 0, 255,
		       &low) ||
	    (size_t)at + 2 >= s.len || s.data[at + 1] != '.' ||
	    !num_parse(span_trim(span_from(s, (size_t)at + 2)), 0, 255,
		       &high) ||
	    low > high)
		return false;
	add_range(set, low, high);
	return true;
}

/* One octet off *s: a number, or ranges in brackets. */
static bool
parse_octet(struct span *s, uint64_t set[4])
{
	struct span inner, range;
	long end;

	if (s->len && s->data[0] == '[') {
		end = span_find(*s, ']');
		if (end < 2)
			return false;
		inner = span_make(s->data + 1, (size_t)end - 1);
		*s = span_from(*s, (size_t)end + 1);
		while (span_next_token(&inner, ";", &range)) {
			if (!parse_range(range, set))
				return false;
		}
		return true;
	}
	end = span_find(*s, '.');
	inner = end < 0 ? *s : span_make(s->data, (size_t)end);
	*s = span_from(*s, inner.len);
	return span_find(inner, '.') < 0 && parse_range(inner, set);
}

static bool
parse_filter(struct span s, struct site_filter *f)
{
	memset(f, 0, sizeof(*f));
	for (int i = 0; i < 4; i++) {
		if (!parse_octet(&s, f->octet[i]))
			return false;
		if (i == 3)
			break;
		if (s.len == 0 || s.data[0] != '.')
			return false;
		s = span_from(s, 1);
	}
	return s.len == 0;
}

static size_t
find_query(struct sites *s, const char *domain)
{
	for (size_t i = 0; i < s->n; i++) {
		if (span_equal_cstr_nocase(span_of(s->v[i].domain), domain))
			return s->v[i].query;
	}
	return s->n_queries++;
}

static bool
parse_site(struct sites *s, struct span text, const char **what)
{
	struct span rest = text;
	long star = span_rfind(rest, '*'), equals;
	struct site site = {.weight = 1};
	int64_t weight = 1;

	if (star >= 0) {
		*what = "bad DNSBL weight factor";
		if (!num_parse(span_from(rest, (size_t)star + 1),
			       -SITES_WEIGHT_MAX, SITES_WEIGHT_MAX, &weight))
			return false;
		rest.len = (size_t)star;
	}
	equals = span_find(rest, '=');
	if (equals >= 0) {
		*what = "bad DNSBL filter syntax";
		if (!parse_filter(span_from(rest, (size_t)equals + 1),
				  &site.filter))
			return false;
		site.filtered = true;
		rest.len = (size_t)equals;
	}
	*what = "empty DNSBL domain name";
	if (rest.len == 0)
		return false;
	site.weight = (int)weight;
	site.domain = mem_strndup(rest.data, rest.len);
	site.query = find_query(s, site.domain);
	s->v = mem_realloc(s->v, s->n + 1, sizeof(*s->v));
	s->v[s->n++] = site;
	return true;
}

bool
sites_parse(struct sites *s, const char *text, struct buf *error)
{
	struct span rest = span_of(text), token;
	const char *what = "too many DNSBL domains";

	*s = (struct sites){.n = 0};
	while (span_next_token(&rest, ", \t\r\n", &token)) {
		if (s->n < SITES_MAX && parse_site(s, token, &what))
			continue;
		buf_printf(error, "%s: \"%.*s\"", what, SPAN_ARG(token));
		sites_free(s);
		return false;
	}
	return true;
}

void
sites_free(struct sites *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->v[i].domain);
	free(s->v);
	*s = (struct sites){.n = 0};
}

bool
site_matches(const struct site *s, const char *answer)
{
	unsigned char ip[4];

	if (!s->filtered)
		return true;
	if (inet_pton(AF_INET, answer, ip) != 1)
		return false;
	for (int i = 0; i < 4; i++) {
		if (!(s->filter.octet[i][ip[i] / 64] & UINT64_C(1)
							   << (ip[i] % 64)))
			return false;
	}
	return true;
}
