/* SPDX-License-Identifier: MIT */
#include "lib/dns/wire.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/num.h"

enum {
	HEADER = 12,
	RR_FIXED = 10, /* type, class, ttl, rdlength */
	CLASS_IN = 1,
	RCODE_NOERROR = 0,
	RCODE_NXDOMAIN = 3,
	LABEL_MAX = 63,
	WIRE_NAME_MAX = 255,
};

struct reader {
	const unsigned char *data;
	size_t len;
	size_t at;
};

static bool
read16(struct reader *r, unsigned *v)
{
	if (r->len - r->at < 2)
		return false;
	*v = (unsigned)r->data[r->at] << 8 | r->data[r->at + 1];
	r->at += 2;
	return true;
}

static bool
read32(struct reader *r, uint32_t *v)
{
	unsigned hi, lo;

	if (!read16(r, &hi) || !read16(r, &lo))
		return false;
	*v = (uint32_t)hi << 16 | lo;
	return true;
}

static void
append_label(struct buf *out, const unsigned char *p, size_t n)
{
	if (out->len)
		buf_append_byte(out, '.');
	for (size_t i = 0; i < n; i++) {
		unsigned char c = p[i];

		if (isalnum(c) || c == '-' || c == '_' || c == '*' || c == '/')
			buf_append_byte(out, (char)c);
		else
			buf_printf(out, "\\%03u", c);
	}
}

/*
 * Read a name, replace out by its text. A compression pointer must point
 * before the place where it stands, which also rules out loops.
 */
static bool
read_name(struct reader *r, struct buf *out)
{
	size_t at = r->at, limit = r->len, wire = 0;
	bool jumped = false;

	buf_reset(out);
	for (;;) {
		unsigned n;

		if (at >= r->len)
			return false;
		n = r->data[at];
		if ((n & 0xc0) == 0xc0) {
			size_t to;

			if (at + 1 >= r->len)
				return false;
			to = (size_t)(n & 0x3f) << 8 | r->data[at + 1];
			if (!jumped)
				r->at = at + 2;
			jumped = true;
			limit = at < limit ? at : limit;
			if (to >= limit)
				return false;
			limit = to;
			at = to;
			continue;
		}
		if (n > LABEL_MAX || r->len - at - 1 < n)
			return false;
		wire += n + 1;
		if (wire > WIRE_NAME_MAX)
			return false;
		at++;
		if (n == 0)
			break;
		append_label(out, r->data + at, n);
		at += n;
	}
	if (!jumped)
		r->at = at;
	return true;
}

struct dns_rr *
dns_answer_add(struct dns_answer *a)
{
	/* Grow by doubling: capacity is the next power of two. */
	if ((a->n & (a->n - 1)) == 0)
		a->rr = mem_realloc(a->rr, a->n ? a->n * 2 : 1, sizeof(*a->rr));
	a->rr[a->n] = (struct dns_rr){0};
	return &a->rr[a->n++];
}

static bool
read_address(int family, size_t want, struct span data, struct dns_rr *rr)
{
	char text[INET6_ADDRSTRLEN];

	if (data.len != want)
		return false;
	inet_ntop(family, data.data, text, sizeof(text));
	rr->text = mem_strdup(text);
	return true;
}

/* Preference and so on (n numbers), then a name. */
static bool
read_target(struct reader *r, int n, struct dns_rr *rr)
{
	struct buf name = BUF_INIT;
	unsigned v[3] = {0};
	bool ok = true;

	for (int i = 0; ok && i < n; i++)
		ok = read16(r, &v[i]);
	ok = ok && read_name(r, &name);
	rr->preference = (int)v[0];
	rr->weight = (int)v[1];
	rr->port = (int)v[2];
	rr->text = mem_strdup(buf_cstr(&name));
	buf_free(&name);
	return ok;
}

static bool
is_text(char c)
{
	return c >= ' ' && c <= '~';
}

/* The character strings, joined; what is not printable ASCII is a space. */
static bool
read_txt(struct span data, struct dns_rr *rr)
{
	struct buf text = BUF_INIT;
	bool ok = true;

	while (data.len) {
		size_t n = (unsigned char)data.data[0];

		if (n > data.len - 1) {
			ok = false;
			break;
		}
		for (size_t i = 1; i <= n; i++)
			buf_append_byte(
			    &text, is_text(data.data[i]) ? data.data[i] : ' ');
		data = span_from(data, n + 1);
	}
	rr->text = mem_strdup(buf_cstr(&text));
	buf_free(&text);
	return ok;
}

static void
read_hex(struct span data, struct dns_rr *rr)
{
	struct buf text = BUF_INIT;

	for (size_t i = 0; i < data.len; i++)
		buf_printf(&text, "%02x", (unsigned char)data.data[i]);
	rr->text = mem_strdup(buf_cstr(&text));
	buf_free(&text);
}

/* The data of one record; the packet is needed for compressed names. */
static bool
read_rdata(const struct reader *packet, size_t at, size_t len,
	   enum dns_type type, struct dns_rr *rr)
{
	struct span data = span_make((const char *)packet->data + at, len);
	struct reader r = {packet->data, at + len, at};

	switch (type) {
	case DNS_A:
		return read_address(AF_INET, 4, data, rr);
	case DNS_AAAA:
		return read_address(AF_INET6, 16, data, rr);
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		return read_target(&r, 0, rr) && r.at == r.len;
	case DNS_MX:
		return read_target(&r, 1, rr) && r.at == r.len;
	case DNS_SRV:
		return read_target(&r, 3, rr) && r.at == r.len;
	case DNS_TXT:
		return read_txt(data, rr);
	default:
		read_hex(data, rr);
		return true;
	}
}

/* One pass over the answer section for the records of owner. Sets *next to
 * the target when it is an alias. false: malformed. */
static bool
read_answers(struct reader r, unsigned count, const struct buf *owner,
	     enum dns_type type, struct dns_answer *a, struct buf *next)
{
	struct buf name = BUF_INIT;
	bool ok = true;

	buf_reset(next);
	while (ok && count--) {
		unsigned rtype, class, rdlen;
		struct dns_rr rr = {0};
		uint32_t ttl;

		ok = read_name(&r, &name) && read16(&r, &rtype) &&
		     read16(&r, &class) && read32(&r, &ttl) &&
		     read16(&r, &rdlen) && rdlen <= r.len - r.at;
		if (!ok)
			break;
		r.at += rdlen;
		if (class != CLASS_IN ||
		    !span_equal_nocase(buf_span(&name), buf_span(owner)) ||
		    (rtype != (unsigned)type && rtype != DNS_CNAME))
			continue;
		ok = read_rdata(&r, r.at - rdlen, rdlen, rtype, &rr);
		if (ok && (ttl > INT32_MAX ? 0 : (int)ttl) < a->ttl)
			a->ttl = ttl > INT32_MAX ? 0 : (int)ttl;
		if (ok && rtype == (unsigned)type && a->n < DNS_RR_MAX)
			*dns_answer_add(a) = rr;
		else {
			if (ok && rtype == DNS_CNAME && type != DNS_CNAME)
				buf_set_cstr(next, rr.text);
			free(rr.text);
		}
	}
	buf_free(&name);
	return ok;
}

static void
drop_records(struct dns_answer *a)
{
	while (a->n)
		free(a->rr[--a->n].text);
	free(a->rr);
	a->rr = NULL;
}

static bool
parse(struct reader *r, enum dns_type type, struct dns_answer *a)
{
	struct buf owner = BUF_INIT, next = BUF_INIT;
	unsigned id, flags, counts[4], qtype, qclass;
	bool ok;

	ok = read16(r, &id) && read16(r, &flags) && read16(r, &counts[0]) &&
	     read16(r, &counts[1]) && read16(r, &counts[2]) &&
	     read16(r, &counts[3]) && (flags & 0x8000) && counts[0] == 1 &&
	     read_name(r, &owner) && read16(r, &qtype) && read16(r, &qclass);
	for (int depth = 0; ok; depth++) {
		ok = depth < DNS_CHAIN_MAX &&
		     read_answers(*r, counts[1], &owner, type, a, &next);
		if (!ok || a->n || next.len == 0)
			break;
		buf_set(&owner, buf_span(&next));
	}
	if (ok) {
		unsigned rcode = flags & 0xf;

		free(a->canonical);
		a->canonical = mem_strdup(buf_cstr(&owner));
		a->status = rcode == RCODE_NXDOMAIN  ? DNS_NO_NAME
			    : rcode != RCODE_NOERROR ? DNS_RETRY
			    : a->n                   ? DNS_FOUND
						     : DNS_NO_DATA;
		if (a->status != DNS_FOUND)
			drop_records(a);
		if (a->status == DNS_RETRY)
			buf_printf(&a->reason, "response code %u", rcode);
	}
	buf_free(&owner);
	buf_free(&next);
	return ok;
}

bool
dns_wire_parse(struct span packet, enum dns_type type,
	       struct dns_answer *answer)
{
	struct reader r = {(const unsigned char *)packet.data, packet.len, 0};
	bool ok;

	dns_answer_free(answer);
	answer->ttl = INT32_MAX;
	ok = packet.len >= HEADER && parse(&r, type, answer);
	if (!ok) {
		dns_answer_free(answer);
		answer->status = DNS_RETRY;
		buf_set_cstr(&answer->reason,
			     "Malformed or unexpected name server reply");
	}
	if (answer->ttl == INT32_MAX)
		answer->ttl = 0;
	return ok;
}

void
dns_rr_format(enum dns_type type, const struct dns_rr *rr, struct buf *out)
{
	if (type == DNS_MX)
		buf_printf(out, "%d ", rr->preference);
	else if (type == DNS_SRV)
		buf_printf(out, "%d %d %d ", rr->preference, rr->weight,
			   rr->port);
	buf_append_cstr(out, rr->text);
}

/* A number of 16 bits and the space behind it. */
static bool
take_number(struct span *s, int *out)
{
	long n = span_find(*s, ' ');
	int64_t v;

	if (n < 0 || !num_parse(span_make(s->data, (size_t)n), 0, 65535, &v))
		return false;
	*out = (int)v;
	*s = span_from(*s, (size_t)n + 1);
	return true;
}

bool
dns_rr_parse(enum dns_type type, struct span text, struct dns_rr *rr)
{
	*rr = (struct dns_rr){0};
	if ((type == DNS_MX || type == DNS_SRV) &&
	    !take_number(&text, &rr->preference))
		return false;
	if (type == DNS_SRV && (!take_number(&text, &rr->weight) ||
				!take_number(&text, &rr->port)))
		return false;
	rr->text = mem_strndup(text.data, text.len);
	return true;
}

bool
dns_reverse_name(const char *addr, struct buf *out)
{
	unsigned char a[16];

	if (inet_pton(AF_INET, addr, a) == 1) {
		buf_printf(out, "%u.%u.%u.%u.in-addr.arpa", a[3], a[2], a[1],
			   a[0]);
		return true;
	}
	if (inet_pton(AF_INET6, addr, a) != 1)
		return false;
	for (int i = 15; i >= 0; i--)
		buf_printf(out, "%x.%x.", a[i] & 0xf, a[i] >> 4);
	buf_append_cstr(out, "ip6.arpa");
	return true;
}

const char *
dns_type_name(enum dns_type type)
{
	static char other[24];

	switch (type) {
	case DNS_A:
		return "A";
	case DNS_NS:
		return "NS";
	case DNS_CNAME:
		return "CNAME";
	case DNS_PTR:
		return "PTR";
	case DNS_MX:
		return "MX";
	case DNS_TXT:
		return "TXT";
	case DNS_AAAA:
		return "AAAA";
	case DNS_SRV:
		return "SRV";
	case DNS_TLSA:
		return "TLSA";
	}
	snprintf(other, sizeof(other), "TYPE%d", (int)type);
	return other;
}

enum dns_type
dns_type_by_name(struct span name)
{
	static const enum dns_type types[] = {DNS_A,    DNS_NS,  DNS_CNAME,
					      DNS_PTR,  DNS_MX,  DNS_TXT,
					      DNS_AAAA, DNS_SRV, DNS_TLSA};

	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (span_equal_cstr_nocase(name, dns_type_name(types[i])))
			return types[i];
	return 0;
}
