/* SPDX-License-Identifier: MIT */
/*
 * check_*_{mx,ns,a}_access: access tables for the hosts behind a name, which
 * say who runs it when the name itself changes daily.
 */
#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/sys/io.h"
#include "lib/table/cidr.h"
#include "smtpd/smtpd_dns.h"
#include "smtpd/smtpd_dnsxl.h"
#include "smtpd/smtpd_map.h"

#define UNUSED_ARGS (void)s, (void)r, (void)about, (void)why

/* One such check. */
struct hosts {
	struct lookup l;
	const char *type; /* "MX", "NS"; NULL: the name's own addresses */
	struct dns_name_of of;
	int64_t deadline;
};

/* ---- one host ---- */

/* A name that came from the DNS: can it be that of a host? */
static bool
usable(const struct hosts *h, const char *domain, const char *host)
{
	struct cidr addr;

	if (cidr_parse_address(span_of(host), &addr)) {
		log_warn("numeric domain name in resource data of %s record "
			 "for %s: %s",
			 h->type, domain, host);
		return true;
	}
	return addr_valid_hostname(span_of(host));
}

static bool
find_addresses(struct hosts *h, const char *host)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum smtpd_dns_status st = smtpd_dns_addresses(host, &a);
	bool found = false;

	if (st != SMTPD_DNS_FOUND && h->type)
		log_warn("Unable to look up %s host %s for %s %s: %s", h->type,
			 host, h->of.class, h->of.value,
			 smtpd_dns_host_reason(st));
	for (size_t i = 0; st == SMTPD_DNS_FOUND && i < a.n && !found; i++)
		found = smtpd_map_find_network(&h->l, span_of(a.rr[i].text));
	dns_answer_free(&a);
	return found;
}

static bool
find_host(struct hosts *h, const char *host)
{
	return (h->type && smtpd_map_find_domain(&h->l, span_of(host))) ||
	       find_addresses(h, host);
}

static bool
find_hosts(struct hosts *h, const char *domain, const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n; i++) {
		const char *host = a->rr[i].text;

		if (i >= SMTPD_DNS_HOSTS_MAX || io_monotonic() > h->deadline) {
			log_warn("Unable to look up all %s hosts for %s",
				 h->type, domain);
			return false;
		}
		if (host[0] && usable(h, domain, host) && find_host(h, host))
			return true;
	}
	return false;
}

static void
log_failure(const struct hosts *h, const char *domain, enum smtpd_dns_status st)
{
	log_warn("Unable to look up %s host for %s: %s", h->type, domain,
		 smtpd_dns_reason(st));
}

/* ---- the three kinds ---- */

/* Without MX records a domain is its own mail exchanger. */
static bool
find_mx(struct hosts *h, const char *domain)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum smtpd_dns_status st = smtpd_dns_query(domain, DNS_MX, &a);
	bool found = false;

	if (st == SMTPD_DNS_FOUND)
		found = find_hosts(h, domain, &a);
	else if (st == SMTPD_DNS_NO_NAME || st == SMTPD_DNS_NO_DATA)
		found = find_host(h, domain);
	else
		log_failure(h, domain, st);
	dns_answer_free(&a);
	return found;
}

/* A name without NS records belongs to the zone of a parent. */
static bool
find_ns(struct hosts *h, const char *domain)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum smtpd_dns_status st;
	const char *zone = domain;
	bool found = false;

	for (;;) {
		const char *dot = strchr(zone, '.');

		st = smtpd_dns_query(zone, DNS_NS, &a);
		if ((st != SMTPD_DNS_NO_NAME && st != SMTPD_DNS_NO_DATA) ||
		    !dot)
			break;
		zone = dot + 1;
	}
	if (st == SMTPD_DNS_FOUND)
		found = find_hosts(h, zone, &a);
	else
		log_failure(h, domain, st);
	dns_answer_free(&a);
	return found;
}

static bool
find_a(struct hosts *h, const char *domain)
{
	return find_addresses(h, domain);
}

/* An address literal is its own and only host; nobody serves its name. */
static bool
find_literal(struct hosts *h, struct span literal, bool ns)
{
	struct buf ip = BUF_INIT;
	bool found = !ns && addr_valid_literal(literal, &ip) &&
		     smtpd_map_find_network(&h->l, buf_span(&ip));

	buf_free(&ip);
	return found;
}

static enum verdict
check(struct smtpd *s, const struct rule *r, const char *type,
      bool (*find)(struct hosts *h, const char *domain), struct why *why)
{
	struct hosts h = {.l = {.s = s, .table = r->table},
			  .type = type,
			  .of = smtpd_dnsxl_subject(s, r->row->value),
			  .deadline = io_monotonic() + SMTPD_DNS_CHECK_SECONDS *
							   INT64_C(1000000)};
	struct span name = h.of.domain;
	struct buf domain = BUF_INIT;
	bool found;

	h.l.about = (struct subject){h.of.value, h.of.class, h.of.kind};
	if (r->row->value == DNS_OF_CLIENT)
		h.l.about.value = buf_cstr(&s->peer.namaddr);
	/* An address without a domain is looked up as a name. */
	if (r->row->value >= DNS_OF_SENDER && name.len == 0)
		name = span_of(h.of.value);
	if (name.len == 0)
		return VERDICT_DUNNO;
	buf_set(&domain, name);
	if (name.data[0] == '[')
		found = find_literal(&h, name, find == find_ns);
	else
		found = find(&h, domain.data);
	buf_free(&domain);
	return smtpd_map_no_ok(s, r, smtpd_map_finish(&h.l, found, why),
			       h.of.value, why);
}

RULE_FN(check_mx_map)
{
	UNUSED_ARGS;
	return check(s, r, "MX", find_mx, why);
}

RULE_FN(check_ns_map)
{
	UNUSED_ARGS;
	return check(s, r, "NS", find_ns, why);
}

RULE_FN(check_a_map)
{
	UNUSED_ARGS;
	return check(s, r, NULL, find_a, why);
}
