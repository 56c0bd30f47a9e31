/* SPDX-License-Identifier: MIT */
#include "lib/dns/dnsxl.h"

#include <arpa/inet.h>
#include <ctype.h>

/* A place in text, and what is shown when something is wrong there. */
struct parse {
	struct span text;
	size_t at;
	struct buf *error;
};

static char
peek(const struct parse *p)
{
	return p->at < p->text.len ? p->text.data[p->at] : '\0';
}

/* The offending token is n bytes long. */
static bool
fail(struct parse *p, const char *what, size_t n)
{
	struct span rest = span_from(p->text, p->at);

	if (n > rest.len)
		n = rest.len;
	buf_printf(p->error, "%s at \"%.*s>%.*s<%.*s\"", what, (int)p->at,
		   p->text.data, (int)n, rest.data, (int)(rest.len - n),
		   rest.data + n);
	return false;
}

static size_t
count_digits(const struct parse *p)
{
	size_t n = 0;

	while (p->at + n < p->text.len &&
	       isdigit((unsigned char)p->text.data[p->at + n]))
		n++;
	return n;
}

static bool
take_number(struct parse *p, const char *what, int least, int *out)
{
	size_t n = count_digits(p);
	int v = 0;

	for (size_t i = 0; i < n && v <= 255; i++)
		v = v * 10 + (p->text.data[p->at + i] - '0');
	if (n == 0 || v > 255 || v < least)
		return fail(p, what, n ? n : 1);
	p->at += n;
	*out = v;
	return true;
}

static void
allow(uint8_t *bits, int from, int to)
{
	for (int v = from; v <= to; v++)
		bits[v / 8] |= (uint8_t)(1 << v % 8);
}

/* "a" or "a..b" within brackets. */
static bool
take_range(struct parse *p, uint8_t *bits)
{
	int from, to;

	if (!take_number(p, "need decimal number 0..255", 0, &from))
		return false;
	to = from;
	if (peek(p) == '.') {
		p->at++;
		if (peek(p) != '.')
			return fail(p, "numeric range error",
				    count_digits(p) ? count_digits(p) : 1);
		p->at++;
		if (!take_number(p, "numeric range error", from, &to))
			return false;
	}
	allow(bits, from, to);
	return true;
}

static bool
take_octet(struct parse *p, uint8_t *bits)
{
	int v;

	if (peek(p) != '[') {
		if (!take_number(p, "need decimal number 0..255 or \"[\"", 0,
				 &v))
			return false;
		allow(bits, v, v);
		return true;
	}
	do {
		p->at++;
		if (!take_range(p, bits))
			return false;
	} while (peek(p) == ';');
	if (peek(p) != ']')
		return fail(p, "need \";\" or \"]\"", 1);
	p->at++;
	return true;
}

bool
dnsxl_filter_parse(struct span text, struct dnsxl_filter *f, struct buf *error)
{
	struct parse p = {text, 0, error};

	*f = (struct dnsxl_filter){0};
	if (text.len == 0) {
		buf_append_cstr(error, "empty address pattern");
		return false;
	}
	for (int i = 0; i < DNSXL_OCTETS; i++) {
		if (i && peek(&p) != '.')
			return fail(&p, "need \".\"", 1);
		p.at += i > 0;
		if (!take_octet(&p, f->allow[i]))
			return false;
	}
	if (p.at < text.len)
		return fail(&p, "garbage after pattern", 1);
	return true;
}

bool
dnsxl_filter_match(const struct dnsxl_filter *f, const char *addr)
{
	unsigned char a[DNSXL_OCTETS];

	if (inet_pton(AF_INET, addr, a) != 1)
		return false;
	for (int i = 0; i < DNSXL_OCTETS; i++)
		if (!(f->allow[i][a[i] / 8] & 1 << a[i] % 8))
			return false;
	return true;
}

bool
dnsxl_address_name(const char *addr, struct span domain, struct buf *out)
{
	unsigned char a[16];

	if (inet_pton(AF_INET, addr, a) == 1) {
		buf_printf(out, "%u.%u.%u.%u.", a[3], a[2], a[1], a[0]);
	} else if (inet_pton(AF_INET6, addr, a) == 1) {
		for (int i = 15; i >= 0; i--)
			buf_printf(out, "%x.%x.", a[i] & 0xf, a[i] >> 4);
	} else {
		return false;
	}
	buf_append_span(out, domain);
	return true;
}
