/* SPDX-License-Identifier: MIT */
/* Restrictions about who has logged in, and whose sender address it is. */
#include "smtpd/smtpd_rules.h"

#include <strings.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "smtpd/smtpd_sasl.h"

static struct maps *owners;

void
smtpd_checks_sasl_open(void)
{
	owners =
	    maps_open("smtpd_sender_login_maps", conf->smtpd_sender_login_maps,
		      TABLE_FOLD_FIXED | TABLE_FOLD_REGEX |
			  (conf->smtputf8_enable ? TABLE_UTF8 : 0));
}

static bool
no_sasl(const char *restriction)
{
	if (smtpd_sasl_enabled())
		return false;
	log_warn("restriction `%s' ignored: no SASL support", restriction);
	return true;
}

RULE_FN(check_sasl_authenticated)
{
	(void)r, (void)about, (void)why;
	return smtpd_sasl_enabled() && s->sasl.username.len ? VERDICT_OK
							    : VERDICT_DUNNO;
}

/* ---- sender logins ---- */

static bool
is_owner(const struct smtpd *s, const struct buf *list)
{
	struct span rest = buf_span(list), name;

	while (span_next_token(&rest, ", \t\r\n", &name))
		if (span_equal_nocase(name, buf_span(&s->sasl.username)))
			return true;
	return false;
}

static enum verdict
refuse(struct smtpd *s, struct why *why)
{
	const char *sender = buf_cstr(&s->mail.sender);

	if (s->sasl.username.len)
		why_set_code(why, 553, "5.7.1",
			     "<%s>: Sender address rejected: not owned by "
			     "user %s",
			     sender, buf_cstr(&s->sasl.username));
	else
		why_set_code(why, 553, "5.7.1",
			     "<%s>: Sender address rejected: not logged in",
			     sender);
	return VERDICT_REJECT;
}

/* unknown_too: an address that nobody owns is refused as well. */
static enum verdict
compare_owner(struct smtpd *s, bool unknown_too, struct why *why)
{
	struct buf list = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;

	if (s->mail.sender.len == 0)
		return v;
	switch (route_addr_find(owners, buf_span(&s->mail.sender),
				ADDR_FIND_DEFAULT, &list, NULL, why)) {
	case TABLE_FOUND:
		if (s->sasl.username.len == 0 || !is_owner(s, &list))
			v = refuse(s, why);
		break;
	case TABLE_ABSENT:
		if (unknown_too)
			v = refuse(s, why);
		break;
	case TABLE_RETRY:
		why_reset(why); /* was logged */
		v = rule_table_retry(s, buf_cstr(&s->mail.sender), why);
		break;
	}
	buf_free(&list);
	return v;
}

RULE_FN(check_auth_sender_login)
{
	(void)r, (void)about;
	if (no_sasl("reject_authenticated_sender_login_mismatch") ||
	    s->sasl.username.len == 0)
		return VERDICT_DUNNO;
	return compare_owner(s, true, why);
}

RULE_FN(check_unauth_sender_login)
{
	(void)r, (void)about;
	if (no_sasl("reject_unauthenticated_sender_login_mismatch") ||
	    s->sasl.username.len)
		return VERDICT_DUNNO;
	return compare_owner(s, false, why);
}

RULE_FN(check_known_sender_login)
{
	(void)r, (void)about;
	if (no_sasl("reject_known_sender_login_mismatch"))
		return VERDICT_DUNNO;
	return compare_owner(s, false, why);
}

RULE_FN(check_sender_login)
{
	enum verdict v = check_auth_sender_login(s, r, about, why);

	return v == VERDICT_DUNNO ? check_unauth_sender_login(s, r, about, why)
				  : v;
}
