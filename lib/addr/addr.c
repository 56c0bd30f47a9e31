/* SPDX-License-Identifier: MIT */
#include "lib/addr/addr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#include "lib/base/utf8.h"

enum {
	HOST_MAX = 255, /* RFC 1035 section 2.3.4 */
	LABEL_MAX = 63,
};

long
addr_at(struct span addr)
{
	return span_rfind(addr, '@');
}

struct span
addr_localpart(struct span addr)
{
	long at = addr_at(addr);

	return at < 0 ? addr : span_make(addr.data, (size_t)at);
}

struct span
addr_domain(struct span addr)
{
	long at = addr_at(addr);

	return at < 0 ? span_make("", 0) : span_from(addr, (size_t)at + 1);
}

static bool
is_atom_byte(unsigned char c)
{
	return c > ' ' && c != 127 && !strchr("()<>@,;:\\\".[]", c);
}

/* RFC 5321 Dot-string; bytes above ASCII pass (RFC 6531). */
static bool
is_dot_string(struct span s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '.') {
			if (i == 0 || i + 1 == s.len || s.data[i - 1] == '.')
				return false;
		} else if (!is_atom_byte((unsigned char)s.data[i])) {
			return false;
		}
	}
	return s.len > 0;
}

void
addr_quote(struct span internal, struct buf *out)
{
	struct span local = addr_localpart(internal);

	if (internal.len == 0)
		return;
	if (is_dot_string(local)) {
		buf_append_span(out, internal);
		return;
	}
	buf_append_byte(out, '"');
	for (size_t i = 0; i < local.len; i++) {
		if (local.data[i] == '"' || local.data[i] == '\\' ||
		    local.data[i] == '\r')
			buf_append_byte(out, '\\');
		buf_append_byte(out, local.data[i]);
	}
	buf_append_byte(out, '"');
	buf_append_span(out, span_from(internal, local.len));
}

void
addr_unquote(struct span external, struct buf *out)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < external.len; i++) {
		char c = external.data[i];

		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		/* A domain has no quoting. */
		if (c == '@' && !quoted &&
		    span_find(span_from(external, i), '"') < 0)
			break;
		if (c == '\\' && i + 1 < external.len)
			c = external.data[++i];
		buf_append_byte(out, c);
	}
	buf_append_span(out, span_from(external, i));
}

size_t
addr_split_extension(struct span localpart, const char *delimiters)
{
	size_t i = 1;

	if (!*delimiters ||
	    span_equal_cstr_nocase(localpart, "mailer-daemon") ||
	    span_equal_cstr_nocase(localpart, "double-bounce"))
		return localpart.len;
	if (strchr(delimiters, '-') &&
	    (span_starts_nocase(localpart, "owner-") ||
	     span_ends_nocase(localpart, "-request")))
		return localpart.len;
	for (; i < localpart.len; i++)
		if (localpart.data[i] && strchr(delimiters, localpart.data[i]))
			return i;
	return localpart.len;
}

void
addr_fold_domain(struct buf *addr)
{
	long at = addr_at(buf_span(addr));

	if (at < 0)
		return;
	for (size_t i = (size_t)at; i < addr->len; i++)
		if (addr->data[i] >= 'A' && addr->data[i] <= 'Z')
			addr->data[i] = (char)(addr->data[i] - 'A' + 'a');
}

static bool
valid_label(struct span s, bool utf8)
{
	bool ascii = true;

	for (size_t i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.data[i];

		if (c > 127)
			ascii = false;
		else if (!(isalnum(c) || c == '-' || c == '_'))
			return false;
	}
	if (s.len == 0 || s.data[0] == '-' || s.data[s.len - 1] == '-')
		return false;
	/* The limit is on what IDNA makes of it. */
	return ascii ? s.len <= LABEL_MAX : utf8 && utf8_valid(s.data, s.len);
}

static bool
valid_name(struct span s, bool utf8)
{
	bool numeric = true;
	long dot;

	if (s.len == 0 || s.len > HOST_MAX)
		return false;
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] != '.' && !isdigit((unsigned char)s.data[i]))
			numeric = false;
	while ((dot = span_find(s, '.')) >= 0) {
		if (!valid_label(span_make(s.data, (size_t)dot), utf8))
			return false;
		s = span_from(s, (size_t)dot + 1);
	}
	return valid_label(s, utf8) && !numeric;
}

bool
addr_valid_hostname(struct span s)
{
	return valid_name(s, false);
}

bool
addr_valid_domain(struct span s)
{
	if (s.len && s.data[0] == '[')
		return addr_valid_literal(s, NULL);
	return valid_name(s, true);
}

bool
addr_valid_literal(struct span s, struct buf *ip)
{
	unsigned char bin[16];
	char text[INET6_ADDRSTRLEN];
	int family = AF_INET;

	if (s.len < 3 || s.data[0] != '[' || s.data[s.len - 1] != ']')
		return false;
	s = span_make(s.data + 1, s.len - 2);
	if (span_starts_nocase(s, "IPv6:")) {
		family = AF_INET6;
		s = span_from(s, 5);
	}
	if (s.len >= sizeof(text) || memchr(s.data, 0, s.len))
		return false;
	memcpy(text, s.data, s.len);
	text[s.len] = '\0';
	if (inet_pton(family, text, bin) != 1)
		return false;
	if (ip)
		buf_set(ip, s);
	return true;
}
