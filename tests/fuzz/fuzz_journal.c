/* SPDX-License-Identifier: MIT */
/* Journals, receipts and state records of any content are read without harm. */
#include <stdlib.h>

#include "lib/queue/queue_journal.h"
#include "lib/queue/queue_receipt.h"
#include "lib/queue/queue_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(void *arg, const struct journal_record *r)
{
	(void)arg;
	if (r->offset < 0)
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span s = span_make((const char *)data, size);
	struct queue_state state;
	struct buf b = BUF_INIT;
	struct receipt r;
	uint64_t number;

	journal_parse(s, &number, check, NULL);
	if (s.len >= RECEIPT_BYTES && receipt_decode(s.data, &r) &&
	    (r.offset < 0 || !queue_id_valid(span_of(r.id))))
		abort();
	for (size_t n = 0; n < 4; n++) {
		queue_state_init(&state, n);
		if (queue_state_decode(s, &state)) {
			buf_reset(&b);
			queue_state_encode(&state, 0, &b);
		}
		queue_state_free(&state);
	}
	buf_free(&b);
	return 0;
}
