/* SPDX-License-Identifier: MIT */
/* alias_parse(): whatever a user writes into .forward. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/addr/alias.h"
#include "lib/deliver/copy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The mbox filter gives the same whatever the pieces are. */
static void
check_filter(struct span all)
{
	struct copy_filter one = {.flags = COPY_QUOTE_FROM | COPY_BLANK},
			   two = one;
	struct buf a = BUF_INIT, b = BUF_INIT;

	copy_filter_run(&one, all, &a);
	copy_filter_end(&one, &a);
	for (size_t i = 0; i < all.len; i++)
		copy_filter_run(&two, span_make(all.data + i, 1), &b);
	copy_filter_end(&two, &b);
	if (!span_equal(buf_span(&a), buf_span(&b)))
		abort();
	if ((a.len >= 5 && !memcmp(a.data, "From ", 5)) ||
	    memmem(a.data, a.len, "\nFrom ", 6))
		abort();
	buf_free(&a);
	buf_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_make((const char *)data, size), line;
	struct strvec items = STRVEC_INIT;
	const char *arg;

	check_filter(rest);
	while (alias_next_line(&rest, 2048, &line))
		alias_parse(line, &items);
	for (size_t i = 0; i < items.n; i++)
		alias_classify(items.v[i], &arg);
	strvec_free(&items);
	return 0;
}
