/* SPDX-License-Identifier: MIT */
/* MTA-STS records and policies, TLSRPT records. */
#include <stdint.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/buf.h"
#include "lib/base/utf8.h"
#include "lib/smtp/mta_sts.h"
#include "lib/smtp/tlsrpt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_policy(struct span text)
{
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;
	const char *reason = NULL;
	bool ok = mta_sts_parse_policy(text, &p, &reason);

	if (ok != !reason || p.mx.n > MTA_STS_MX_MAX || p.max_age < 0 ||
	    p.max_age > MTA_STS_AGE_MAX)
		abort();
	if (ok ? p.mode != MTA_STS_NONE && p.mx.n == 0 : p.mx.n > 0)
		abort();
	for (size_t i = 0; i < p.mx.n; i++) {
		struct span host = span_of(p.mx.v[i]);

		if (span_starts_nocase(host, "*."))
			host = span_from(host, 2);
		if (!addr_valid_hostname(host))
			abort();
		if (host.data == p.mx.v[i] && !mta_sts_allows(&p.mx, p.mx.v[i]))
			abort();
	}
	mta_sts_policy_free(&p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_make((const char *)data, size), id;
	struct strvec uris = STRVEC_INIT;
	struct buf json = BUF_INIT;

	if (mta_sts_parse_record(text, &id) &&
	    (id.len == 0 || id.len > MTA_STS_ID_MAX || id.data < text.data ||
	     id.data + id.len > text.data + size))
		abort();
	if (tlsrpt_parse_record(text, &uris) != (uris.n > 0) ||
	    uris.n > TLSRPT_URIS_MAX)
		abort();
	tlsrpt_put_json(&json, text);
	if (!utf8_valid(json.data, json.len))
		abort();
	check_policy(text);
	strvec_free(&uris);
	buf_free(&json);
	return 0;
}
