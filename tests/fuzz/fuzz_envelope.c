/* SPDX-License-Identifier: MIT */
/* What decodes must encode to the same bytes. */
#include <stdlib.h>

#include "lib/queue/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope e;
	struct buf b = BUF_INIT;

	if (!envelope_decode(span_make((const char *)data, size), &e))
		return 0;
	envelope_encode(&e, &b);
	if (!span_equal(buf_span(&b), span_make((const char *)data, size)))
		abort();
	buf_free(&b);
	envelope_free(&e);
	return 0;
}
