/* SPDX-License-Identifier: MIT */
/* resolver_setup - the settings of a libunbound context: options, zones, the
 * servers to ask, the trust anchors. */
#ifndef SMTP_RESOLVER_SETUP_H
#define SMTP_RESOLVER_SETUP_H

#include <stdbool.h>

#include "smtp/resolver_engine.h"

struct ub_ctx;

#define RESOLVER_RESOLV_CONF "/etc/resolv.conf"

/* Whom a context asks, and whether it checks signatures. */
enum resolver_way {
	RESOLVER_FORWARD, /* the servers of this host, validating */
	RESOLVER_RECURSE, /* the root and down from there, validating */
	RESOLVER_PLAIN,   /* the servers of this host, taken at their word */
};

/* What postrider_resolver_servers says: only the root servers, no others. */
bool resolver_setup_only_root(const struct resolver_engine_conf *conf);

/*
 * Prepare a new context. false: there is no trust anchor that could be used
 * (logged), and it is RESOLVER_PLAIN now. ports: sockets towards the servers.
 */
bool resolver_setup_context(struct ub_ctx *ub,
			    const struct resolver_engine_conf *conf,
			    enum resolver_way way, int ports);

/* Is name in a zone where signatures cannot be expected, and that only the
 * servers of this host may know? */
bool resolver_setup_is_private(const struct resolver_engine_conf *conf,
			       const char *name);

#endif
