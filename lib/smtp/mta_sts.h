/* SPDX-License-Identifier: MIT */
/*
 * mta_sts - what a domain says about TLS to its mail exchangers (RFC 8461):
 * the TXT record that announces a policy, the policy, and what it matches.
 *
 * Both texts come from strangers. Whatever they contain, a policy has at most
 * MTA_STS_MX_MAX patterns, each of which is a host name.
 */
#ifndef LIB_SMTP_MTA_STS_H
#define LIB_SMTP_MTA_STS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/strvec.h"

enum {
	MTA_STS_ID_MAX = 32,            /* bytes, section 3.1 */
	MTA_STS_POLICY_MAX = 64 * 1024, /* bytes of a policy */
	MTA_STS_AGE_MAX = 31557600,     /* seconds, section 3.2 */
	MTA_STS_LINES_MAX = 2000,       /* of a policy */
	MTA_STS_MX_MAX = 256,           /* patterns of a policy */
};

enum mta_sts_mode {
	MTA_STS_NONE, /* also: there is no policy */
	MTA_STS_TESTING,
	MTA_STS_ENFORCE,
};

struct mta_sts_policy {
	enum mta_sts_mode mode;
	int64_t max_age;  /* seconds */
	struct strvec mx; /* lower case; "*.example.com" may stand for names */
};

#define MTA_STS_POLICY_INIT                  \
	{                                    \
		MTA_STS_NONE, 0, STRVEC_INIT \
	}

/*
 * Section 3.1: is this TXT record one of MTA-STS at all (others are left out
 * of account), and which policy id does it announce? false: none, the record
 * is not well-formed. id points into text.
 */
bool mta_sts_is_record(struct span text);
bool mta_sts_parse_record(struct span text, struct span *id);

/*
 * Section 3.2. false: *reason (static text) says what is wrong, and the policy
 * is empty. A max_age above the maximum is taken for the maximum.
 */
bool mta_sts_parse_policy(struct span text, struct mta_sts_policy *policy,
			  const char **reason);
void mta_sts_policy_free(struct mta_sts_policy *p);

/* Section 4.1: does a pattern match this name of a mail exchanger? */
bool mta_sts_match(const char *pattern, const char *host);
bool mta_sts_allows(const struct strvec *patterns, const char *host);

/* "none", "testing", "enforce" */
const char *mta_sts_mode_name(enum mta_sts_mode mode);

#endif
