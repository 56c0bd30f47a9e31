/* SPDX-License-Identifier: MIT */
/*
 * smtp_srv - hosts by SRV records (RFC 2782, RFC 6186), for the services of
 * use_srv_lookup: "example.com:submission" asks for
 * _submission._tcp.example.com.
 */
#ifndef SMTP_SMTP_SRV_H
#define SMTP_SMTP_SRV_H

#include "smtp/smtp_host.h"

/* Is d looked up so? */
bool smtp_srv_wanted(const struct smtp_host_policy *p, const struct dest *d);

enum smtp_srv_status {
	SMTP_SRV_FOUND,  /* l has addresses; their preferences are the order */
	SMTP_SRV_FAILED, /* why */
	SMTP_SRV_SKIP,   /* look for mail exchangers
			    (allow_srv_lookup_fallback,
			    ignore_srv_lookup_error) */
};

enum smtp_srv_status smtp_srv_lookup(const struct smtp_host_policy *p,
				     const struct dest *d,
				     struct smtp_addr_list *l, struct why *why);

#endif
