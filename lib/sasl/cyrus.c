/* SPDX-License-Identifier: MIT */
#include "lib/sasl/cyrus.h"

#include "lib/base/log.h"

/* SASL_LOG_PASS and what lies around it shows passwords: never logged. */
static int
on_log(void *context, int level, const char *text)
{
	(void)context;
	switch (level) {
	case SASL_LOG_ERR:
		log_warn("SASL authentication problem: %s", text);
		break;
	case SASL_LOG_FAIL:
		log_warn("SASL authentication failure: %s", text);
		break;
	case SASL_LOG_WARN:
		log_warn("SASL authentication warning: %s", text);
		break;
	case SASL_LOG_NOTE:
		log_debug("SASL authentication info: %s", text);
		break;
	default:
		break;
	}
	return SASL_OK;
}

sasl_callback_t
cyrus_log_callback(void)
{
	int (*fn)(void *, int, const char *) = on_log;
	sasl_callback_t out = {SASL_CB_LOG, NULL, NULL};

	memcpy(&out.proc, &fn, sizeof(fn));
	return out;
}

static unsigned
library_flags(const struct authn_policy *p)
{
	static const struct {
		unsigned ours, flag;
	} avoid[] = {{MECH_PLAINTEXT, SASL_SEC_NOPLAINTEXT},
		     {MECH_ACTIVE, SASL_SEC_NOACTIVE},
		     {MECH_DICTIONARY, SASL_SEC_NODICTIONARY},
		     {MECH_ANONYMOUS, SASL_SEC_NOANONYMOUS}},
	  need[] = {{MECH_FORWARD_SECRECY, SASL_SEC_FORWARD_SECRECY},
		    {MECH_MUTUAL_AUTH, SASL_SEC_MUTUAL_AUTH}};
	unsigned out = 0;

	for (size_t i = 0; i < sizeof(avoid) / sizeof(avoid[0]); i++)
		if (p->avoid & avoid[i].ours)
			out |= avoid[i].flag;
	for (size_t i = 0; i < sizeof(need) / sizeof(need[0]); i++)
		if (p->need & need[i].ours)
			out |= need[i].flag;
	return out;
}

sasl_security_properties_t
cyrus_properties(const struct authn_policy *p)
{
	return (sasl_security_properties_t){
	    .max_ssf = 0,
	    .security_flags = library_flags(p),
	};
}
