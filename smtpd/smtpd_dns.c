/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_dns.h"

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/filter.h"
#include "lib/dns/wire.h"
#include "lib/table/cidr.h"
#include "lib/table/table.h"

static const char filter_name[] = "smtpd_dns_reply_filter";
static struct maps *filter;

void
smtpd_dns_open(void)
{
	filter = dns_filter_open(filter_name, conf->smtpd_dns_reply_filter);
}

static enum smtpd_dns_status
translate(enum dns_status st)
{
	switch (st) {
	case DNS_FOUND:
		return SMTPD_DNS_FOUND;
	case DNS_NO_DATA:
		return SMTPD_DNS_NO_DATA;
	case DNS_RETRY:
		return SMTPD_DNS_RETRY;
	default:
		return SMTPD_DNS_NO_NAME;
	}
}

/* ---- questions ---- */

enum smtpd_dns_status
smtpd_dns_query(const char *name, enum dns_type type, struct dns_answer *a)
{
	enum smtpd_dns_status st =
	    translate(dns_query(name, type, 0, SMTPD_DNS_SECONDS, a));

	if (st != SMTPD_DNS_FOUND)
		return st;
	switch (dns_filter_apply(filter_name, filter, type, a)) {
	case DNS_FILTER_KEPT:
		break;
	case DNS_FILTER_DROPPED:
		return SMTPD_DNS_DROPPED;
	case DNS_FILTER_BAD:
		return SMTPD_DNS_BAD_FILTER;
	}
	return st;
}

static void
add_address(struct dns_answer *a, const char *text)
{
	dns_answer_add(a)->text = mem_strdup(text);
}

enum smtpd_dns_status
smtpd_dns_addresses(const char *host, struct dns_answer *a)
{
	static const struct {
		const char *protocol;
		enum dns_type type;
	} kinds[] = {{"ipv6", DNS_AAAA}, {"ipv4", DNS_A}};
	enum smtpd_dns_status worst = SMTPD_DNS_NO_NAME;
	struct cidr address;

	dns_answer_free(a);
	if (cidr_parse_address(span_of(host), &address)) {
		add_address(a, host);
		return SMTPD_DNS_FOUND;
	}
	for (size_t i = 0; i < 2; i++) {
		struct dns_answer one = DNS_ANSWER_INIT;
		enum smtpd_dns_status st;

		if (!conf_list_has(conf->inet_protocols, "all") &&
		    !conf_list_has(conf->inet_protocols, kinds[i].protocol))
			continue;
		st = translate(dns_query(host, kinds[i].type, DNS_HOSTS,
					 SMTPD_DNS_SECONDS, &one));
		for (size_t n = 0; st == SMTPD_DNS_FOUND && n < one.n; n++)
			add_address(a, one.rr[n].text);
		if (st > worst)
			worst = st;
		dns_answer_free(&one);
	}
	return a->n ? SMTPD_DNS_FOUND : worst;
}

/* ---- words ---- */

const char *
smtpd_dns_reason(enum smtpd_dns_status status)
{
	switch (status) {
	case SMTPD_DNS_FOUND:
		return "";
	case SMTPD_DNS_NO_NAME:
		return "Host not found";
	case SMTPD_DNS_NO_DATA:
		return "Host found but no data record of requested type";
	case SMTPD_DNS_RETRY:
		return "Host not found, try again";
	case SMTPD_DNS_DROPPED:
		return "DNS reply filter policy";
	case SMTPD_DNS_BAD_FILTER:
		break;
	}
	return "Invalid DNS reply filter syntax";
}

const char *
smtpd_dns_host_reason(enum smtpd_dns_status status)
{
	switch (status) {
	case SMTPD_DNS_NO_NAME:
		return "Name or service not known";
	case SMTPD_DNS_NO_DATA:
		return "No address associated with hostname";
	default:
		return "Temporary failure in name resolution";
	}
}

void
smtpd_dns_explain(enum smtpd_dns_status status, const char *name,
		  enum dns_type type, struct buf *out)
{
	if (status == SMTPD_DNS_DROPPED || status == SMTPD_DNS_BAD_FILTER)
		buf_printf(out, "Error looking up name=%s type=%s: %s", name,
			   dns_type_name(type),
			   status == SMTPD_DNS_DROPPED
			       ? "DNS reply filter drops all results"
			       : smtpd_dns_reason(status));
	else
		buf_printf(out,
			   "Host or domain name not found. Name service error "
			   "for name=%s type=%s: %s",
			   name, dns_type_name(type), smtpd_dns_reason(status));
}
