/* SPDX-License-Identifier: MIT */
#include "lib/smtp/haproxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "lib/base/num.h"

enum {
	V2_FIXED = 16, /* signature, version and command, family, length */
	V2_SIGNATURE = 12,
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_TCP4_LEN = 12,
	V2_TCP6_LEN = 36,
};

static const char v1_signature[] = "PROXY ";
static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static enum haproxy_status
bad(struct haproxy *h, const char *reason)
{
	h->reason = reason;
	return HAPROXY_BAD;
}

static enum haproxy_status
more(struct haproxy *h, struct span in, const char *reason)
{
	h->reason = reason;
	return in.len < HAPROXY_MAX ? HAPROXY_MORE : HAPROXY_BAD;
}

/* ---- addresses ---- */

static void
set_v4(struct sock_addr *a, const void *addr, uint16_t net_port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET, .sin_port = net_port};

	memcpy(&sin.sin_addr, addr, sizeof(sin.sin_addr));
	*a = (struct sock_addr){.len = sizeof(sin)};
	memcpy(&a->ss, &sin, sizeof(sin));
}

static void
set_v6(struct sock_addr *a, const struct in6_addr *addr, uint16_t net_port)
{
	struct sockaddr_in6 sin = {.sin6_family = AF_INET6,
				   .sin6_port = net_port};

	if (IN6_IS_ADDR_V4MAPPED(addr)) {
		set_v4(a, &addr->s6_addr[12], net_port);
		return;
	}
	sin.sin6_addr = *addr;
	*a = (struct sock_addr){.len = sizeof(sin)};
	memcpy(&a->ss, &sin, sizeof(sin));
}

/* inet_pton() refuses host names, scope ids, and octets with leading zeros. */
static bool
parse_address(struct span word, int family, struct sock_addr *a)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (word.len == 0 || word.len >= sizeof(text))
		return false;
	memcpy(text, word.data, word.len);
	text[word.len] = '\0';
	if (inet_pton(family, text, &addr) != 1)
		return false;
	if (family == AF_INET)
		set_v4(a, &addr, 0);
	else
		set_v6(a, &addr, 0);
	return true;
}

static bool
parse_port(struct span word, struct sock_addr *a)
{
	int64_t port;

	if (word.len == 0 || (word.len > 1 && word.data[0] == '0') ||
	    !num_parse(word, 0, 65535, &port) || word.data[0] == '-')
		return false;
	sock_addr_set_port(a, (int)port);
	return true;
}

/* ---- version 1 ---- */

static bool
parse_family(struct span word, unsigned families, int *family)
{
	if (span_equal_cstr(word, "TCP4") && (families & SOCK_IPV4)) {
		*family = AF_INET;
		return true;
	}
	*family = AF_INET6;
	return span_equal_cstr(word, "TCP6") && (families & SOCK_IPV6);
}

static enum haproxy_status
parse_v1(struct span line, unsigned families, struct haproxy *h)
{
	struct span word[5] = {{NULL, 0}};
	int family;

	line = span_from(line, sizeof(v1_signature) - 1);
	for (size_t i = 0; i < 5; i++)
		if (!span_next_token(&line, " \r", &word[i]))
			break;
	if (!parse_family(word[0], families, &family))
		return bad(h, "bad or missing protocol type");
	if (!parse_address(word[1], family, &h->client))
		return bad(h, "bad or missing client address");
	if (!parse_address(word[2], family, &h->server))
		return bad(h, "bad or missing server address");
	if (!parse_port(word[3], &h->client))
		return bad(h, "bad or missing client port");
	if (!parse_port(word[4], &h->server))
		return bad(h, "bad or missing server port");
	return HAPROXY_OK;
}

/* ---- version 2 ---- */

static enum haproxy_status
parse_v2_addresses(const unsigned char *p, size_t len, unsigned families,
		   struct haproxy *h)
{
	const unsigned char *addr = p + V2_FIXED;
	struct in6_addr six;
	uint16_t ports[2];

	if (p[13] == V2_TCP4) {
		if (!(families & SOCK_IPV4))
			return bad(h, "Postfix IPv4 support is disabled");
		if (len < V2_TCP4_LEN)
			return bad(h, "short address field");
		memcpy(ports, addr + 8, sizeof(ports));
		set_v4(&h->client, addr, ports[0]);
		set_v4(&h->server, addr + 4, ports[1]);
		return HAPROXY_OK;
	}
	if (p[13] != V2_TCP6)
		return bad(h, "unsupported network protocol");
	if (!(families & SOCK_IPV6))
		return bad(h, "Postfix IPv6 support is disabled");
	if (len < V2_TCP6_LEN)
		return bad(h, "short address field");
	memcpy(ports, addr + 32, sizeof(ports));
	memcpy(&six, addr, sizeof(six));
	set_v6(&h->client, &six, ports[0]);
	memcpy(&six, addr + 16, sizeof(six));
	set_v6(&h->server, &six, ports[1]);
	return HAPROXY_OK;
}

static enum haproxy_status
parse_v2(struct span in, unsigned families, struct haproxy *h)
{
	const unsigned char *p = (const unsigned char *)in.data;
	size_t len;

	if (in.len < V2_FIXED)
		return more(h, in, "short protocol header");
	if (p[12] != V2_LOCAL && p[12] != V2_PROXY)
		return bad(h, (p[12] & 0xf0) == V2_LOCAL
				  ? "bad command in proxy header"
				  : "unrecognized protocol version");
	len = (size_t)p[14] << 8 | p[15];
	if (in.len < V2_FIXED + len)
		return V2_FIXED + len > HAPROXY_MAX
			   ? bad(h, "short version 2 protocol header")
			   : more(h, in, "short version 2 protocol header");
	h->used = V2_FIXED + len;
	h->local = p[12] == V2_LOCAL;
	return h->local ? HAPROXY_OK : parse_v2_addresses(p, len, families, h);
}

/* ---- either ---- */

/* As far as it came, is it this signature? */
static bool
begins(struct span in, const char *signature, size_t len)
{
	return memcmp(in.data, signature, in.len < len ? in.len : len) == 0;
}

enum haproxy_status
haproxy_parse(struct span in, unsigned families, struct haproxy *h)
{
	long nl;
	size_t line;

	*h = (struct haproxy){0};
	if (in.len == 0)
		return more(h, in, "short protocol header");
	if (begins(in, v2_signature, V2_SIGNATURE))
		return parse_v2(in, families, h);
	nl = span_find(in, '\n');
	line = nl < 0 ? in.len : (size_t)nl + 1;
	if (!begins(in, v1_signature, sizeof(v1_signature) - 1) ||
	    (nl >= 0 && line < V2_SIGNATURE))
		return bad(h, line < V2_SIGNATURE
				  ? "short protocol header"
				  : "unrecognized protocol header");
	if (memchr(in.data, '\0', line))
		return bad(h, "missing protocol header terminator");
	if (nl < 0)
		return more(h, in,
			    in.len < V2_FIXED
				? "short protocol header"
				: "missing protocol header terminator");
	if (line > HAPROXY_MAX)
		return bad(h, "missing protocol header terminator");
	h->used = line;
	return parse_v1(span_make(in.data, line - 1), families, h);
}

void
haproxy_show(struct span in, struct buf *out)
{
	static const char letters[] = "abtnvfr"; /* 7 to 13 */

	for (size_t i = 0; i < in.len && i < HAPROXY_SHOW_MAX; i++) {
		unsigned char c = (unsigned char)in.data[i];

		if (c >= 7 && c <= 13)
			buf_printf(out, "\\%c", letters[c - 7]);
		else if (c == '\\')
			buf_append_cstr(out, "\\\\");
		else if (c < ' ' || c > 126)
			buf_printf(out, "\\%03o", c);
		else
			buf_append_byte(out, (char)c);
	}
}
