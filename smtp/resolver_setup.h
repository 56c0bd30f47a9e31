/* SPDX-License-Identifier: MIT */
/* resolver_setup - the settings of a libunbound context: options, zones, the
 * servers to ask, the trust anchor. */
#ifndef SMTP_RESOLVER_SETUP_H
#define SMTP_RESOLVER_SETUP_H

#include <stdbool.h>

#include "smtp/resolver_engine.h"

struct ub_ctx;

#define RESOLVER_RESOLV_CONF "/etc/resolv.conf"

/*
 * Prepare a new context, with validation if validate is set and there is a
 * trust anchor: true then. ports: sockets towards the servers.
 */
bool resolver_setup_context(struct ub_ctx *ub,
			    const struct resolver_engine_conf *conf,
			    bool validate, int ports);

#endif
