/* SPDX-License-Identifier: MIT */
/* Restrictions that need no DNS and no access table. */
#include "smtpd/smtpd_rules.h"

#include <time.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/table/cidr.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_route.h"

static struct match_list *mynetworks;

void
smtpd_checks_open(void)
{
	mynetworks = match_list_open(
	    "mynetworks", conf->mynetworks, MATCH_HOST,
	    conf_list_has(conf->parent_domain_matches_subdomains, "mynetworks")
		? MATCH_PARENT
		: 0);
	smtpd_checks_tls_open();
}

#define UNUSED_ARGS (void)s, (void)r, (void)about, (void)why

RULE_FN(check_permit)
{
	UNUSED_ARGS;
	return VERDICT_OK;
}

/* smtpd_rules_run() knows it by its function. */
RULE_FN(check_warn_if_reject)
{
	UNUSED_ARGS;
	return VERDICT_DUNNO;
}

RULE_FN(check_reject)
{
	UNUSED_ARGS;
	rule_set_why(why, conf->reject_code, "7.1",
		     "<%s>: %s rejected: Access denied", about->value,
		     about->name);
	return VERDICT_REJECT;
}

RULE_FN(check_defer)
{
	UNUSED_ARGS;
	rule_set_why(why, conf->defer_code, "3.2",
		     "<%s>: %s rejected: Try again later", about->value,
		     about->name);
	return VERDICT_REJECT;
}

RULE_FN(check_defer_if_permit)
{
	UNUSED_ARGS;
	why_set_code(why, 450, "4.7.0",
		     "<%s>: %s rejected: defer_if_permit "
		     "requested",
		     about->value, about->name);
	rule_defer_if(s, &s->defer_if_permit, why);
	return VERDICT_DUNNO;
}

RULE_FN(check_defer_if_reject)
{
	UNUSED_ARGS;
	why_set_code(why, 450, "4.7.0",
		     "<%s>: %s rejected: defer_if_reject "
		     "requested",
		     about->value, about->name);
	rule_defer_if(s, &s->defer_if_reject, why);
	return VERDICT_DUNNO;
}

RULE_FN(check_sleep)
{
	UNUSED_ARGS;
	stream_flush(&s->st);
	sleep((unsigned)r->seconds);
	return VERDICT_DUNNO;
}

RULE_FN(check_mynetworks)
{
	enum table_status st = match_list_has_host(
	    mynetworks, buf_cstr(&s->peer.name), buf_cstr(&s->peer.addr), why);

	UNUSED_ARGS;
	if (st == TABLE_RETRY) {
		rule_table_retry(s, buf_cstr(&s->peer.namaddr), why);
		rule_defer_if(s, &s->defer_if_reject, why);
	}
	return st == TABLE_FOUND ? VERDICT_OK : VERDICT_DUNNO;
}

static bool
is_address(const char *text)
{
	struct cidr addr;

	return cidr_parse_address(span_of(text), &addr);
}

RULE_FN(check_inet_interfaces)
{
	UNUSED_ARGS;
	return route_is_own_address(buf_cstr(&s->peer.addr)) ? VERDICT_OK
							     : VERDICT_DUNNO;
}

/* A client that gives an address for its name. */
RULE_FN(check_naked_address)
{
	UNUSED_ARGS;
	log_warn("restriction %s is deprecated. Use permit_mynetworks or "
		 "permit_sasl_authenticated instead",
		 r->def->name);
	return is_address(buf_cstr(&s->helo)) ? VERDICT_OK : VERDICT_DUNNO;
}

RULE_FN(check_permit_auth_destination)
{
	UNUSED_ARGS;
	return smtpd_route_authorized(s, why) == TABLE_FOUND ? VERDICT_OK
							     : VERDICT_DUNNO;
}

RULE_FN(check_unauth_destination)
{
	enum table_status st = smtpd_route_authorized(s, why);
	int code = conf->relay_domains_reject_code;
	static bool warned; /* once per process */

	UNUSED_ARGS;
	if ((r->def->flags & RULE_OLD) && !warned) {
		warned = true;
		log_warn("support for restriction \"%s\" will be removed from "
			 "Postfix; use \"reject_unauth_destination\" instead",
			 r->def->name);
	}
	if (st == TABLE_FOUND)
		return VERDICT_DUNNO;
	if (st == TABLE_RETRY)
		return VERDICT_REJECT;
	/* defer_unauth_destination: the same, of class 4. */
	if (r->row->value)
		code = 400 + code % 100;
	rule_set_why(why, code, "7.1", "<%s>: Relay access denied",
		     buf_cstr(&s->recipient));
	return VERDICT_REJECT;
}

RULE_FN(check_unlisted_recipient)
{
	UNUSED_ARGS;
	return smtpd_route_unlisted(s, buf_span(&s->recipient),
				    "Recipient address", why)
		   ? VERDICT_REJECT
		   : VERDICT_DUNNO;
}

RULE_FN(check_unlisted_sender)
{
	UNUSED_ARGS;
	if (s->mail.sender.len == 0)
		return VERDICT_DUNNO;
	return smtpd_route_unlisted(s, buf_span(&s->mail.sender),
				    "Sender address", why)
		   ? VERDICT_REJECT
		   : VERDICT_DUNNO;
}

/* ---- names ---- */

/* Without the final dot that RFC 1035 allows. */
static struct span
strip_dot(struct span s)
{
	if (s.len > 1 && s.data[s.len - 1] == '.')
		s.len--;
	return s;
}

static bool
is_literal(struct span s)
{
	return s.len && s.data[0] == '[';
}

static bool
is_dotted_number(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!strchr("0123456789.", s.data[i]) || !s.data[i])
			return false;
	return s.len > 0;
}

RULE_FN(check_invalid_helo)
{
	struct span name = strip_dot(buf_span(&s->helo));

	UNUSED_ARGS;
	if (is_literal(name)) {
		if (addr_valid_literal(name, NULL))
			return VERDICT_DUNNO;
		rule_set_why(why, conf->invalid_hostname_reject_code, "5.2",
			     "<%s>: Helo command rejected: invalid ip address",
			     buf_cstr(&s->helo));
		return VERDICT_REJECT;
	}
	if (addr_valid_hostname(name) || is_dotted_number(name))
		return VERDICT_DUNNO;
	rule_set_why(why, conf->invalid_hostname_reject_code, "5.2",
		     "<%s>: Helo command rejected: Invalid name",
		     buf_cstr(&s->helo));
	return VERDICT_REJECT;
}

RULE_FN(check_non_fqdn_helo)
{
	struct span name = strip_dot(buf_span(&s->helo));

	UNUSED_ARGS;
	if (is_literal(name))
		return check_invalid_helo(s, r, about, why);
	if (addr_valid_hostname(name) && span_find(name, '.') >= 0 &&
	    !is_dotted_number(name))
		return VERDICT_DUNNO;
	rule_set_why(why, conf->non_fqdn_reject_code, "5.2",
		     "<%s>: Helo command rejected: need fully-qualified "
		     "hostname",
		     buf_cstr(&s->helo));
	return VERDICT_REJECT;
}

static enum verdict
need_fqdn(struct span addr, const char *what, struct why *why)
{
	struct span domain = strip_dot(addr_domain(addr));

	if (addr_at(addr) >= 0 &&
	    (is_literal(domain) ||
	     (addr_valid_hostname(domain) && span_find(domain, '.') >= 0)))
		return VERDICT_DUNNO;
	rule_set_why(why, conf->non_fqdn_reject_code, "5.2",
		     "<%.*s>: %s rejected: need fully-qualified address",
		     SPAN_ARG(addr), what);
	return VERDICT_REJECT;
}

RULE_FN(check_non_fqdn_sender)
{
	UNUSED_ARGS;
	if (s->mail.sender.len == 0)
		return VERDICT_DUNNO;
	return need_fqdn(buf_span(&s->mail.sender), "Sender address", why);
}

RULE_FN(check_non_fqdn_recipient)
{
	UNUSED_ARGS;
	/* RFC 5321 section 4.5.1 lets postmaster stand alone. */
	if (span_equal_cstr_nocase(buf_span(&s->recipient), "postmaster"))
		return VERDICT_DUNNO;
	return need_fqdn(buf_span(&s->recipient), "Recipient address", why);
}

/* ---- behaviour ---- */

RULE_FN(check_unauth_pipelining)
{
	UNUSED_ARGS;
	if (!s->pipelining)
		return VERDICT_DUNNO;
	why_set_code(why, 503, "5.5.0",
		     "<%s>: %s rejected: Improper use of "
		     "SMTP command pipelining",
		     about->value, about->name);
	return VERDICT_REJECT;
}

RULE_FN(check_multi_recipient_bounce)
{
	UNUSED_ARGS;
	if (s->mail.sender.len || s->mail.n_rcpts <= 1)
		return VERDICT_DUNNO;
	rule_set_why(why, conf->multi_recipient_bounce_reject_code, "5.3",
		     "<%s>: %s rejected: Multi-recipient bounce", about->value,
		     about->name);
	return VERDICT_REJECT;
}
