/* SPDX-License-Identifier: MIT */
/*
 * cidr - IPv4 and IPv6 networks as cidr_table(5) and mynetworks write them:
 * "1.2.3.4", "1.2.3.0/24", "2001:db8::/32", "[2001:db8::]/32",
 * "[2001:db8::/32]".
 */
#ifndef LIB_TABLE_CIDR_H
#define LIB_TABLE_CIDR_H

#include <stdbool.h>

#include "lib/base/span.h"

enum { CIDR_BYTES = 16 };

struct cidr {
	int family; /* AF_INET or AF_INET6 */
	int prefix; /* bits */
	unsigned char bytes[CIDR_BYTES];
};

/* false: *error (free()) says what is wrong with the pattern. */
bool cidr_parse(struct span text, struct cidr *out, char **error);
/* A plain address; false when it is none. The prefix is the full length. */
bool cidr_parse_address(struct span text, struct cidr *out);
/* Is the address in the network? Never when the families differ. */
bool cidr_contains(const struct cidr *net, const struct cidr *addr);

#endif
