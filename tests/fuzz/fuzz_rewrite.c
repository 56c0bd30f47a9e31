/* SPDX-License-Identifier: MIT */
/* Addresses and address headers: no bound is crossed, and a header that has
 * nothing to change keeps its bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/addr/rewrite.h"
#include "lib/conf/conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct conf config = {
    .swap_bangpath = true,
    .allow_percent_hack = true,
    .append_at_myorigin = true,
    .append_dot_mydomain = true,
    .myorigin = "o.example",
    .mydomain = "example",
    .remote_header_rewrite_domain = "r.example",
    .header_address_token_limit = 10240,
};

static void
rewrite(void *arg, struct buf *addr)
{
	rewrite_address(*(const enum rewrite_context *)arg, addr);
}

static void
keep(void *arg, struct buf *addr)
{
	(void)arg;
	(void)addr;
}

static void
count(void *arg, struct span addr)
{
	*(size_t *)arg += addr.len + 1;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_make((const char *)data, size);
	enum rewrite_context ctx;
	struct buf out = BUF_INIT;
	size_t sum = 0;

	conf = &config;
	rewrite_header_body(s, keep, NULL, &out);
	if (size <= 10240 && !span_equal(buf_span(&out), s))
		abort();
	for (ctx = REWRITE_LOCAL; ctx <= REWRITE_NONE; ctx++) {
		buf_set_cstr(&out, "To:");
		rewrite_header_complete(s, rewrite, &ctx, &out);
		if (out.len > 64 + 40 * size)
			abort();
		buf_set(&out, s);
		rewrite_address(ctx, &out);
	}
	rewrite_header_scan(s, count, &sum);
	if (sum > 3 * size + 3)
		abort();
	buf_free(&out);
	return 0;
}
