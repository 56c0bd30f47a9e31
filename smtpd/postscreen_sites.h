/* SPDX-License-Identifier: MIT */
/*
 * postscreen_sites - postscreen_dnsbl_sites: "domain=filter*weight ..." with a
 * filter such as 127.0.0.[2;4..6] (postconf(5)).
 */
#ifndef SMTPD_POSTSCREEN_SITES_H
#define SMTPD_POSTSCREEN_SITES_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

enum {
	SITES_MAX = 200,
	SITES_WEIGHT_MAX = 1000000,
};

/* Which values each of the four octets may have, as a set of 256 bits. */
struct site_filter {
	uint64_t octet[4][4];
};

struct site {
	char *domain;
	bool filtered;
	struct site_filter filter;
	int weight;
	size_t query; /* sites with the same domain share one, see below */
};

struct sites {
	struct site *v;
	size_t n;
	size_t n_queries; /* different domains */
};

/* false: error says what is wrong. */
bool sites_parse(struct sites *s, const char *text, struct buf *error);
void sites_free(struct sites *s);
/* Does the entry want this answer ("127.0.0.2")? */
bool site_matches(const struct site *s, const char *answer);

#endif
