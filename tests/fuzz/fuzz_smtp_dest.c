/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/smtp/dest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dest_rules rules = {
	    .lmtp = size && data[0] & 1,
	    .default_port = "25",
	    .known_ports = "lmtp=24, smtp=25, smtps=submissions=465",
	};
	struct dest_list list = {NULL, 0};
	struct why why = WHY_INIT;

	if (size == 0)
		return 0;
	if (dest_list_parse(span_make((const char *)data + 1, size - 1), &rules,
			    &list, &why) != (list.n > 0))
		abort();
	/* A path has no port, everything else has one. */
	for (size_t i = 0; i < list.n; i++)
		if (list.v[i].path != (list.v[i].port == 0) ||
		    list.v[i].port > 65535)
			abort();
	dest_list_free(&list);
	why_free(&why);
	return 0;
}
