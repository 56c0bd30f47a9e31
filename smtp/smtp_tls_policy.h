/* SPDX-License-Identifier: MIT */
/*
 * smtp_tls_policy - which TLS a delivery to one host needs, and why
 * (smtp_tls_security_level and its kin, TLS_README).
 *
 * Who fills what, in this order (smtp_tls_policy_find()):
 *
 * 1. This module: main.cf, or the entry of smtp_tls_policy_maps (or the old
 *    smtp_tls_per_site) that is found: level, origin, all attributes.
 * 2. smtp_tls_dane.h, when the level is DANE or DANE_ONLY: looks for TLSA
 *    records, and leaves MAY (none there), ENCRYPT (none usable), DANE with
 *    records and names, HALF_DANE, or a failure (dane-only without records,
 *    a look-up that failed).
 * 3. smtp_tls_sts.h, unless TLSA records were found, the entry of a table
 *    gave the level, or the level is above what MTA-STS asks for: may raise
 *    the level to SECURE with the names of the policy, or fail.
 *
 * Each sets origin and reason to its own words when it changes the level, and
 * why when there must be no connection to this host.
 */
#ifndef SMTP_SMTP_TLS_POLICY_H
#define SMTP_SMTP_TLS_POLICY_H

#include "lib/dsn/why.h"
#include "lib/smtp/dest.h"
#include "lib/tls/tls_client.h"
#include "smtp/smtp_addr.h"

enum smtp_tls_origin {
	SMTP_TLS_MAIN,     /* smtp_tls_security_level, smtp_use_tls, ... */
	SMTP_TLS_MAPS,     /* smtp_tls_policy_maps */
	SMTP_TLS_PER_SITE, /* smtp_tls_per_site */
	SMTP_TLS_DANE,     /* TLSA records, or their absence */
	SMTP_TLS_STS,      /* an MTA-STS policy */
};

/* Where the connection goes. Borrowed. */
struct smtp_tls_target {
	const struct dest *dest;      /* of the nexthop, or a fallback relay */
	const struct smtp_addr *addr; /* host name, address, port; whether DNS
					 vouches for them */
	bool lmtp;
};

struct smtp_tls_policy {
	enum tls_client_level level;
	enum tls_client_level asked; /* before DANE and MTA-STS */
	enum smtp_tls_origin origin;
	struct buf reason; /* for posttls-finger: "smtp_tls_policy_maps:
			      example.com", "TLSA of _25._tcp.mx.example" */
	struct why why;    /* set: no connection to this host */

	char *protocols, *grade, *exclude; /* never NULL */
	char *sni;                         /* ""; "nexthop" and the like are
					      replaced */
	struct strvec names;        /* to match; strategies are replaced */
	struct strvec fingerprints; /* FINGERPRINT */
	struct tlsa_list tlsa;      /* of DANE, or of a tafile */
	bool web_pki;               /* authorities of lib/tls/tls_webpki.h */
	bool web_pki_audit;         /* the same, only for the report */
	/* They came from a table and stay when the level changes. */
	bool own_protocols, own_grade, own_exclude;
	bool reuse; /* keep the connection for later messages */

	/* For reports (RFC 8460). Set by 2 and 3. */
	char *report_type;   /* "tlsa", "sts", "no-policy-found" */
	char *report_domain; /* the policy's domain, or TLSA base name */
	struct strvec report_strings; /* the policy as it was published */
	struct strvec report_mx;      /* "mx" patterns of an STS policy */
};

/* Tables, and what main.cf says; before jail(). Nothing invalid is kept: a
 * level that does not exist ends the program. */
void smtp_tls_policy_open(bool lmtp);

/*
 * The policy for a target. false: p->why (4.7.5 and the like) says why there
 * must be no connection to it. p is set in any case; free it with
 * smtp_tls_policy_free().
 */
bool smtp_tls_policy_find(const struct smtp_tls_target *t,
			  struct smtp_tls_policy *p);
void smtp_tls_policy_free(struct smtp_tls_policy *p);

/* Does a connection that was made under have satisfy what want asks for? The
 * same level and attributes: equality, not strength. */
bool smtp_tls_policy_same(const struct smtp_tls_policy *have,
			  const struct smtp_tls_policy *want);

/* For DANE and MTA-STS: replace the level. The grade of ciphers, exclusions
 * and protocols become those of mandatory TLS, or of opportunistic TLS, unless
 * a table's entry gave them. */
void smtp_tls_policy_set_level(struct smtp_tls_policy *p,
			       enum tls_client_level level,
			       enum smtp_tls_origin origin, const char *fmt,
			       ...) __attribute__((format(printf, 4, 5)));

/* For probes: as if main.cf asked for level, with names and trust anchors of
 * main.cf, whatever p was. false: p->why. */
bool smtp_tls_policy_authenticate(const struct smtp_tls_target *t,
				  enum tls_client_level level,
				  struct smtp_tls_policy *p);

/* "smtp_tls_policy_maps", "TLSA", ...: for people. */
const char *smtp_tls_origin_name(enum smtp_tls_origin o);

#endif
