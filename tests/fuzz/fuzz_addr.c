/* SPDX-License-Identifier: MIT */
/* What is quoted must unquote to the same; a path that was taken has a domain
 * that is one, and is taken again in its external form. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/addr/addr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_quote(struct span s)
{
	struct buf ext = BUF_INIT, back = BUF_INIT;

	addr_quote(s, &ext);
	addr_unquote(buf_span(&ext), &back);
	if (span_find(addr_domain(s), '"') < 0 &&
	    !span_equal(buf_span(&back), s))
		abort();
	buf_free(&ext);
	buf_free(&back);
}

static void
check_path(struct span s, bool strict)
{
	struct buf out = BUF_INIT, again = BUF_INIT, ext = BUF_INIT;
	struct span rest;
	const char *what;

	if (!addr_parse_path(s, strict, &out, &rest, &what)) {
		if (!what)
			abort();
		goto end;
	}
	if (rest.len > s.len)
		abort();
	check_quote(buf_span(&out));
	buf_append_byte(&ext, '<');
	addr_quote(buf_span(&out), &ext);
	buf_append_byte(&ext, '>');
	if (!addr_parse_path(buf_span(&ext), strict, &again, &rest, &what) ||
	    !span_equal(buf_span(&again), buf_span(&out)))
		abort();
end:
	buf_free(&out);
	buf_free(&again);
	buf_free(&ext);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_make((const char *)data, size);
	struct buf ip = BUF_INIT;

	check_quote(s);
	check_path(s, false);
	check_path(s, true);
	addr_valid_hostname(s);
	addr_valid_literal(s, &ip);
	if (addr_split_extension(addr_localpart(s), "+-") > s.len)
		abort();
	buf_free(&ip);
	return 0;
}
