/* SPDX-License-Identifier: MIT */
/* Restriction lists, and the filters of DNS lists in them. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/smtp/restriction.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_class(const char *word)
{
	return word[0] == 'c' && word[1] == '\0';
}

static int
first_allowed(const uint8_t *bits)
{
	for (int v = 0; v < 256; v++)
		if (bits[v / 8] & 1 << v % 8)
			return v;
	abort(); /* an octet that nothing matches is a syntax error */
}

static void
try_filter(const struct dnsxl_filter *f)
{
	char addr[40];

	snprintf(addr, sizeof(addr), "%d.%d.%d.%d", first_allowed(f->allow[0]),
		 first_allowed(f->allow[1]), first_allowed(f->allow[2]),
		 first_allowed(f->allow[3]));
	if (!dnsxl_filter_match(f, addr))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct restriction_reader r;
	struct dnsxl_filter f;
	struct buf text = BUF_INIT, error = BUF_INIT, name = BUF_INIT;
	enum restriction_status st;

	if (size == 0)
		return 0;
	buf_append(&text, data + 1, size - 1);
	restriction_reader_init(&r, buf_cstr(&text), data[0] % (LIST_COUNT + 2),
				is_class);
	while ((st = restriction_next(&r)) == RESTRICTION_OK ||
	       st == RESTRICTION_CLASS)
		if (r.has_filter)
			try_filter(&r.filter);
	if ((st == RESTRICTION_BAD) != (r.error.len > 0))
		abort();
	restriction_reader_free(&r);

	if (dnsxl_filter_parse(buf_span(&text), &f, &error))
		try_filter(&f);
	else if (error.len == 0)
		abort();
	dnsxl_address_name(buf_cstr(&text), buf_span(&text), &name);
	buf_free(&text);
	buf_free(&error);
	buf_free(&name);
	return 0;
}
