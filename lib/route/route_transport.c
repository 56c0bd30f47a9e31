/* SPDX-License-Identifier: MIT */
/* transport_maps (transport(5)). */
#include "lib/addr/addr.h"
#include "lib/conf/conf.h"
#include "lib/route/route_internal.h"

void
route_set_destination(struct route *r, struct span value, struct span domain)
{
	struct span transport = value, nexthop = span_make("", 0);
	long colon = span_find(value, ':');

	if (colon >= 0) {
		transport = span_make(value.data, (size_t)colon);
		nexthop = span_from(value, (size_t)colon + 1);
	}
	if (transport.len)
		buf_set(&r->transport, transport);
	if (nexthop.len)
		buf_set(&r->nexthop, nexthop);
	else if (transport.len)
		buf_set(&r->nexthop, domain);
}

/* "error:" without a text. */
static void
set_reason(struct route *r, struct span value)
{
	if (span_equal_cstr(value, "error:") ||
	    span_equal_cstr(value, "retry:") ||
	    span_equal_cstr(value, "error") || span_equal_cstr(value, "retry"))
		buf_set_cstr(&r->nexthop, "Address is undeliverable");
}

/*
 * The domain, then its parents: as ".parent", or as "parent" where
 * parent_domain_matches_subdomains says so; then "*".
 */
static enum table_status
find_domain(struct span domain, struct buf *value, struct why *why)
{
	struct maps *maps = route_tables.transport;
	bool parents = conf_list_has(conf->parent_domain_matches_subdomains,
				     "transport_maps");
	enum table_status st = TABLE_ABSENT;
	long dot;

	if (domain.len)
		st = maps_get_partial(maps, domain, value, why);
	if (domain.len && domain.data[0] == '[')
		domain = span_make("", 0);
	while (st == TABLE_ABSENT && (dot = span_find(domain, '.')) >= 0) {
		domain = span_from(domain, (size_t)dot);
		if (!parents && domain.len > 1)
			st = maps_get_partial(maps, domain, value, why);
		domain = span_from(domain, 1);
		if (parents && domain.len)
			st = maps_get_partial(maps, domain, value, why);
	}
	if (st == TABLE_ABSENT)
		st = maps_get(maps, span_make("*", 1), value, why);
	return st;
}

enum table_status
route_apply_transport_maps(struct route *r, struct span domain, struct why *why)
{
	struct buf value = BUF_INIT;
	enum table_status st;

	if (maps_is_empty(route_tables.transport))
		return TABLE_ABSENT;
	st = route_addr_find(route_tables.transport, buf_span(&r->recipient),
			     ADDR_FIND_FULL | ADDR_FIND_NOEXT, &value, NULL,
			     why);
	if (st == TABLE_ABSENT)
		st = find_domain(domain, &value, why);
	if (st == TABLE_FOUND) {
		struct span text = span_trim(buf_span(&value));

		route_set_destination(r, text, domain);
		set_reason(r, text);
	}
	buf_free(&value);
	return st;
}
