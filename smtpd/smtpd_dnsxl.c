/* SPDX-License-Identifier: MIT */
/*
 * Restrictions that ask DNS lists (RFC 5782): reject_rbl_client,
 * reject_rhsbl_*, permit_dnswl_client, permit_rhswl_client.
 */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_action.h"
#include "smtpd/smtpd_dns.h"
#include "smtpd/smtpd_dnsxl.h"
#include "smtpd/smtpd_route.h"
#include "smtpd/smtpd_text.h"

enum {
	/* Answers that a session keeps; more than that are asked again. */
	KEPT_MAX = 1000,
	/* A reply line has 512 bytes (RFC 5321 section 4.5.3.1.5). */
	REASON_MAX = 500,
	/* One character string (RFC 1035 section 3.3): a list that wants to
	 * say more has a page on the web. */
	TEXT_MAX = 255,
};

/* What a list said about one name. */
struct entry {
	bool failed;
	struct strvec addresses;
	char *reason; /* NULL: not asked for */
};

static struct maps *replies;

#define UNUSED_ARGS (void)s, (void)r, (void)about, (void)why

void
smtpd_dnsxl_open(void)
{
	replies = maps_open("rbl_reply_maps", conf->rbl_reply_maps,
			    TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
}

/* ---- answers ---- */

static void
free_entry(void *arg)
{
	struct entry *e = arg;

	strvec_free(&e->addresses);
	free(e->reason);
	free(e);
}

void
smtpd_dnsxl_forget(struct smtpd *s)
{
	if (s->dns_lists)
		htab_free(s->dns_lists, free_entry);
	s->dns_lists = NULL;
}

static struct entry *
ask(const char *name)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	struct buf text = BUF_INIT;
	struct entry *e = mem_alloc(sizeof(*e));
	enum smtpd_dns_status st = smtpd_dns_query(name, DNS_A, &a);

	*e = (struct entry){0};
	for (size_t i = 0; st == SMTPD_DNS_FOUND && i < a.n; i++)
		strvec_add(&e->addresses, a.rr[i].text);
	if (st >= SMTPD_DNS_RETRY) {
		e->failed = true;
		smtpd_dns_explain(st, name, DNS_A, &text);
		log_warn("%s: RBL lookup error: %s", name, buf_cstr(&text));
	}
	buf_free(&text);
	dns_answer_free(&a);
	return e;
}

/* The session remembers, also what failed. */
static struct entry *
look_up(struct smtpd *s, const char *name)
{
	struct entry *e;

	if (s->dns_lists && htab_count(s->dns_lists) >= KEPT_MAX)
		smtpd_dnsxl_forget(s);
	if (!s->dns_lists)
		s->dns_lists = htab_new();
	e = htab_get(s->dns_lists, span_of(name));
	if (!e) {
		e = ask(name);
		htab_put(s->dns_lists, span_of(name), e);
	}
	return e;
}

/* The TXT records, one after another. */
static const char *
reason_of(struct entry *e, const char *name)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	struct buf text = BUF_INIT;

	if (e->reason)
		return e->reason;
	if (smtpd_dns_query(name, DNS_TXT, &a) == SMTPD_DNS_FOUND)
		for (size_t i = 0; i < a.n && text.len < REASON_MAX; i++)
			buf_printf(&text, "%s%.*s", i ? " / " : "", TEXT_MAX,
				   a.rr[i].text);
	buf_truncate(&text, REASON_MAX);
	e->reason = mem_strdup(buf_cstr(&text));
	buf_free(&text);
	dns_answer_free(&a);
	return e->reason;
}

static bool
matches(const struct entry *e, const struct dnsxl_filter *filter)
{
	for (size_t i = 0; i < e->addresses.n; i++)
		if (!filter || dnsxl_filter_match(filter, e->addresses.v[i]))
			return true;
	return false;
}

/* ---- refusals ---- */

/* false: a table of replies cannot be used. */
static bool
fill_template(struct smtpd *s, const struct text_rbl *rbl, struct buf *out)
{
	struct buf template = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st = TABLE_ABSENT;
	unsigned unknown;

	if (replies)
		st = maps_get(replies, span_of(rbl->key), &template, &why);
	if (st == TABLE_FOUND &&
	    (!smtpd_text_expand(s, rbl, buf_cstr(&template), out, &unknown) ||
	     unknown)) {
		log_warn("rbl_reject_reply: bad rbl reply template for domain "
			 "%s: %s",
			 rbl->domain, buf_cstr(&template));
		st = TABLE_ABSENT;
		buf_reset(out);
	}
	if (st == TABLE_ABSENT &&
	    !smtpd_text_expand(s, rbl, conf->default_rbl_reply, out, &unknown))
		buf_reset(out);
	buf_free(&template);
	why_free(&why);
	return st != TABLE_RETRY;
}

static enum verdict
refuse(struct smtpd *s, const struct text_rbl *rbl, enum rule_list_kind kind,
       struct why *why)
{
	struct buf reply = BUF_INIT;
	struct span text = span_of("");
	int code = 450;

	if (!fill_template(s, rbl, &reply)) {
		buf_free(&reply);
		return rule_config_error(s, why);
	}
	if (!smtpd_text_split(buf_span(&reply), &code, &text))
		log_warn("rbl response code configuration error: %s",
			 buf_cstr(&reply));
	smtpd_action_set_reply(why, code, text, kind, "Service unavailable");
	buf_free(&reply);
	return VERDICT_REJECT;
}

static enum verdict
reject_listed(struct smtpd *s, const struct rule *r, const char *name,
	      struct text_rbl rbl, enum rule_list_kind kind, struct why *why)
{
	struct entry *e = look_up(s, name);

	if (e->failed || !matches(e, r->filter))
		return VERDICT_DUNNO;
	rbl.reason = reason_of(e, name);
	return refuse(s, &rbl, kind, why);
}

/* ---- addresses ---- */

static enum verdict
reject_address(struct smtpd *s, const struct rule *r, const char *domain,
	       const char *key, struct why *why)
{
	const char *addr = buf_cstr(&s->peer.addr);
	struct text_rbl rbl = {"Client host", addr, domain, key, ""};
	struct buf name = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;

	if (dnsxl_address_name(addr, span_of(domain), &name))
		v = reject_listed(s, r, name.data, rbl, LIST_CLIENT, why);
	buf_free(&name);
	return v;
}

RULE_FN(check_rbl_client)
{
	UNUSED_ARGS;
	return reject_address(s, r, r->domain, r->spec, why);
}

RULE_FN(check_maps_rbl)
{
	static bool warned; /* once per process */
	struct strvec domains = STRVEC_INIT;
	enum verdict v = VERDICT_DUNNO;

	UNUSED_ARGS;
	if (!warned)
		log_warn(
		    "support for restriction \"%s\" will be removed from "
		    "Postfix; use \"reject_rbl_client domain-name\" instead",
		    r->def->name);
	warned = true;
	strvec_split(&domains, span_of(conf->maps_rbl_domains), ", \t\r\n",
		     false);
	for (size_t i = 0; i < domains.n && v == VERDICT_DUNNO; i++)
		v = reject_address(s, r, domains.v[i], domains.v[i], why);
	strvec_free(&domains);
	return v;
}

/* ---- names ---- */

static bool
is_numeric(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.data[i] != '.' && (s.data[i] < '0' || s.data[i] > '9'))
			return false;
	return true;
}

/* Append "name.domain"; false: there is no name that a list could have. */
static bool
list_name(struct span name, const char *domain, struct buf *out)
{
	if (!addr_valid_hostname(name) || is_numeric(name))
		return false;
	buf_append_span(out, name);
	buf_printf(out, ".%s", domain);
	return true;
}

RULE_FN(check_rhsbl)
{
	struct dns_name_of d = smtpd_dnsxl_subject(s, r->row->value);
	struct text_rbl rbl = {d.class, d.value, r->domain, r->spec, ""};
	struct buf name = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;

	UNUSED_ARGS;
	if (list_name(d.domain, r->domain, &name))
		v = reject_listed(s, r, name.data, rbl, d.kind, why);
	buf_free(&name);
	return v;
}

struct dns_name_of
smtpd_dnsxl_subject(struct smtpd *s, enum dns_subject which)
{
	struct span client = buf_span(&s->peer.name);
	struct span reverse = buf_span(&s->peer.reverse_name);
	struct span none = span_of("");

	switch (which) {
	case DNS_OF_CLIENT:
		if (s->peer.name_status != PEER_OK)
			client = none;
		return (struct dns_name_of){client, "Client host",
					    buf_cstr(&s->peer.name),
					    LIST_CLIENT};
	case DNS_OF_REVERSE_CLIENT:
		if (s->peer.reverse_status != PEER_OK)
			reverse = none;
		return (struct dns_name_of){reverse, "Unverified Client host",
					    buf_cstr(&s->peer.reverse_name),
					    LIST_CLIENT};
	case DNS_OF_HELO:
		return (struct dns_name_of){buf_span(&s->helo), "Helo command",
					    buf_cstr(&s->helo), LIST_HELO};
	case DNS_OF_SENDER:
		return (struct dns_name_of){
		    addr_domain(buf_span(&s->mail.sender)), "Sender address",
		    buf_cstr(&s->mail.sender), LIST_SENDER};
	default:
		return (struct dns_name_of){
		    addr_domain(buf_span(&s->recipient)), "Recipient address",
		    buf_cstr(&s->recipient), LIST_RECIPIENT};
	}
}

/* ---- lists that permit ---- */

/* Such a list may not open the relay, and to be refused because one cannot
 * be asked is no verdict of anybody. */
static enum verdict
permit_listed(struct smtpd *s, const struct rule *r, const char *name,
	      const char *what, struct why *why)
{
	struct entry *e;

	if (s->recipient.len && smtpd_route_authorized(s, why) != TABLE_FOUND)
		return VERDICT_DUNNO;
	e = look_up(s, name);
	if (!e->failed)
		return matches(e, r->filter) ? VERDICT_OK : VERDICT_DUNNO;
	why_set_code(why, 450, "4.7.1",
		     "<%s>: Client host rejected: Service unavailable", what);
	rule_defer_if(s, &s->defer_if_reject, why);
	return VERDICT_DUNNO;
}

RULE_FN(check_dnswl_client)
{
	const char *addr = buf_cstr(&s->peer.addr);
	struct buf name = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;

	UNUSED_ARGS;
	if (dnsxl_address_name(addr, span_of(r->domain), &name))
		v = permit_listed(s, r, name.data, addr, why);
	buf_free(&name);
	return v;
}

RULE_FN(check_rhswl_client)
{
	struct dns_name_of d = smtpd_dnsxl_subject(s, DNS_OF_CLIENT);
	struct buf name = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;

	UNUSED_ARGS;
	if (list_name(d.domain, r->domain, &name))
		v = permit_listed(s, r, name.data, d.value, why);
	buf_free(&name);
	return v;
}
