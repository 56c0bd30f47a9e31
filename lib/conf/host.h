/* SPDX-License-Identifier: MIT */
/*
 * host - defaults that come from the machine: myhostname, mydomain,
 * mynetworks.
 */
#ifndef LIB_CONF_HOST_H
#define LIB_CONF_HOST_H

#include <stdbool.h>

#include "lib/base/buf.h"

/* gethostname(), completed with "." and domain when it has no dot. */
void host_name(const char *domain, struct buf *out);
/* What follows the first dot of name, or "localdomain". */
const char *host_domain(const char *name);
/* Is text a value of inet_protocols? false: error says why not. */
bool host_check_protocols(const char *text, struct buf *error);
/*
 * The value of mynetworks for mynetworks_style, inet_interfaces and
 * inet_protocols (expanded). false: error says why.
 */
bool host_networks(const char *style, const char *interfaces,
		   const char *protocols, struct buf *out, struct buf *error);

#endif
