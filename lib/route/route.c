/* SPDX-License-Identifier: MIT */
#include "lib/route/route.h"

#include "lib/addr/addr.h"
#include "lib/addr/rewrite.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route_internal.h"

enum { ROUTE_DEPTH_MAX = 100 }; /* a%b%c%...@here */

struct route_tables route_tables;

void
route_free(struct route *r)
{
	buf_free(&r->transport);
	buf_free(&r->nexthop);
	buf_free(&r->recipient);
	*r = (struct route)ROUTE_INIT;
}

static struct match_list *
open_list(const char *name, const char *value, enum match_kind kind)
{
	unsigned flags = 0;

	if (conf_list_has(conf->parent_domain_matches_subdomains, name))
		flags |= MATCH_PARENT;
	return match_list_open(name, value, kind, flags);
}

static struct maps *
open_with(const char *name, const char *value, unsigned flags)
{
	flags |= TABLE_FOLD_FIXED | TABLE_FOLD_REGEX;
	return maps_open(name, value,
			 flags | (conf->smtputf8_enable ? TABLE_UTF8 : 0));
}

static struct maps *
open_maps(const char *name, const char *value)
{
	return open_with(name, value, 0);
}

/* What a stranger writes into an address must not choose a destination. */
static struct maps *
open_destinations(const char *name, const char *value)
{
	return open_with(name, value, TABLE_NO_REGSUB);
}

/* Probes may go another way than mail. */
static const char *
choose(const char *mail, const char *probe)
{
	return route_tables.probes ? probe : mail;
}

static void
open_tables(bool probes)
{
	struct route_tables *t = &route_tables;

	if (t->mydestination)
		return;
	route_host_open();
	t->mydestination =
	    open_list("mydestination", conf->mydestination, MATCH_STRING);
	t->relay_domains =
	    open_list("relay_domains", conf->relay_domains, MATCH_DOMAIN);
	t->alias_domains = open_list("virtual_alias_domains",
				     conf->virtual_alias_domains, MATCH_STRING);
	t->mailbox_domains =
	    open_list("virtual_mailbox_domains", conf->virtual_mailbox_domains,
		      MATCH_STRING);
	t->probes = probes;
	t->transport = open_destinations(
	    "transport_maps", probes ? conf->address_verify_transport_maps
				     : conf->transport_maps);
	t->relocated = open_maps("relocated_maps", conf->relocated_maps);
	t->sender_transport = open_destinations(
	    "sender_dependent_default_transport_maps",
	    probes
		? conf->address_verify_sender_dependent_default_transport_maps
		: conf->sender_dependent_default_transport_maps);
	t->sender_relay = open_destinations(
	    "sender_dependent_relayhost_maps",
	    probes ? conf->address_verify_sender_dependent_relayhost_maps
		   : conf->sender_dependent_relayhost_maps);
	t->local_recipients =
	    open_maps("local_recipient_maps", conf->local_recipient_maps);
	t->relay_recipients =
	    open_maps("relay_recipient_maps", conf->relay_recipient_maps);
	t->mailboxes =
	    open_maps("virtual_mailbox_maps", conf->virtual_mailbox_maps);
	t->aliases = open_maps("virtual_alias_maps", conf->virtual_alias_maps);
	t->canonical = open_maps("canonical_maps", conf->canonical_maps);
	t->recipient_canonical = open_maps("recipient_canonical_maps",
					   conf->recipient_canonical_maps);
}

void
route_open(void)
{
	open_tables(false);
}

void
route_open_for_probes(void)
{
	open_tables(true);
}

enum table_status
route_is_local_domain(struct span domain, struct why *why)
{
	struct buf ip = BUF_INIT;
	bool is_own;

	if (domain.len == 0 || domain.data[0] != '[')
		return match_list_has(route_tables.mydestination, domain, why);
	is_own = addr_valid_literal(domain, &ip) &&
		 route_is_own_address(buf_cstr(&ip));
	buf_free(&ip);
	return is_own ? TABLE_FOUND : TABLE_ABSENT;
}

enum table_status
route_class_of(struct span domain, enum addr_class *class, struct why *why)
{
	struct {
		struct match_list *list;
		enum addr_class class;
	} lists[] = {
	    {route_tables.alias_domains, CLASS_ALIAS},
	    {route_tables.mailbox_domains, CLASS_VIRTUAL},
	    {route_tables.relay_domains, CLASS_RELAY},
	};
	enum table_status st = route_is_local_domain(domain, why);

	*class = CLASS_LOCAL;
	for (size_t i = 0; i < 3 && st == TABLE_ABSENT; i++) {
		st = match_list_has(lists[i].list, domain, why);
		*class = lists[i].class;
	}
	if (st != TABLE_ABSENT)
		return st;
	*class = CLASS_DEFAULT;
	return TABLE_FOUND;
}

/* ---- the recipient ---- */

static bool
is_routing_byte(char c, bool quoted)
{
	return (c == '@' && !quoted) ||
	       (c == '%' && conf->allow_percent_hack) ||
	       (c == '!' && conf->swap_bangpath);
}

/* Does the local part of an address of ours name another destination? */
static bool
is_routed(struct span addr)
{
	struct span local = addr_localpart(addr);
	struct buf external = BUF_INIT;
	bool quoted = false, routed = false;

	if (!conf->resolve_dequoted_address) {
		addr_quote(addr, &external);
		quoted = external.len && external.data[0] == '"';
	}
	for (size_t i = 0; i < local.len && !routed; i++)
		routed = is_routing_byte(local.data[i], quoted);
	buf_free(&external);
	return routed && !quoted;
}

static void
set_empty_recipient(struct buf *addr)
{
	buf_set_cstr(addr, conf->empty_address_recipient);
	rewrite_address(REWRITE_LOCAL, addr);
}

/* user@1.2.3.4 is user@[1.2.3.4]. */
static void
bracket_numeric(struct buf *addr)
{
	struct buf literal = BUF_INIT;
	size_t local = addr_localpart(buf_span(addr)).len;

	buf_printf(&literal, "[%.*s]", SPAN_ARG(addr_domain(buf_span(addr))));
	if (addr_valid_literal(buf_span(&literal), NULL)) {
		buf_truncate(addr, local + 1);
		buf_append_span(addr, buf_span(&literal));
	}
	buf_free(&literal);
}

/* Strip our own domain off routed addresses, replace empty ones. */
bool
route_complete(struct buf *addr, struct why *why)
{
	rewrite_address(REWRITE_LOCAL, addr);
	for (int i = 0; i < ROUTE_DEPTH_MAX; i++) {
		struct span s;
		enum table_status st;

		if (addr->len == 0)
			set_empty_recipient(addr);
		s = buf_span(addr);
		if (addr_domain(s).len == 0 && conf->resolve_null_domain &&
		    addr_at(s) >= 0)
			buf_append_cstr(addr, conf->myhostname);
		if (conf->resolve_numeric_domain)
			bracket_numeric(addr);
		s = buf_span(addr);
		st = route_is_local_domain(addr_domain(s), why);
		if (st == TABLE_RETRY)
			return false;
		if (st == TABLE_ABSENT)
			return true;
		if (addr_localpart(s).len == 0) {
			buf_reset(addr);
			continue;
		}
		if (!is_routed(s))
			return true;
		buf_truncate(addr, addr_localpart(s).len);
		rewrite_address(REWRITE_LOCAL, addr);
	}
	return true;
}

/* Can this address have a destination at all? */
static bool
check_syntax(struct span addr)
{
	struct span domain = addr_domain(addr);

	if (addr_at(addr) < 0)
		return false;
	if (!conf->allow_min_user && addr.len && addr.data[0] == '-')
		return false;
	return addr_valid_domain(domain);
}

/* ---- the destination ---- */

/* A sender-dependent table; DUNNO and empty results count as absent. */
static enum table_status
find_by_sender(struct maps *maps, struct span sender, const char *empty_key,
	       struct buf *value, struct why *why)
{
	enum table_status st;

	if (sender.len)
		st = route_addr_find(maps, sender, ADDR_FIND_DEFAULT, value,
				     NULL, why);
	else
		st = maps_get(maps, span_of(empty_key), value, why);
	if (st == TABLE_FOUND &&
	    (value->len == 0 ||
	     span_equal_cstr_nocase(buf_span(value), "DUNNO"))) {
		buf_reset(value);
		return TABLE_ABSENT;
	}
	return st;
}

/* relayhost, of the sender or of all. */
static enum table_status
find_relayhost(struct span sender, struct buf *value, struct why *why)
{
	enum table_status st = find_by_sender(
	    route_tables.sender_relay, sender,
	    conf->empty_address_relayhost_maps_lookup_key, value, why);

	if (st == TABLE_ABSENT &&
	    *choose(conf->relayhost, conf->address_verify_relayhost)) {
		buf_set_cstr(value, choose(conf->relayhost,
					   conf->address_verify_relayhost));
		st = TABLE_FOUND;
	}
	return st;
}

/*
 * Remote: the next hop is the relay host or the domain, unless the transport
 * parameter has one of its own.
 */
static bool
set_remote(struct route *r, struct span sender, struct span domain,
	   struct why *why)
{
	struct buf value = BUF_INIT, relay = BUF_INIT;
	const char *transport =
	    choose(conf->relay_transport, conf->address_verify_relay_transport);
	enum table_status st = TABLE_ABSENT;
	bool ok = false;

	if (r->class == CLASS_DEFAULT) {
		transport = choose(conf->default_transport,
				   conf->address_verify_default_transport);
		st = find_by_sender(
		    route_tables.sender_transport, sender,
		    conf->empty_address_default_transport_maps_lookup_key,
		    &value, why);
	}
	if (st == TABLE_RETRY)
		goto out;
	if (st == TABLE_ABSENT)
		buf_set_cstr(&value, transport);
	st = find_relayhost(sender, &relay, why);
	if (st == TABLE_RETRY)
		goto out;
	route_set_destination(r, buf_span(&value),
			      st == TABLE_FOUND ? buf_span(&relay) : domain);
	ok = true;
out:
	buf_free(&value);
	buf_free(&relay);
	return ok;
}

/* The destination that the class gives. */
static bool
set_class_destination(struct route *r, struct span sender, struct span domain,
		      struct why *why)
{
	struct buf text = BUF_INIT;

	switch (r->class) {
	case CLASS_LOCAL:
		route_set_destination(
		    r,
		    span_of(choose(conf->local_transport,
				   conf->address_verify_local_transport)),
		    domain);
		return true;
	case CLASS_VIRTUAL:
		route_set_destination(
		    r,
		    span_of(choose(conf->virtual_transport,
				   conf->address_verify_virtual_transport)),
		    domain);
		return true;
	case CLASS_ALIAS:
		buf_set_cstr(&r->transport, "error");
		buf_append_cstr(&text, "5.1.1 ");
		route_unknown_text("virtual alias table", &text);
		buf_set(&r->nexthop, buf_span(&text));
		buf_free(&text);
		return true;
	case CLASS_RELAY:
	case CLASS_DEFAULT:
		break;
	}
	return set_remote(r, sender, domain, why);
}

static enum table_status
apply_relocated(struct route *r, struct why *why)
{
	struct buf value = BUF_INIT;
	enum table_status st;

	st = route_addr_find(route_tables.relocated, buf_span(&r->recipient),
			     ADDR_FIND_DEFAULT, &value, NULL, why);
	if (st == TABLE_FOUND) {
		buf_set_cstr(&r->transport, "error");
		buf_reset(&r->nexthop);
		buf_printf(&r->nexthop, "5.1.6 User has moved to %s",
			   buf_cstr(&value));
	}
	buf_free(&value);
	return st;
}

bool
route_resolve(struct span sender, struct span recipient, struct route *r,
	      struct why *why)
{
	struct buf domain = BUF_INIT;
	bool ok = false;

	buf_set(&r->recipient, recipient);
	buf_reset(&r->transport);
	buf_reset(&r->nexthop);
	if (!route_complete(&r->recipient, why))
		goto out;
	if (!check_syntax(buf_span(&r->recipient))) {
		why_set_code(why, 501, "5.1.3", "bad address syntax");
		goto out;
	}
	buf_set(&domain, addr_domain(buf_span(&r->recipient)));
	if (route_class_of(buf_span(&domain), &r->class, why) == TABLE_RETRY ||
	    !set_class_destination(r, sender, buf_span(&domain), why))
		goto out;
	if (r->class != CLASS_ALIAS &&
	    route_apply_transport_maps(r, buf_span(&domain), why) ==
		TABLE_RETRY)
		goto out;
	ok = apply_relocated(r, why) != TABLE_RETRY;
	if (ok && r->transport.len == 0) {
		log_warn("no transport for <%.*s>: a default transport "
			 "without a name",
			 SPAN_ARG(recipient));
		why_set(why, "4.3.5", "mail transport unavailable");
		ok = false;
	}
out:
	buf_free(&domain);
	return ok;
}
