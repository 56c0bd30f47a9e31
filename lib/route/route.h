/* SPDX-License-Identifier: MIT */
/*
 * route - which class, transport and next hop an address has
 * (ADDRESS_CLASS_README, transport(5), trivial-rewrite(8)).
 */
#ifndef LIB_ROUTE_ROUTE_H
#define LIB_ROUTE_ROUTE_H

#include "lib/base/buf.h"
#include "lib/dsn/why.h"
#include "lib/table/table.h"

enum addr_class {
	CLASS_LOCAL = 1,
	CLASS_ALIAS,   /* virtual_alias_domains */
	CLASS_VIRTUAL, /* virtual_mailbox_domains */
	CLASS_RELAY,
	CLASS_DEFAULT,
};

struct route {
	enum addr_class class;
	struct buf transport; /* "local", "smtp", "error", "lmtp", ... */
	struct buf nexthop;   /* as in transport(5); for error: the text */
	struct buf recipient; /* internal form, completed */
};

#define ROUTE_INIT {CLASS_DEFAULT, BUF_INIT, BUF_INIT, BUF_INIT}

void route_free(struct route *r);

/* Open the tables that routing needs (once per process, before jail). */
void route_open(void);
/* The same for a process that sends address probes: the address_verify_
 * parameters say where they go. Before anything else opens it. */
void route_open_for_probes(void);

/*
 * Where does recipient go? sender matters for sender_dependent_* only.
 * true: r is filled in. false: why says 4.x (a table failed) or 5.x (the
 * address can have no destination).
 */
bool route_resolve(struct span sender, struct span recipient, struct route *r,
		   struct why *why);

/*
 * The form of an address that routing goes by, in place: completed, and
 * without our own domain behind user%domain. Not empty. false: a table
 * failed, why says 4.x.
 */
bool route_complete(struct buf *addr, struct why *why);

/* Class of a domain alone; RETRY sets why. */
enum table_status route_class_of(struct span domain, enum addr_class *class,
				 struct why *why);

/*
 * Does the recipient exist, as far as the tables of its class can tell
 * (local_recipient_maps, relay_recipient_maps, virtual_mailbox_maps,
 * virtual_alias_maps)? FOUND also when the class has no list. ABSENT sets
 * why to the 5.1.1 "User unknown in local recipient table" text, or what the
 * route to the error (550) or retry (450) transport says.
 */
enum table_status route_recipient_known(const struct route *r,
					struct why *why);

/* Is name this host (inet_interfaces, proxy_interfaces addresses)? addr is
 * an IP address in text form. */
bool route_is_own_address(const char *addr);
/* Read these addresses only; route_open() does it too. */
void route_host_open(void);

/*
 * Address keys in the order of virtual(5)/canonical(5): user+ext@dom,
 * user@dom, user+ext, user (site-local domains only), @dom. ext, when found
 * by the form without it, is what propagate_unmatched_extensions appends.
 * addr is in internal form, the keys are in external form.
 */
enum {
	ADDR_FIND_FULL = 1 << 0,
	ADDR_FIND_NOEXT = 1 << 1,
	ADDR_FIND_LOCALPART = 1 << 2, /* $myorigin, $mydestination, own IP */
	ADDR_FIND_AT_DOMAIN = 1 << 3,
	ADDR_FIND_DOMAIN = 1 << 4,    /* "domain" alone (access, transport) */
	ADDR_FIND_USER_AT = 1 << 5,   /* "user@" (access(5)) */
	ADDR_FIND_DEFAULT = ADDR_FIND_FULL | ADDR_FIND_NOEXT |
			    ADDR_FIND_LOCALPART | ADDR_FIND_AT_DOMAIN,
};
enum table_status route_addr_find(struct maps *maps, struct span addr,
				  unsigned forms, struct buf *value,
				  struct buf *extension, struct why *why);

#endif
