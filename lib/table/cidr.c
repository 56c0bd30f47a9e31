/* SPDX-License-Identifier: MIT */
#include "lib/table/cidr.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"

static int
family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

bool
cidr_parse_address(struct span text, struct cidr *out)
{
	char host[INET6_ADDRSTRLEN];

	if (text.len == 0 || text.len >= sizeof(host))
		return false;
	memcpy(host, text.data, text.len);
	host[text.len] = '\0';
	memset(out, 0, sizeof(*out));
	out->family = strchr(host, ':') ? AF_INET6 : AF_INET;
	out->prefix = family_bits(out->family);
	return inet_pton(out->family, host, out->bytes) == 1;
}

/* Clear the bits behind the prefix; were there any? */
static bool
mask_host_bits(struct cidr *c)
{
	bool any = false;

	for (int i = 0; i < family_bits(c->family) / 8; i++) {
		int keep = c->prefix - i * 8;
		unsigned char mask = keep >= 8 ? 0xff
				     : keep <= 0
					 ? 0
					 : (unsigned char)(0xff << (8 - keep));

		any |= (c->bytes[i] & (unsigned char)~mask) != 0;
		c->bytes[i] &= mask;
	}
	return any;
}

/* Take the brackets off "[addr/len]" and "[addr]/len"; plain is the rest. */
static bool
strip_brackets(struct span text, struct buf *plain, char **error)
{
	long close;

	if (text.len == 0 || text.data[0] != '[') {
		buf_append_span(plain, text);
		return true;
	}
	close = span_find(text, ']');
	if (close < 0) {
		*error = mem_sprintf("missing ']' character after \"%.*s\"",
				     SPAN_ARG(text));
		return false;
	}
	if ((size_t)close + 1 < text.len && text.data[close + 1] != '/') {
		*error = mem_sprintf("garbage after \"%.*s\"", (int)close + 1,
				     text.data);
		return false;
	}
	buf_append(plain, text.data + 1, (size_t)close - 1);
	buf_append_span(plain, span_from(text, (size_t)close + 1));
	return true;
}

/* text is without brackets. Returns the error, or NULL. */
static char *
parse_plain(struct span text, struct cidr *out)
{
	char shown[INET6_ADDRSTRLEN];
	long slash = span_find(text, '/');
	int64_t prefix;

	if (slash < 0)
		return cidr_parse_address(text, out)
			   ? NULL
			   : mem_sprintf("bad address pattern: \"%.*s\"",
					 SPAN_ARG(text));
	if (!num_parse(span_from(text, (size_t)slash + 1), 0, INT32_MAX,
		       &prefix))
		return mem_sprintf("bad mask value in \"%.*s\"",
				   SPAN_ARG(text));
	if (!cidr_parse_address(span_make(text.data, (size_t)slash), out))
		return mem_sprintf("bad network value in \"%.*s\"",
				   SPAN_ARG(text));
	if (prefix > out->prefix)
		return mem_sprintf("bad mask length in \"%.*s\"",
				   SPAN_ARG(text));
	out->prefix = (int)prefix;
	if (!mask_host_bits(out))
		return NULL;
	inet_ntop(out->family, out->bytes, shown, sizeof(shown));
	return mem_sprintf("non-null host address bits in \"%.*s\", perhaps "
			   "you should use \"%s/%d\" instead",
			   SPAN_ARG(text), shown, out->prefix);
}

bool
cidr_parse(struct span text, struct cidr *out, char **error)
{
	struct buf plain = BUF_INIT;

	*error = NULL;
	if (strip_brackets(text, &plain, error))
		*error = parse_plain(buf_span(&plain), out);
	buf_free(&plain);
	return !*error;
}

bool
cidr_contains(const struct cidr *net, const struct cidr *addr)
{
	int whole = net->prefix / 8, rest = net->prefix % 8;

	if (net->family != addr->family)
		return false;
	if (memcmp(net->bytes, addr->bytes, (size_t)whole) != 0)
		return false;
	return rest == 0 ||
	       ((net->bytes[whole] ^ addr->bytes[whole]) >> (8 - rest)) == 0;
}
