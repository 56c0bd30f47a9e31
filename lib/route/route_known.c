/* SPDX-License-Identifier: MIT */
/* Does a recipient exist? The contract is in route.h. */
#include "lib/addr/addr.h"
#include "lib/conf/conf.h"
#include "lib/route/route_internal.h"

void
route_unknown_text(const char *table, struct buf *out)
{
	buf_append_cstr(out, "User unknown");
	if (conf->show_user_unknown_table_name)
		buf_printf(out, " in %s", table);
}

static enum table_status
is_listed(struct maps *maps, struct span addr, struct why *why)
{
	struct buf value = BUF_INIT;
	enum table_status st;

	st = route_addr_find(maps, addr, ADDR_FIND_DEFAULT, &value, NULL, why);
	buf_free(&value);
	return st;
}

/* An address that is rewritten or expanded exists. */
static enum table_status
is_mapped(struct span addr, struct why *why)
{
	struct maps *maps[] = {route_tables.recipient_canonical,
			       route_tables.canonical, route_tables.aliases};
	enum table_status st = TABLE_ABSENT;

	for (size_t i = 0; i < 3 && st == TABLE_ABSENT; i++)
		st = is_listed(maps[i], addr, why);
	return st;
}

/* RFC 5321 section 4.5.1, and the senders of our own notices and probes. */
static bool
is_always_known(struct span addr)
{
	struct span local = addr_localpart(addr);

	return span_equal_cstr_nocase(local, "postmaster") ||
	       span_equal_cstr_nocase(local, "mailer-daemon") ||
	       span_equal_cstr_nocase(local, conf->double_bounce_sender);
}

static enum table_status
unknown(struct why *why, int code, const char *table)
{
	struct buf text = BUF_INIT;

	route_unknown_text(table, &text);
	why_set_code(why, code, "5.1.1", "%s", buf_cstr(&text));
	buf_free(&text);
	return TABLE_ABSENT;
}

/* Routed to the error or retry transport: its text, and how it fails. */
static enum table_status
error_route(const struct route *r, bool retry, struct why *why)
{
	char dsn[DSN_CODE_MAX];
	struct span text = dsn_split(buf_span(&r->nexthop), "5.1.1", dsn);

	dsn[0] = retry ? '4' : '5';
	why_set_code(why, retry ? 450 : 550, dsn, "%.*s", SPAN_ARG(text));
	return TABLE_ABSENT;
}

struct recipient_list {
	struct maps *maps;
	const char *table;
	int code;
};

static struct recipient_list list_of_class(enum addr_class class)
{
	switch (class) {
	case CLASS_LOCAL:
		return (struct recipient_list){
		    route_tables.local_recipients, "local recipient table",
		    conf->unknown_local_recipient_reject_code};
	case CLASS_RELAY:
		return (struct recipient_list){
		    route_tables.relay_recipients, "relay recipient table",
		    conf->unknown_relay_recipient_reject_code};
	case CLASS_VIRTUAL:
		return (struct recipient_list){
		    route_tables.mailboxes, "virtual mailbox table",
		    conf->unknown_virtual_mailbox_reject_code};
	case CLASS_ALIAS:
		return (struct recipient_list){
		    NULL, "virtual alias table",
		    conf->unknown_virtual_alias_reject_code};
	case CLASS_DEFAULT:
		break;
	}
	return (struct recipient_list){NULL, NULL, 550};
}

enum table_status
route_recipient_known(const struct route *r, struct why *why)
{
	struct span addr = buf_span(&r->recipient);
	struct recipient_list list = list_of_class(r->class);
	enum table_status st = is_mapped(addr, why);

	if (st != TABLE_ABSENT)
		return st;
	if (span_equal_cstr(buf_span(&r->transport), "error"))
		return error_route(r, false, why);
	if (span_equal_cstr(buf_span(&r->transport), "retry"))
		return error_route(r, true, why);
	if (r->class == CLASS_ALIAS)
		return unknown(why, list.code, list.table);
	if (!list.maps || maps_is_empty(list.maps))
		return TABLE_FOUND;
	if (r->class == CLASS_LOCAL && is_always_known(addr))
		return TABLE_FOUND;
	st = is_listed(list.maps, addr, why);
	return st == TABLE_ABSENT ? unknown(why, list.code, list.table) : st;
}
