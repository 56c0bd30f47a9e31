/* SPDX-License-Identifier: MIT */
/* Restrictions about TLS and certificates of clients. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_rules.h"
#include "smtpd/smtpd_tls.h"

static struct maps *relay_clientcerts;

void
smtpd_checks_tls_open(void)
{
	relay_clientcerts = maps_open(
	    "relay_clientcerts", conf->relay_clientcerts, TABLE_FOLD_FIXED);
}

RULE_FN(check_plaintext_session)
{
	(void)r;
	(void)about;
	if (s->tls.active)
		return VERDICT_DUNNO;
	rule_set_why(why, conf->plaintext_reject_code, "7.1",
		     "Session encryption is required");
	return VERDICT_REJECT;
}

/* Whoever signed it: the fingerprint is what is trusted. */
static enum verdict
find_fingerprint(struct smtpd *s, struct why *why)
{
	const struct buf *key[] = {&s->tls.cert_fingerprint,
				   &s->tls.key_fingerprint};
	struct buf value = BUF_INIT;
	enum table_status st = TABLE_ABSENT;
	enum verdict v = VERDICT_DUNNO;

	for (size_t i = 0; i < 2 && st == TABLE_ABSENT; i++) {
		if (key[i]->len)
			st = maps_get(relay_clientcerts, buf_span(key[i]),
				      &value, why);
		if (st == TABLE_RETRY)
			v = rule_table_retry(s, buf_cstr(key[i]), why);
	}
	buf_free(&value);
	return st == TABLE_FOUND ? VERDICT_OK : v;
}

RULE_FN(check_clientcerts)
{
	(void)about;
	if (!s->tls.active)
		return VERDICT_DUNNO;
	if (!smtpd_tls_asks_cert())
		log_warn("%s is requested, but \"smtpd_tls_ask_ccert = no\"",
			 r->def->name);
	/* permit_tls_all_clientcerts: by an authority that we trust */
	if (r->row->value && s->tls.cert_trusted)
		return VERDICT_OK;
	return find_fingerprint(s, why);
}
