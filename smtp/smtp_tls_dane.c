/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_dane.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/dns/wire.h"
#include "smtp/smtp_host.h"

enum { LOOKUP_SECONDS = 35 }; /* more than the resolver's own limit */

/* What the DNS has for one host. */
enum found {
	FOUND_NONE,
	FOUND_RECORDS,
	FOUND_ERROR,
};

struct lookup {
	const char *base; /* the name below which they were found */
	struct dns_answer answer;
};

static bool
fail(struct smtp_tls_policy *p, const char *text)
{
	why_set(&p->why, "4.7.5", "%s", text);
	return false;
}

/* No authentication by DANE: a failure, or less TLS than was asked for. */
static bool
lower(struct smtp_tls_policy *p, enum tls_client_level level,
      const char *reason)
{
	if (p->asked == TLS_CLIENT_DANE_ONLY)
		return fail(p, reason);
	smtp_tls_policy_set_level(p, level, SMTP_TLS_DANE, "%s", reason);
	return true;
}

/* smtp_tls_dane_insecure_mx_policy; what is no level is taken for the
 * strictest. */
static enum tls_client_level
insecure_mx_level(void)
{
	const char *level = conf->smtp_tls_dane_insecure_mx_policy;

	if (strcasecmp(level, "may") == 0)
		return TLS_CLIENT_MAY;
	if (strcasecmp(level, "encrypt") == 0)
		return TLS_CLIENT_ENCRYPT;
	if (strcasecmp(level, "dane") != 0)
		log_warn("bad smtp_tls_dane_insecure_mx_policy \"%s\": using "
			 "\"dane\"",
			 level);
	return TLS_CLIENT_HALF_DANE;
}

/* ---- look-up ---- */

static void
log_problem(const char *name, enum dns_type type, const struct dns_answer *a)
{
	log_info("look-up of %s, type %s: %s", name, dns_type_name(type),
		 buf_cstr(&a->reason));
	log_warn("DANE TLSA lookup problem: Host or domain name not found. "
		 "Name service error for name=%s type=%s: Host not found, try "
		 "again",
		 name, dns_type_name(type));
}

/* Records that are not signed are none. */
static enum found
find_records(const char *base, int port, struct lookup *out)
{
	struct buf name = BUF_INIT;
	enum found found = FOUND_NONE;

	tlsa_name(base, port, &name);
	switch (dns_query(buf_cstr(&name), DNS_TLSA, 0, LOOKUP_SECONDS,
			  &out->answer)) {
	case DNS_FOUND:
		if (out->answer.secure)
			found = FOUND_RECORDS;
		break;
	case DNS_RETRY:
		log_problem(buf_cstr(&name), DNS_TLSA, &out->answer);
		found = FOUND_ERROR;
		break;
	case DNS_NO_NAME:
	case DNS_NO_DATA:
	case DNS_BAD_NAME:
		break;
	}
	out->base = base;
	buf_free(&name);
	return found;
}

/*
 * An alias whose end is not signed may be signed itself: then its own name is
 * a base for TLSA records (RFC 7672 section 2.2.2).
 */
static enum found
alias_is_secure(const char *name)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum dns_status st = dns_query(name, DNS_CNAME, 0, LOOKUP_SECONDS, &a);
	enum found found = st == DNS_FOUND && a.secure ? FOUND_RECORDS
			   : st == DNS_RETRY           ? FOUND_ERROR
						       : FOUND_NONE;

	if (st == DNS_RETRY)
		log_problem(name, DNS_CNAME, &a);
	dns_answer_free(&a);
	return found;
}

/*
 * The TLSA base domain: the name after aliases, when all of them are signed
 * and it has records, else the name before. Servers of zones that are not
 * signed are not asked: some choke on the question, and there can be no
 * answer that counts.
 */
static enum found
find_base(const struct smtp_addr *a, struct lookup *out)
{
	enum found found;

	if (!a->secure && !a->asked)
		return conf->smtp_tls_force_insecure_host_tlsa_lookup
			   ? find_records(a->host, a->port, out)
			   : FOUND_NONE;
	if (!a->asked)
		return find_records(a->host, a->port, out);
	if (a->secure)
		found = find_records(a->canonical, a->port, out);
	else
		found = alias_is_secure(a->asked);
	if (a->secure ? found != FOUND_NONE : found != FOUND_RECORDS)
		return found;
	return find_records(a->asked, a->port, out);
}

/* ---- what was found ---- */

static void
add_string(struct smtp_tls_policy *p, const struct tlsa *t)
{
	struct buf text = BUF_INIT;

	tlsa_format(t, &text);
	strvec_add(&p->report_strings, buf_cstr(&text));
	buf_free(&text);
}

/* For SMTP only usages 2 and 3 make sense (RFC 7672 section 3.1.3). */
static bool
usage_fits(const struct tlsa *t, const char *name)
{
	struct buf text = BUF_INIT;

	if (t->usage == TLSA_DANE_TA || t->usage == TLSA_DANE_EE)
		return true;
	tlsa_format(t, &text);
	log_warn("%s unsupported TLSA certificate usage: %s", name,
		 buf_cstr(&text));
	buf_free(&text);
	return false;
}

/* The usable records go to p->tlsa. */
static void
take_records(const struct smtp_addr *a, const struct lookup *found,
	     struct smtp_tls_policy *p)
{
	struct tlsa_list all = {NULL, 0};
	struct buf name = BUF_INIT;

	tlsa_name(found->base, a->port, &name);
	for (size_t i = 0; i < found->answer.n; i++)
		if (!tlsa_list_add_hex(&all, span_of(found->answer.rr[i].text)))
			log_warn("%s malformed TLSA record", buf_cstr(&name));
	for (size_t i = 0; i < all.n; i++) {
		const struct tlsa *t = &all.v[i];

		add_string(p, t);
		if (usage_fits(t, buf_cstr(&name)))
			tlsa_list_add(&p->tlsa, t->usage, t->selector, t->mtype,
				      buf_span(&t->data));
	}
	tlsa_list_free(&all);
	buf_free(&name);
}

/* Names for usage 2: base domain, nexthop, and the nexthop after aliases
 * (RFC 7672 section 3.2.2). */
static void
set_names(const struct smtp_tls_target *t, const char *base,
	  struct smtp_tls_policy *p)
{
	strvec_reset(&p->names);
	strvec_add(&p->names, base);
	strvec_add(&p->names, t->dest->host);
	if (t->addr->domain)
		strvec_add(&p->names, t->addr->domain);
	free(p->sni);
	p->sni = mem_strdup(base);
}

static bool
use_records(const struct smtp_tls_target *t, const struct lookup *found,
	    struct smtp_tls_policy *p)
{
	enum tls_client_level level = p->asked;

	free(p->report_type);
	free(p->report_domain);
	p->report_type = mem_strdup("tlsa");
	p->report_domain = mem_strdup(found->base);
	take_records(t->addr, found, p);
	if (!t->addr->mx_secure)
		level = insecure_mx_level();
	if (level == TLS_CLIENT_ENCRYPT) {
		tlsa_list_free(&p->tlsa);
		return lower(p, level, "TLSA records, but no signed MX record");
	}
	if (p->tlsa.n == 0)
		return lower(p, TLS_CLIENT_ENCRYPT, "TLSA records unusable");
	set_names(t, found->base, p);
	smtp_tls_policy_set_level(p, level, SMTP_TLS_DANE, "_%d._tcp.%s",
				  t->addr->port, found->base);
	return true;
}

static bool
apply(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	struct lookup found = {NULL, DNS_ANSWER_INIT};
	bool ok = false;

	switch (find_base(t->addr, &found)) {
	case FOUND_RECORDS:
		ok = use_records(t, &found, p);
		break;
	case FOUND_NONE:
		ok = lower(p, TLS_CLIENT_MAY, "no TLSA records found");
		break;
	case FOUND_ERROR:
		why_set(&p->why, "4.7.5", "TLSA lookup error for %s:%d",
			t->addr->host, t->addr->port);
		break;
	}
	dns_answer_free(&found.answer);
	return ok;
}

bool
smtp_tls_dane_apply(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	if (!smtp_host_policy().dns) {
		log_warn("%s: %s configured with dnssec lookups disabled",
			 t->dest->name, tls_client_level_name(p->asked));
		return lower(p, TLS_CLIENT_MAY,
			     "client TLS configuration problem");
	}
	if (!t->addr->mx_secure) {
		if (p->asked == TLS_CLIENT_DANE_ONLY)
			return fail(p, "non DNSSEC destination");
		if (insecure_mx_level() == TLS_CLIENT_MAY)
			return lower(p, TLS_CLIENT_MAY, "no signed MX record");
	}
	return apply(t, p);
}
