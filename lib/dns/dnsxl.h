/* SPDX-License-Identifier: MIT */
/*
 * dnsxl - DNS block and permit lists (RFC 5782): which name to ask for, and
 * the filters "=d.d.d.d" of postconf(5) on the addresses that come back.
 *
 * Each d is a number or "[a..b;c]", a set of numbers and ranges.
 */
#ifndef LIB_DNS_DNSXL_H
#define LIB_DNS_DNSXL_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum { DNSXL_OCTETS = 4 };

/* One bit per value of each octet. */
struct dnsxl_filter {
	uint8_t allow[DNSXL_OCTETS][256 / 8];
};

/* false: error says what is wrong, and shows where as SEEN>HERE<REST. */
bool dnsxl_filter_parse(struct span text, struct dnsxl_filter *f,
			struct buf *error);
/* addr is an IPv4 address in text form; false also when it is none. */
bool dnsxl_filter_match(const struct dnsxl_filter *f, const char *addr);

/*
 * Append the name to ask for about an address in text form: its octets
 * (IPv4) or nibbles (IPv6) backwards, a dot, domain. false: no address.
 */
bool dnsxl_address_name(const char *addr, struct span domain, struct buf *out);

#endif
