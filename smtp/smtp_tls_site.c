/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_site.h"

#include "lib/base/log.h"

enum { NOT_FOUND = -1 };

static bool
look_up(struct maps *m, bool lmtp, const char *what, const char *key,
	int *level, struct smtp_tls_policy *p)
{
	static const struct {
		const char *word;
		enum tls_client_level level;
	} words[] = {
	    {"NONE", TLS_CLIENT_NONE},
	    {"MAY", TLS_CLIENT_MAY},
	    {"MUST_NOPEERMATCH", TLS_CLIENT_ENCRYPT},
	    {"MUST", TLS_CLIENT_VERIFY},
	};
	const char *param = lmtp ? "lmtp_tls_per_site" : "smtp_tls_per_site";
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok = true;

	switch (maps_get(m, span_of(key), &value, &why)) {
	case TABLE_FOUND:
		ok = false;
		for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
			if (span_equal_cstr_nocase(buf_span(&value),
						   words[i].word)) {
				*level = (int)words[i].level;
				ok = true;
			}
		if (!ok) {
			log_warn("%s: unknown TLS policy '%s' for %s %s", param,
				 buf_cstr(&value), what, key);
			why_set(&p->why, "4.7.5",
				"client TLS configuration problem");
		}
		break;
	case TABLE_RETRY:
		log_warn("%s: %s \"%s\": per-site table lookup error", param,
			 what, key);
		why_set(&p->why, "4.3.0", "Temporary lookup error");
		ok = false;
		break;
	case TABLE_ABSENT:
		break;
	}
	buf_free(&value);
	why_free(&why);
	return ok;
}

/* MAY gives way to whatever is more specific; of the others the stricter one
 * counts. */
static int
merge(int a, int b)
{
	if (a == NOT_FOUND || b == NOT_FOUND)
		return a == NOT_FOUND ? b : a;
	if (a == TLS_CLIENT_MAY || b == TLS_CLIENT_MAY)
		return a == TLS_CLIENT_MAY ? b : a;
	return a > b ? a : b;
}

bool
smtp_tls_site_find(struct maps *m, bool lmtp, const char *nexthop,
		   const char *host, struct smtp_tls_policy *p)
{
	int site = NOT_FOUND, server = NOT_FOUND;

	if (!look_up(m, lmtp, "next-hop destination", nexthop, &site, p) ||
	    !look_up(m, lmtp, "server hostname", host, &server, p))
		return false;
	site = merge(site, server);
	if (site == NOT_FOUND ||
	    (site == TLS_CLIENT_MAY && p->level > TLS_CLIENT_MAY))
		return true;
	p->level = (enum tls_client_level)site;
	p->origin = SMTP_TLS_PER_SITE;
	buf_reset(&p->reason);
	buf_printf(&p->reason, "%s_tls_per_site: %s", lmtp ? "lmtp" : "smtp",
		   nexthop);
	return true;
}
