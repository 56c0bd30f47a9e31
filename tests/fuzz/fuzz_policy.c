/* SPDX-License-Identifier: MIT */
/* Replies of a policy server, whole and in pieces; requests. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/smtp/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_request(struct span value)
{
	struct buf out = BUF_INIT;
	size_t lines = 0;

	policy_put(&out, "sender", value);
	policy_put_end(&out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	if (lines != 2)
		abort();
	buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span all = span_make((const char *)data, size), action, again;
	size_t used = 0, same = 0;
	enum policy_status st = policy_parse(all, &action, &used);

	policy_part(all);
	check_request(all);
	if (st != POLICY_DONE)
		return 0;
	if (used == 0 || used > size || all.data[used - 1] != '\n' ||
	    action.data < all.data ||
	    action.data + action.len >= all.data + used ||
	    span_find(action, '\n') >= 0)
		abort();
	/* Nothing was decided too early, and what follows does not count. */
	if (policy_parse(span_make(all.data, used - 1), &again, &same) !=
		POLICY_MORE &&
	    used <= POLICY_REPLY_MAX)
		abort();
	if (policy_parse(span_make(all.data, used), &again, &same) !=
		POLICY_DONE ||
	    same != used || !span_equal(again, action))
		abort();
	return 0;
}
