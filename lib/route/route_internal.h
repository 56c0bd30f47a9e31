/* SPDX-License-Identifier: MIT */
/* route_internal - what the files of lib/route share. */
#ifndef LIB_ROUTE_ROUTE_INTERNAL_H
#define LIB_ROUTE_ROUTE_INTERNAL_H

#include "lib/route/route.h"
#include "lib/table/match_list.h"

/* The tables of this process, opened by route_open(). */
struct route_tables {
	struct match_list *mydestination, *relay_domains, *alias_domains,
	    *mailbox_domains;
	struct maps *transport, *relocated, *sender_transport, *sender_relay;
	bool probes; /* the address_verify_ parameters are in force */
	/* who exists */
	struct maps *local_recipients, *relay_recipients, *mailboxes, *aliases,
	    *canonical, *recipient_canonical;
};

extern struct route_tables route_tables;

/* In mydestination, or a literal that is an address of this host. */
enum table_status route_is_local_domain(struct span domain, struct why *why);

/* Own addresses, from inet_interfaces and proxy_interfaces. */
void route_host_open(void);

/* "transport:nexthop" (transport(5)) over what r has already; an empty part
 * changes nothing, but a transport without nexthop takes domain. */
void route_set_destination(struct route *r, struct span value,
			   struct span domain);
/* Apply transport_maps. FOUND: r was changed. */
enum table_status route_apply_transport_maps(struct route *r,
					     struct span domain,
					     struct why *why);
/* "User unknown in TABLE", or without the table's name. */
void route_unknown_text(const char *table, struct buf *out);

#endif
