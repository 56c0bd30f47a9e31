/* SPDX-License-Identifier: MIT */
/* Security levels by name, and what they need. */
#include "lib/tls/tls_client.h"

/* In the order of the enumeration. */
static const char *const level_names[] = {
    "none", "may",       "encrypt", "fingerprint", "half-dane",
    "dane", "dane-only", "verify",  "secure",
};

bool
tls_client_level_parse(struct span name, enum tls_client_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names);
	     i++) {
		if (i == TLS_CLIENT_HALF_DANE ||
		    !span_equal_cstr_nocase(name, level_names[i]))
			continue;
		*level = (enum tls_client_level)i;
		return true;
	}
	return false;
}

const char *
tls_client_level_name(enum tls_client_level level)
{
	return level_names[level];
}

bool
tls_client_level_is_mandatory(enum tls_client_level level)
{
	return level >= TLS_CLIENT_ENCRYPT;
}

const char *
tls_security_name(enum tls_security s)
{
	static const char *const names[] = {
	    "None", "Anonymous", "Untrusted", "Trusted", "Verified",
	};

	return names[s];
}

bool
tls_client_satisfied(enum tls_client_level level,
		     const struct tls_client_result *result)
{
	switch (level) {
	case TLS_CLIENT_NONE:
	case TLS_CLIENT_MAY:
		return true;
	case TLS_CLIENT_ENCRYPT:
		return result->security >= TLS_SECURITY_ANONYMOUS;
	case TLS_CLIENT_DANE:
		return result->security == TLS_SECURITY_VERIFIED ||
		       result->unusable;
	case TLS_CLIENT_HALF_DANE:
		return result->security >= TLS_SECURITY_TRUSTED ||
		       result->unusable;
	default:
		return result->security == TLS_SECURITY_VERIFIED;
	}
}

void
tls_client_result_free(struct tls_client_result *r)
{
	tls_facts_free(&r->facts);
	buf_free(&r->error);
}
