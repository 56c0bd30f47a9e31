/* SPDX-License-Identifier: MIT */
/* smtpd_map - the keys that access tables are asked for (access(5)). */
#ifndef SMTPD_MAP_H
#define SMTPD_MAP_H

#include "smtpd/smtpd_action.h"

/*
 * Ask l->table for a host name and its parents, an address and its networks.
 * true: l->status is FOUND or RETRY.
 */
bool smtpd_map_find_domain(struct lookup *l, struct span domain);
bool smtpd_map_find_network(struct lookup *l, struct span addr);

/* The verdict: found is what the search returned. Frees l->value. */
enum verdict smtpd_map_finish(struct lookup *l, bool found, struct why *why);

/*
 * Where strangers choose what is looked up, OK would let them choose it: v
 * becomes a configuration error then.
 */
enum verdict smtpd_map_no_ok(struct smtpd *s, const struct rule *r,
			     enum verdict v, const char *value,
			     struct why *why);

#endif
