/* SPDX-License-Identifier: MIT */
/* The PROXY header: each prefix asks for more or is refused, and what follows
 * a header does not change what it says. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/smtp/haproxy.h"

static enum haproxy_status
parse(const uint8_t *data, size_t size, unsigned families, struct haproxy *h)
{
	char *copy = mem_strndup((const char *)data, size);
	enum haproxy_status st =
	    haproxy_parse(span_make(copy, size), families, h);

	free(copy);
	return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct haproxy h, part;
	enum haproxy_status st;
	struct buf shown = BUF_INIT;
	unsigned families;

	if (size < 1)
		return 0;
	families = data[0] & (SOCK_IPV4 | SOCK_IPV6);
	data++;
	size--;
	st = parse(data, size, families, &h);
	if (st == HAPROXY_OK) {
		if (h.used == 0 || h.used > size ||
		    (!h.local && (!h.client.len || !h.server.len)))
			abort();
		if (parse(data, h.used, families, &part) != HAPROXY_OK ||
		    part.used != h.used || part.client.len != h.client.len)
			abort();
		for (size_t i = 0; i < h.used; i++)
			if (parse(data, i, families, &part) != HAPROXY_MORE ||
			    !part.reason)
				abort();
	} else if (!h.reason || (st == HAPROXY_MORE && size >= HAPROXY_MAX)) {
		abort();
	}
	haproxy_show(span_make((const char *)data, size), &shown);
	if (shown.len > 4 * HAPROXY_SHOW_MAX)
		abort();
	for (size_t i = 0; i < shown.len; i++)
		if (shown.data[i] < ' ' || shown.data[i] > 126)
			abort();
	buf_free(&shown);
	return 0;
}
