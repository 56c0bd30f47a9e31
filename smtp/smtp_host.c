/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_host.h"

#include <arpa/inet.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/filter.h"
#include "lib/dns/name.h"
#include "lib/dns/search.h"
#include "lib/dns/wire.h"

enum { LOOKUP_SECONDS = 35 }; /* more than the resolver's own limit */

static const char filter_name[] = "smtp_dns_reply_filter";
static struct maps *filter;

void
smtp_host_open(void)
{
	filter = dns_filter_open(filter_name, conf->smtp_dns_reply_filter);
	dns_search_open();
}

struct smtp_host_policy
smtp_host_policy(void)
{
	const char *level = conf->smtp_dns_support_level;
	const char *options = conf->smtp_dns_resolver_options;
	bool off = level[0] ? strcasecmp(level, "disabled") == 0
			    : conf->disable_dns_lookups;
	bool all = conf_list_has(conf->inet_protocols, "all");
	struct smtp_host_policy p = {.mx = !off};

	p.dns = !off && conf_list_has(conf->smtp_host_lookup, "dns");
	p.native = off || conf_list_has(conf->smtp_host_lookup, "native");
	p.v4 = all || conf_list_has(conf->inet_protocols, "ipv4");
	p.v6 = all || conf_list_has(conf->inet_protocols, "ipv6");
	if (conf_list_has(options, "res_defnames"))
		p.search |= DNS_SEARCH_DEFNAMES;
	if (conf_list_has(options, "res_dnsrch"))
		p.search |= DNS_SEARCH_DNSRCH;
	return p;
}

/* ---- reasons ---- */

static void
why_dns(struct why *why, const char *name, enum dns_type type,
	enum dns_status status)
{
	const char *type_name = dns_type_name(type);

	switch (status) {
	case DNS_NO_NAME:
		why_set(why, "5.4.4",
			"Host or domain name not found. Name service error "
			"for name=%s type=%s: Host not found",
			name, type_name);
		break;
	case DNS_NO_DATA:
		why_set(why, "5.4.4",
			"Host or domain name not found. Name service error "
			"for name=%s type=%s: Host found but no data record "
			"of requested type",
			name, type_name);
		break;
	case DNS_BAD_NAME:
		why_set(why, "5.4.4",
			"Name service error for %s: invalid host or domain "
			"name",
			name);
		break;
	default:
		why_set(why, "4.4.3",
			"Host or domain name not found. Name service error "
			"for name=%s type=%s: Host not found, try again",
			name, type_name);
	}
}

static void
why_native(struct why *why, const char *name, enum dns_status status)
{
	if (status == DNS_RETRY)
		why_set(why, "4.4.4",
			"unable to look up host %s: "
			"Temporary failure in name resolution",
			name);
	else if (status == DNS_NO_DATA)
		why_set(why, "5.3.0",
			"unable to look up host %s: "
			"No address associated with hostname",
			name);
	else
		why_set(why, "5.4.4",
			"unable to look up host %s: "
			"Name or service not known",
			name);
}

/* The text that goes into mail and status lines does not tell a bad signature
 * from a resolver that is not there. */
static void
note_retry(const char *name, enum dns_type type, const struct dns_answer *a)
{
	if (a->status == DNS_RETRY)
		log_info("look-up of %s, type %s: %s", name,
			 dns_type_name(type), buf_cstr(&a->reason));
}

/* ---- questions ---- */

/* What is found passes the filter. */
static enum dns_status
apply_filter(const char *name, enum dns_type type, struct dns_answer *a,
	     struct why *why)
{
	switch (dns_filter_apply(filter_name, filter, type, a)) {
	case DNS_FILTER_KEPT:
		return DNS_FOUND;
	case DNS_FILTER_DROPPED:
		why_set(why, "4.7.0",
			"Error looking up name=%s type=%s: "
			"DNS reply filter drops all results",
			name, dns_type_name(type));
		break;
	case DNS_FILTER_BAD:
		why_set(why, "4.4.3",
			"Error looking up name=%s type=%s: "
			"Invalid DNS reply filter syntax",
			name, dns_type_name(type));
	}
	return DNS_RETRY;
}

enum dns_status
smtp_host_query(const char *name, enum dns_type type, unsigned search,
		struct dns_answer *a, struct why *why)
{
	struct buf ascii = BUF_INIT;
	enum dns_status st =
	    search ? dns_search_query(name, type, search, 0, LOOKUP_SECONDS, a)
		   : dns_query(name, type, 0, LOOKUP_SECONDS, a);

	/* What DNS was asked for. */
	if (!search && dns_name_to_ascii(span_of(name), &ascii))
		name = buf_cstr(&ascii);
	note_retry(name, type, a);
	if (st == DNS_FOUND)
		st = apply_filter(name, type, a, why);
	else
		why_dns(why,
			st == DNS_NO_DATA && !search && a->canonical
			    ? a->canonical
			    : name,
			type, st);
	buf_free(&ascii);
	return st;
}

/* What DNSSEC says about the addresses from index from on. */
static void
note_answer(struct smtp_addr_list *l, size_t from, const char *name,
	    const struct dns_answer *a)
{
	bool alias = a->canonical && a->canonical[0] &&
		     strcasecmp(a->canonical, name) != 0;

	for (size_t i = from; i < l->n; i++) {
		l->v[i].secure = a->secure;
		if (!alias)
			continue;
		l->v[i].asked = mem_strdup(name);
		l->v[i].canonical = mem_strdup(a->canonical);
	}
}

static void
add_all(const struct dns_answer *a, const char *name, int port, int preference,
	struct smtp_addr_list *l)
{
	const char *host = conf->smtp_cname_overrides_servername &&
				   a->canonical && a->canonical[0]
			       ? a->canonical
			       : name;

	size_t from = l->n;

	for (size_t i = 0; i < a->n; i++)
		smtp_addr_add(l, host, a->rr[i].text, port, preference);
	note_answer(l, from, name, a);
}

/* One type of addresses. A temporary failure is not overwritten by "no such
 * host" of the other type. */
static void
add_from_dns(const struct smtp_host_policy *p, const char *name,
	     enum dns_type type, int port, int preference,
	     struct smtp_addr_list *l, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	struct why one = WHY_INIT;

	if (smtp_host_query(name, type, p->search, &a, &one) == DNS_FOUND)
		add_all(&a, name, port, preference, l);
	else if (!why_is_set(why) || why_class(why) == WHY_BOUNCE ||
		 why_class(&one) == WHY_DEFER)
		why_copy(why, &one);
	why_free(&one);
	dns_answer_free(&a);
}

/* As the C library does it: file, DNS, search list. Returns the status that
 * tells most. */
static enum dns_status
add_native(const char *name, enum dns_type type, enum dns_status before,
	   int port, int preference, struct smtp_addr_list *l)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum dns_status st =
	    dns_query(name, type, DNS_HOSTS_ONLY, LOOKUP_SECONDS, &a);

	if (st != DNS_FOUND)
		st = dns_search_query(name, type,
				      DNS_SEARCH_DEFNAMES | DNS_SEARCH_DNSRCH,
				      DNS_HOSTS, LOOKUP_SECONDS, &a);
	note_retry(name, type, &a);
	if (st == DNS_FOUND)
		add_all(&a, name, port, preference, l);
	dns_answer_free(&a);
	if (before == DNS_RETRY || st == DNS_RETRY)
		return DNS_RETRY;
	return before == DNS_NO_DATA ? before : st;
}

static void
lookup_native(const struct smtp_host_policy *p, const char *name, int port,
	      int preference, struct smtp_addr_list *l, struct why *why)
{
	enum dns_status st = DNS_NO_NAME;

	if (p->v4)
		st = add_native(name, DNS_A, st, port, preference, l);
	if (p->v6)
		st = add_native(name, DNS_AAAA, st, port, preference, l);
	why_native(why, name, st);
}

bool
smtp_host_lookup(const struct smtp_host_policy *p, const char *name, int port,
		 int preference, struct smtp_addr_list *l, struct why *why)
{
	unsigned char addr[16];
	size_t before = l->n;
	bool is4 = inet_pton(AF_INET, name, addr) == 1;
	bool is6 = inet_pton(AF_INET6, name, addr) == 1;

	if (is4 || is6) {
		if ((is4 && p->v4) || (is6 && p->v6))
			smtp_addr_add(l, name, name, port, preference);
		else
			why_dns(why, name, DNS_A, DNS_BAD_NAME);
		return l->n > before;
	}
	why_reset(why);
	if (p->dns && p->v4)
		add_from_dns(p, name, DNS_A, port, preference, l, why);
	if (p->dns && p->v6)
		add_from_dns(p, name, DNS_AAAA, port, preference, l, why);
	if (l->n == before && p->native &&
	    (!why_is_set(why) || why_class(why) == WHY_BOUNCE))
		lookup_native(p, name, port, preference, l, why);
	return l->n > before;
}
