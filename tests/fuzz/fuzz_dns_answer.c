/* SPDX-License-Identifier: MIT */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "lib/dns/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses the type that is asked for; what was read must
 * survive the way to a client. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const enum dns_type types[] = {DNS_A,   DNS_CNAME, DNS_PTR,
					      DNS_MX,  DNS_TXT,   DNS_AAAA,
					      DNS_SRV, DNS_TLSA};
	struct dns_answer a = DNS_ANSWER_INIT;
	struct buf text = BUF_INIT;
	enum dns_type type;

	if (size == 0)
		return 0;
	type = types[data[0] % 8];
	dns_wire_parse(span_make((const char *)data + 1, size - 1), type, &a);
	if (a.n > DNS_RR_MAX || (a.status == DNS_FOUND) != (a.n > 0))
		abort();
	for (size_t i = 0; i < a.n; i++) {
		struct dns_rr rr;

		buf_reset(&text);
		dns_rr_format(type, &a.rr[i], &text);
		if (!dns_rr_parse(type, buf_span(&text), &rr) ||
		    strcmp(rr.text, a.rr[i].text) != 0)
			abort();
		free(rr.text);
	}
	buf_free(&text);
	dns_answer_free(&a);
	return 0;
}
