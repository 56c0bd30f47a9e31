/* SPDX-License-Identifier: MIT */
/* Restrictions that ask the DNS. */
#include "smtpd/smtpd_rules.h"

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "smtpd/smtpd_dns.h"

enum existence {
	EXISTS,
	NOT_FOUND,
	NO_MAIL, /* null MX, RFC 7505 */
	UNSURE,  /* a look-up failed */
};

#define UNUSED_ARGS (void)s, (void)r, (void)about, (void)why

static enum smtpd_dns_status
ask(const char *name, enum dns_type type, bool *null_mx)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum smtpd_dns_status st = smtpd_dns_query(name, type, &a);

	if (null_mx && st == SMTPD_DNS_FOUND && a.n == 1 &&
	    a.rr[0].text[0] == '\0')
		*null_mx = true;
	dns_answer_free(&a);
	return st;
}

/* The filter left nothing to judge by. */
static enum existence
no_opinion(const char *name, enum smtpd_dns_status st)
{
	log_warn("%s: MX or address lookup error: %s", name,
		 st == SMTPD_DNS_DROPPED ? "DNS reply filter drops all results"
					 : smtpd_dns_reason(st));
	return EXISTS;
}

/* Has name one of the record types? The order is that of types. */
static enum existence
look_up(const char *name, const enum dns_type *types, size_t n)
{
	bool unsure = false;

	for (size_t i = 0; i < n; i++) {
		bool null_mx = false;
		enum smtpd_dns_status st = ask(name, types[i], &null_mx);

		if (st == SMTPD_DNS_FOUND)
			return types[i] == DNS_MX && null_mx ? NO_MAIL : EXISTS;
		if (st == SMTPD_DNS_NO_NAME)
			return unsure ? UNSURE : NOT_FOUND;
		if (st >= SMTPD_DNS_DROPPED)
			return no_opinion(name, st);
		if (st == SMTPD_DNS_RETRY)
			unsure = true;
	}
	return unsure ? UNSURE : NOT_FOUND;
}

static enum existence
mail_domain_exists(const char *name)
{
	static const enum dns_type types[] = {DNS_MX, DNS_A, DNS_AAAA};

	return look_up(name, types, 3);
}

static enum existence
host_exists(const char *name)
{
	static const enum dns_type types[] = {DNS_A, DNS_AAAA, DNS_MX};

	return look_up(name, types, 3);
}

/* The parameters *_tempfail_action: defer now, or if all else permits. */
static enum verdict
tempfail(struct smtpd *s, const char *action, struct why *why)
{
	if (!strcasecmp(action, "defer") || !strcasecmp(action, "reject"))
		return VERDICT_REJECT;
	rule_defer_if(s, &s->defer_if_permit, why);
	return VERDICT_DUNNO;
}

/* ---- addresses ---- */

/* Is this host the final destination, so that the DNS does not matter? */
static bool
is_final(struct span domain, struct why *why)
{
	enum addr_class class;

	return route_class_of(domain, &class, why) == TABLE_FOUND &&
	       (class == CLASS_LOCAL || class == CLASS_ALIAS ||
		class == CLASS_VIRTUAL);
}

static enum verdict
unknown_domain(struct smtpd *s, struct span addr, const char *what, bool sender,
	       struct why *why)
{
	struct buf domain = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;
	const char *detail = sender ? "1.8" : "1.2";

	buf_append_span(&domain, addr_domain(addr));
	if (domain.len == 0 || domain.data[0] == '[' ||
	    is_final(buf_span(&domain), why))
		goto out;
	switch (mail_domain_exists(domain.data)) {
	case EXISTS:
		break;
	case NO_MAIL:
		why_set_code(why, sender ? 550 : 556,
			     sender ? "5.7.27" : "5.1.10",
			     "<%.*s>: %s rejected: Domain %s does not accept "
			     "mail (nullMX)",
			     SPAN_ARG(addr), what, domain.data);
		v = VERDICT_REJECT;
		break;
	case NOT_FOUND:
		rule_set_why(why, conf->unknown_address_reject_code, detail,
			     "<%.*s>: %s rejected: Domain not found",
			     SPAN_ARG(addr), what);
		v = VERDICT_REJECT;
		break;
	case UNSURE:
		rule_set_why(why, 450, detail,
			     "<%.*s>: %s rejected: Domain not found",
			     SPAN_ARG(addr), what);
		v = tempfail(s, conf->unknown_address_tempfail_action, why);
		break;
	}
out:
	buf_free(&domain);
	return v;
}

RULE_FN(check_unknown_sender_domain)
{
	UNUSED_ARGS;
	return unknown_domain(s, buf_span(&s->mail.sender), "Sender address",
			      true, why);
}

RULE_FN(check_unknown_recipient_domain)
{
	UNUSED_ARGS;
	return unknown_domain(s, buf_span(&s->recipient), "Recipient address",
			      false, why);
}

/* ---- hosts ---- */

RULE_FN(check_unknown_helo)
{
	const char *name = buf_cstr(&s->helo);
	enum existence found;

	UNUSED_ARGS;
	if (name[0] == '[')
		return check_invalid_helo(s, r, about, why);
	found =
	    addr_valid_hostname(span_of(name)) ? host_exists(name) : NOT_FOUND;
	if (found == EXISTS || found == NO_MAIL)
		return VERDICT_DUNNO;
	rule_set_why(
	    why, found == UNSURE ? 450 : conf->unknown_hostname_reject_code,
	    "7.1", "<%s>: Helo command rejected: Host not found", name);
	if (found == UNSURE)
		return tempfail(s, conf->unknown_helo_hostname_tempfail_action,
				why);
	return VERDICT_REJECT;
}

RULE_FN(check_unknown_client)
{
	UNUSED_ARGS;
	if (s->peer.name_status == PEER_OK)
		return VERDICT_DUNNO;
	rule_set_why(
	    why,
	    s->peer.name_status == PEER_TEMP ? 450
					     : conf->unknown_client_reject_code,
	    "7.25", "Client host rejected: cannot find your hostname, [%s]",
	    buf_cstr(&s->peer.addr));
	return VERDICT_REJECT;
}

RULE_FN(check_unknown_reverse_client)
{
	UNUSED_ARGS;
	if (s->peer.reverse_status == PEER_OK)
		return VERDICT_DUNNO;
	rule_set_why(why,
		     s->peer.reverse_status == PEER_TEMP
			 ? 450
			 : conf->unknown_client_reject_code,
		     "7.1",
		     "Client host rejected: cannot find your reverse "
		     "hostname, [%s]",
		     buf_cstr(&s->peer.addr));
	return VERDICT_REJECT;
}
