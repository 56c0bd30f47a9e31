/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/un.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/dns/wire.h"
#include "lib/route/route.h"

enum {
	LOOKUP_SECONDS = 35, /* more than the resolver's own limit */
	ADDR_MAX = 1000,     /* of one destination */
	MX_MAX = 200,
};

/* What a host look-up may use, from smtp_dns_support_level and
 * smtp_host_lookup. */
struct policy {
	bool dns;         /* MX records */
	bool native;      /* the hosts file first */
	bool native_last; /* the hosts file when DNS has no such host */
	bool v4, v6;
};

static struct policy
policy_now(void)
{
	bool off = conf->disable_dns_lookups ||
		   strcasecmp(conf->smtp_dns_support_level, "disabled") == 0;
	struct span first, rest = span_of(conf->smtp_host_lookup);
	struct policy p = {.dns = !off};

	p.native = off || (span_next_token(&rest, ", \t\r\n", &first) &&
			   span_equal_cstr_nocase(first, "native"));
	p.native_last =
	    !p.native && conf_list_has(conf->smtp_host_lookup, "native");
	p.v4 = conf_list_has(conf->inet_protocols, "ipv4") ||
	       conf_list_has(conf->inet_protocols, "all");
	p.v6 = conf_list_has(conf->inet_protocols, "ipv6") ||
	       conf_list_has(conf->inet_protocols, "all");
	return p;
}

void
smtp_addr_list_free(struct smtp_addr_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].host);
		free(l->v[i].text);
	}
	free(l->v);
	*l = (struct smtp_addr_list){NULL, 0};
}

static struct smtp_addr *
add(struct smtp_addr_list *l, const char *host, const char *text, int port,
    int preference)
{
	struct smtp_addr *a;

	l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
	a = &l->v[l->n++];
	*a = (struct smtp_addr){
	    .host = mem_strdup(host),
	    .text = mem_strdup(text),
	    .preference = preference,
	    .port = port,
	};
	return a;
}

/* false: text is no address. */
static bool
add_ip(struct smtp_addr_list *l, const char *host, const char *text, int port,
       int preference)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)port)};
	struct smtp_addr *a;

	if (inet_pton(AF_INET, text, &in.sin_addr) == 1) {
		a = add(l, host, text, port, preference);
		memcpy(&a->sa, &in, sizeof(in));
		a->sa_len = sizeof(in);
	} else if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1) {
		a = add(l, host, text, port, preference);
		memcpy(&a->sa, &in6, sizeof(in6));
		a->sa_len = sizeof(in6);
	} else {
		return false;
	}
	return true;
}

static bool
add_path(struct smtp_addr_list *l, const char *path, struct why *why)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct smtp_addr *a;

	if (strlen(path) >= sizeof(un.sun_path)) {
		why_set(why, "4.3.5", "socket path is too long: %s", path);
		return false;
	}
	memcpy(un.sun_path, path, strlen(path));
	a = add(l, conf->myhostname, path, 0, 0);
	memcpy(&a->sa, &un, sizeof(un));
	a->sa_len = sizeof(un);
	return true;
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
		why_set(why, "4.4.3",
			"unable to look up host %s: "
			"Temporary failure in name resolution",
			name);
	else
		why_set(why, "5.4.4", "unable to look up host %s: %s", name,
			status == DNS_NO_DATA
			    ? "No address associated with hostname"
			    : "Name or service not known");
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

/* ---- hosts ---- */

/*
 * Ask for one type of addresses. A temporary failure is remembered in why and
 * is not overwritten by "no such host" of the other type.
 */
static void
host_query(const struct policy *p, const char *name, enum dns_type type,
	   int port, int preference, struct smtp_addr_list *l, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum dns_status st;

	st = dns_query(name, type, p->native ? DNS_HOSTS : 0, LOOKUP_SECONDS,
		       &a);
	if (st != DNS_FOUND && p->native_last) {
		struct dns_answer file = DNS_ANSWER_INIT;

		if (dns_query(name, type, DNS_HOSTS_ONLY, LOOKUP_SECONDS,
			      &file) == DNS_FOUND) {
			dns_answer_free(&a);
			a = file;
			st = DNS_FOUND;
		} else {
			dns_answer_free(&file);
		}
	}
	note_retry(name, type, &a);
	if (st == DNS_FOUND) {
		const char *host = conf->smtp_cname_overrides_servername &&
					   a.canonical && a.canonical[0]
				       ? a.canonical
				       : name;

		for (size_t i = 0; i < a.n && l->n < ADDR_MAX; i++)
			add_ip(l, host, a.rr[i].text, port, preference);
	} else if (!why_is_set(why) || why_class(why) == WHY_BOUNCE) {
		if (p->dns)
			why_dns(why, name, type, st);
		else
			why_native(why, name, st);
	}
	dns_answer_free(&a);
}

/* Addresses of a host; true when there is one more. */
static bool
host_lookup(const struct policy *p, const char *name, int port, int preference,
	    struct smtp_addr_list *l, struct why *why)
{
	unsigned char addr[16];
	size_t before = l->n;
	bool is4 = inet_pton(AF_INET, name, addr) == 1;
	bool is6 = inet_pton(AF_INET6, name, addr) == 1;

	if (is4 || is6) {
		if ((is4 && p->v4) || (is6 && p->v6))
			add_ip(l, name, name, port, preference);
		else
			why_dns(why, name, DNS_A, DNS_BAD_NAME);
		return l->n > before;
	}
	if (p->v4)
		host_query(p, name, DNS_A, port, preference, l, why);
	if (p->v6)
		host_query(p, name, DNS_AAAA, port, preference, l, why);
	return l->n > before;
}

/* ---- MX ---- */

/* RFC 7505 wants it to be the only record; one that says no is believed in
 * any company. */
static bool
null_mx(const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->rr[i].text[0] == '\0')
			return true;
	return false;
}

/* Against the rules, but seen: an address in the place of a name. */
static bool
is_numeric(const char *name)
{
	unsigned char addr[4];

	return inet_pton(AF_INET, name, addr) == 1;
}

/* Addresses of all mail exchangers. */
static bool
mx_hosts(const struct policy *p, const struct dest *d,
	 const struct dns_answer *a, struct smtp_addr_list *l, struct why *why)
{
	size_t valid = 0;

	for (size_t i = 0; i < a->n && i < MX_MAX; i++) {
		const struct dns_rr *rr = &a->rr[i];

		if (is_numeric(rr->text)) {
			log_warn("numeric domain name in resource data of MX "
				 "record for %s: %s",
				 d->host, rr->text);
		} else if (!addr_valid_hostname(span_of(rr->text))) {
			log_warn("malformed domain name in resource data of "
				 "MX record for %s: %s",
				 d->host, rr->text);
			continue;
		}
		valid++;
		host_lookup(p, rr->text, d->port, rr->preference, l, why);
	}
	if (l->n)
		return true;
	if (valid == 0) {
		why_set(why, "5.4.4",
			"Name service error for name=%s type=MX: "
			"Malformed or unexpected name server reply",
			d->host);
		return false;
	}
	log_warn("no MX host for %s has a valid address record", d->host);
	if (conf->smtp_defer_if_no_mx_address_found &&
	    why_class(why) == WHY_BOUNCE)
		why_set_class(why, WHY_DEFER);
	return false;
}

static bool
mx_lookup(const struct policy *p, const struct dest *d,
	  struct smtp_addr_list *l, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	bool ok = false;

	switch (dns_query(d->host, DNS_MX, 0, LOOKUP_SECONDS, &a)) {
	case DNS_FOUND:
		if (null_mx(&a))
			why_set(why, "5.1.0",
				"Domain %s does not accept mail "
				"(nullMX)",
				d->host);
		else
			ok = mx_hosts(p, d, &a, l, why);
		break;
	case DNS_NO_NAME:
	case DNS_NO_DATA:
		ok = host_lookup(p, d->host, d->port, 0, l, why);
		break;
	case DNS_RETRY:
		note_retry(d->host, DNS_MX, &a);
		if (conf->ignore_mx_lookup_error)
			ok = host_lookup(p, d->host, d->port, 0, l, why);
		else
			why_dns(why, d->host, DNS_MX, DNS_RETRY);
		break;
	case DNS_BAD_NAME:
		why_dns(why, d->host, DNS_MX, DNS_BAD_NAME);
		break;
	}
	dns_answer_free(&a);
	return ok;
}

/* ---- order ---- */

static int
family_rank(const struct smtp_addr *a)
{
	if (strcasecmp(conf->smtp_address_preference, "ipv6") == 0)
		return a->sa.ss_family != AF_INET6;
	if (strcasecmp(conf->smtp_address_preference, "ipv4") == 0)
		return a->sa.ss_family != AF_INET;
	return 0;
}

/* Stable: the shuffled, or the name server's, order decides between equals. */
static void
sort(struct smtp_addr_list *l)
{
	for (size_t i = 1; i < l->n; i++) {
		struct smtp_addr a = l->v[i];
		size_t j = i;

		while (j && (l->v[j - 1].preference > a.preference ||
			     (l->v[j - 1].preference == a.preference &&
			      family_rank(&l->v[j - 1]) > family_rank(&a)))) {
			l->v[j] = l->v[j - 1];
			j--;
		}
		l->v[j] = a;
	}
}

static void
shuffle(struct smtp_addr_list *l)
{
	for (size_t i = l->n; i > 1; i--) {
		unsigned r = 0;
		struct smtp_addr a = l->v[i - 1];
		size_t j;

		if (getrandom(&r, sizeof(r), 0) < 0)
			r = (unsigned)random();
		j = r % i;
		l->v[i - 1] = l->v[j];
		l->v[j] = a;
	}
}

/*
 * When the first smtp_mx_address_limit addresses are all of one family and
 * there are others, half of the places goes to the others, in order.
 */
static void
balance(struct smtp_addr_list *l)
{
	size_t limit = conf->smtp_mx_address_limit > 0
			   ? (size_t)conf->smtp_mx_address_limit
			   : 0;
	size_t same = 0, to = limit - limit / 2;

	if (!conf->smtp_balance_inet_protocols || limit < 2 || l->n <= limit)
		return;
	while (same < l->n && l->v[same].sa.ss_family == l->v[0].sa.ss_family)
		same++;
	if (same < limit || same == l->n)
		return;
	for (size_t i = same; i < l->n && to < limit; i++) {
		struct smtp_addr a = l->v[i];

		if (a.sa.ss_family == l->v[0].sa.ss_family)
			continue;
		memmove(&l->v[to + 1], &l->v[to], (i - to) * sizeof(a));
		l->v[to++] = a;
	}
}

/* Leave out this host and what is not better (RFC 5321 section 5.1). */
static bool
drop_self(struct smtp_addr_list *l, const struct dest *d, struct why *why)
{
	int best = 0;
	bool self = false;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (route_is_own_address(l->v[i].text) &&
		    (!self || l->v[i].preference < best)) {
			best = l->v[i].preference;
			self = true;
		}
	if (!self)
		return true;
	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].preference < best) {
			l->v[n++] = l->v[i];
		} else {
			free(l->v[i].host);
			free(l->v[i].text);
		}
	}
	l->n = n;
	if (n == 0)
		why_set(why, "5.4.6", "mail for %s loops back to myself",
			d->host);
	return n > 0;
}

bool
smtp_addr_lookup(const struct dest *d, struct smtp_addr_list *l,
		 struct why *why)
{
	struct policy p = policy_now();
	bool ok;

	why_reset(why);
	if (d->path)
		return add_path(l, d->host, why);
	if (d->mx && p.dns)
		ok = mx_lookup(&p, d, l, why);
	else
		ok = host_lookup(&p, d->host, d->port, 0, l, why);
	if (!ok || (d->std_port && !drop_self(l, d, why)))
		return false;
	if (conf->smtp_randomize_addresses)
		shuffle(l);
	sort(l);
	balance(l);
	return true;
}
