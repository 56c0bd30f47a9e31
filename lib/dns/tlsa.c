/* SPDX-License-Identifier: MIT */
#include "lib/dns/tlsa.h"

#include <ctype.h>
#include <stdlib.h>

#include "lib/base/mem.h"

enum { FIXED = 3 }; /* usage, selector, matching type */

bool
tlsa_list_add(struct tlsa_list *l, uint8_t usage, uint8_t selector,
	      uint8_t mtype, struct span data)
{
	struct tlsa *t;

	if (l->n >= TLSA_MAX || data.len > TLSA_DATA_MAX)
		return false;
	l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
	t = &l->v[l->n++];
	*t = (struct tlsa){usage, selector, mtype, BUF_INIT};
	buf_set(&t->data, data);
	return true;
}

void
tlsa_list_free(struct tlsa_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		buf_free(&l->v[i].data);
	free(l->v);
	*l = (struct tlsa_list){NULL, 0};
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)tolower((unsigned char)c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
unhex(struct span hex, struct buf *out)
{
	if (hex.len % 2)
		return false;
	for (size_t i = 0; i < hex.len; i += 2) {
		int high = hex_digit(hex.data[i]);
		int low = hex_digit(hex.data[i + 1]);

		if (high < 0 || low < 0)
			return false;
		buf_append_byte(out, (char)(high << 4 | low));
	}
	return true;
}

bool
tlsa_list_add_hex(struct tlsa_list *l, struct span hex)
{
	struct buf raw = BUF_INIT;
	bool ok;

	ok = hex.len <= (TLSA_DATA_MAX + FIXED) * 2 && unhex(hex, &raw) &&
	     raw.len > FIXED &&
	     tlsa_list_add(l, (uint8_t)raw.data[0], (uint8_t)raw.data[1],
			   (uint8_t)raw.data[2],
			   span_from(buf_span(&raw), FIXED));
	buf_free(&raw);
	return ok;
}

void
tlsa_format(const struct tlsa *t, struct buf *out)
{
	buf_printf(out, "%u %u %u ", t->usage, t->selector, t->mtype);
	for (size_t i = 0; i < t->data.len; i++)
		buf_printf(out, "%02X", (unsigned char)t->data.data[i]);
}

void
tlsa_name(const char *host, int port, struct buf *out)
{
	buf_printf(out, "_%d._tcp.%s", port, host);
}
