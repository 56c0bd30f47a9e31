/* SPDX-License-Identifier: MIT */
/* permit_mx_backup: is this host a backup mail exchanger of the recipient? */
#include "lib/addr/addr.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "smtpd/smtpd_dns.h"
#include "smtpd/smtpd_route.h"
#include "smtpd/smtpd_rules.h"

static struct match_list *networks;

void
smtpd_backup_open(void)
{
	networks = match_list_open(
	    "permit_mx_backup_networks", conf->permit_mx_backup_networks,
	    MATCH_HOST,
	    conf_list_has(conf->parent_domain_matches_subdomains,
			  "permit_mx_backup_networks")
		? MATCH_PARENT
		: 0);
}

enum answer { NO, YES, UNSURE };

/* The reply when nothing else permits: it may be permitted later. */
static enum answer
unsure(struct smtpd *s, const char *what, const char *name, const char *reason,
       struct why *why)
{
	why_set_code(why, 450, "4.4.4",
		     "<%s>: Recipient address rejected: Unable to look up mail "
		     "exchanger %s%s: %s",
		     buf_cstr(&s->recipient), what, name, reason);
	rule_defer_if(s, &s->defer_if_reject, why);
	return UNSURE;
}

/* Has host an address of this host, or (trusted) of a listed network? */
static enum answer
has_address(struct smtpd *s, const char *host, bool trusted, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum smtpd_dns_status st = smtpd_dns_addresses(host, &a);
	enum answer result = NO;

	if (st != SMTPD_DNS_FOUND)
		result =
		    unsure(s, "host ", host, smtpd_dns_host_reason(st), why);
	for (size_t i = 0; i < a.n && result == NO; i++) {
		enum table_status found = TABLE_ABSENT;

		if (!trusted)
			found = route_is_own_address(a.rr[i].text)
				    ? TABLE_FOUND
				    : TABLE_ABSENT;
		else
			found = match_list_has_host(networks, host,
						    a.rr[i].text, why);
		if (found == TABLE_FOUND)
			result = YES;
	}
	dns_answer_free(&a);
	return result;
}

static bool
is_primary(const struct dns_answer *mx, size_t i)
{
	for (size_t n = 0; n < mx->n; n++)
		if (mx->rr[n].preference < mx->rr[i].preference)
			return false;
	return true;
}

/* This host is among the exchangers, and none of the primary ones. */
static enum answer
is_backup(struct smtpd *s, const struct dns_answer *mx, struct why *why)
{
	enum answer result = NO;

	for (size_t i = 0; i < mx->n; i++) {
		enum answer own;

		if (mx->rr[i].text[0] == '\0') /* null MX */
			return NO;
		own = has_address(s, mx->rr[i].text, false, why);
		if (own == UNSURE)
			return UNSURE;
		if (own == YES && is_primary(mx, i))
			return NO;
		if (own == YES)
			result = YES;
	}
	return result;
}

static enum answer
primaries_trusted(struct smtpd *s, const struct dns_answer *mx, struct why *why)
{
	if (match_list_is_empty(networks))
		return YES;
	for (size_t i = 0; i < mx->n; i++) {
		enum answer known;

		if (!is_primary(mx, i))
			continue;
		known = has_address(s, mx->rr[i].text, true, why);
		if (known != YES)
			return known;
	}
	return YES;
}

RULE_FN(check_mx_backup)
{
	struct dns_answer mx = DNS_ANSWER_INIT;
	struct buf domain = BUF_INIT;
	enum verdict v = VERDICT_DUNNO;
	enum table_status local = smtpd_route_authorized(s, why);
	enum smtpd_dns_status st;

	(void)r, (void)about;
	if (local != TABLE_ABSENT)
		return local == TABLE_FOUND ? VERDICT_OK : VERDICT_REJECT;
	/* What the address came to: user%domain@here is user@domain. */
	if (!s->route_known ||
	    smtpd_route_steered(buf_span(&s->route.recipient)))
		goto out;
	buf_set(&domain, addr_domain(buf_span(&s->route.recipient)));
	if (domain.len == 0 || domain.data[0] == '[')
		goto out;
	st = smtpd_dns_query(domain.data, DNS_MX, &mx);
	if (st >= SMTPD_DNS_RETRY)
		unsure(s, "information", "", smtpd_dns_reason(st), why);
	else if (st == SMTPD_DNS_FOUND && mx.n <= SMTPD_DNS_HOSTS_MAX &&
		 is_backup(s, &mx, why) == YES &&
		 primaries_trusted(s, &mx, why) == YES)
		v = VERDICT_OK;
out:
	buf_free(&domain);
	dns_answer_free(&mx);
	return v;
}
