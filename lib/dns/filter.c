/* SPDX-License-Identifier: MIT */
#include "lib/dns/filter.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/dns/wire.h"

struct maps *
dns_filter_open(const char *name, const char *value)
{
	return maps_open(name, value, TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
}

static void
render(const struct dns_answer *a, const struct dns_rr *rr, enum dns_type type,
       struct buf *out)
{
	buf_reset(out);
	buf_printf(out, "%s. %d IN %s ", a->canonical ? a->canonical : "",
		   a->ttl, dns_type_name(type));
	dns_rr_format(type, rr, out);
	if (type == DNS_MX || type == DNS_NS || type == DNS_SRV)
		buf_append_byte(out, '.');
}

/* Does the record stay? */
static enum dns_filter_status
judge(const char *name, struct maps *filter, struct span record)
{
	struct buf action = BUF_INIT;
	struct why why = WHY_INIT;
	enum dns_filter_status st = DNS_FILTER_BAD;

	switch (maps_get(filter, record, &action, &why)) {
	case TABLE_ABSENT:
		st = DNS_FILTER_KEPT;
		break;
	case TABLE_FOUND:
		if (span_equal_cstr_nocase(buf_span(&action), "IGNORE")) {
			log_info("ignoring DNS RR: %.*s", SPAN_ARG(record));
			st = DNS_FILTER_DROPPED;
		} else {
			log_warn("%s: unknown DNS filter action: \"%s\"", name,
				 buf_cstr(&action));
		}
		break;
	default:
		log_warn("%s: %s", name, buf_cstr(&why.text));
	}
	buf_free(&action);
	why_free(&why);
	return st;
}

enum dns_filter_status
dns_filter_apply(const char *name, struct maps *filter, enum dns_type type,
		 struct dns_answer *a)
{
	struct buf record = BUF_INIT;
	enum dns_filter_status st = DNS_FILTER_KEPT;
	size_t kept = 0;

	if (!filter || maps_is_empty(filter) || a->n == 0)
		return DNS_FILTER_KEPT;
	for (size_t i = 0; i < a->n; i++) {
		struct dns_rr *rr = &a->rr[i];

		if (st != DNS_FILTER_BAD) {
			render(a, rr, type, &record);
			st = judge(name, filter, buf_span(&record));
		}
		if (st == DNS_FILTER_KEPT)
			a->rr[kept++] = *rr;
		else
			free(rr->text);
	}
	a->n = kept;
	buf_free(&record);
	if (st == DNS_FILTER_BAD)
		return st;
	return kept ? DNS_FILTER_KEPT : DNS_FILTER_DROPPED;
}
