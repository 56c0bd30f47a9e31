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
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/dns/name.h"
#include "lib/route/route.h"
#include "smtp/smtp_host.h"
#include "smtp/smtp_srv.h"

enum {
	ADDR_MAX = 1000, /* of one destination */
	MX_MAX = 200,
};

void
smtp_addr_clear(struct smtp_addr *a)
{
	free(a->host);
	free(a->text);
	free(a->asked);
	free(a->canonical);
	free(a->domain);
	*a = (struct smtp_addr){0};
}

static char *
copy(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

void
smtp_addr_copy(struct smtp_addr *to, const struct smtp_addr *from)
{
	*to = *from;
	to->host = mem_strdup(from->host);
	to->text = mem_strdup(from->text);
	to->asked = copy(from->asked);
	to->canonical = copy(from->canonical);
	to->domain = copy(from->domain);
}

void
smtp_addr_list_free(struct smtp_addr_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		smtp_addr_clear(&l->v[i]);
	free(l->v);
	*l = (struct smtp_addr_list){0};
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
	    .mx_secure = true,
	    .preference = preference,
	    .port = port,
	};
	return a;
}

bool
smtp_addr_add(struct smtp_addr_list *l, const char *host, const char *text,
	      int port, int preference)
{
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)port)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
				   .sin6_port = htons((uint16_t)port)};
	struct smtp_addr *a;

	if (l->n >= ADDR_MAX)
		return false;
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

/* Against the rules, but seen: an address in the place of a name, with the
 * colons that names have not got as \058. */
static bool
is_numeric(const char *name, struct buf *addr)
{
	struct span rest = span_of(name);
	unsigned char bin[16];

	buf_reset(addr);
	while (rest.len) {
		bool colon = span_starts_nocase(rest, "\\058");

		buf_append_byte(addr, colon ? ':' : rest.data[0]);
		rest = span_from(rest, colon ? 4 : 1);
	}
	return inet_pton(AF_INET, buf_cstr(addr), bin) == 1 ||
	       inet_pton(AF_INET6, buf_cstr(addr), bin) == 1;
}

/* One mail exchanger; false when it has no valid name. */
static bool
mx_host(const struct smtp_host_policy *p, const struct dest *d,
	const struct dns_rr *rr, struct smtp_addr_list *l, struct why *why,
	bool *defer)
{
	struct buf addr = BUF_INIT;
	const char *name = rr->text;
	bool valid = true;

	if (is_numeric(rr->text, &addr)) {
		name = buf_cstr(&addr);
		log_warn("numeric domain name in resource data of MX "
			 "record for %s: %s",
			 d->host, name);
	} else if (!addr_valid_hostname(span_of(rr->text))) {
		log_warn("malformed domain name in resource data of "
			 "MX record for %s: %s",
			 d->host, rr->text);
		valid = false;
	}
	if (valid &&
	    !smtp_host_lookup(p, name, d->port, rr->preference, l, why))
		*defer |= why_class(why) == WHY_DEFER;
	buf_free(&addr);
	return valid;
}

void
smtp_addr_note_hosts(struct smtp_addr_list *l, const char *name,
		     const struct dns_answer *a)
{
	for (size_t i = 0; i < l->n; i++) {
		l->v[i].mx_secure = a->secure;
		if (name && a->canonical && a->canonical[0] &&
		    strcasecmp(a->canonical, name) != 0)
			l->v[i].domain = mem_strdup(a->canonical);
	}
}

/* Addresses of all mail exchangers. */
static bool
mx_hosts(const struct smtp_host_policy *p, const struct dest *d,
	 const struct dns_answer *a, struct smtp_addr_list *l, struct why *why)
{
	size_t valid = 0;
	bool defer = conf->smtp_defer_if_no_mx_address_found;

	l->best = a->rr[0].preference;
	for (size_t i = 0; i < a->n && i < MX_MAX; i++) {
		if (a->rr[i].preference < l->best)
			l->best = a->rr[i].preference;
		valid += mx_host(p, d, &a->rr[i], l, why, &defer);
	}
	smtp_addr_note_hosts(l, d->host, a);
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
	if (defer && why_class(why) == WHY_BOUNCE)
		why_set_class(why, WHY_DEFER);
	return false;
}

static bool
mx_lookup(const struct smtp_host_policy *p, const struct dest *d,
	  struct smtp_addr_list *l, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	bool ok = false;

	switch (smtp_host_query(d->host, DNS_MX, 0, &a, why)) {
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
		ok = smtp_host_lookup(p, d->host, d->port, 0, l, why);
		break;
	case DNS_RETRY:
		if (conf->ignore_mx_lookup_error)
			ok = smtp_host_lookup(p, d->host, d->port, 0, l, why);
		smtp_addr_note_hosts(l, d->host, &a);
		break;
	case DNS_BAD_NAME:
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

/* The best entry that is this host, or NULL. */
static const struct smtp_addr *
find_self(const struct smtp_addr_list *l)
{
	const struct smtp_addr *self = NULL;

	for (size_t i = 0; i < l->n; i++)
		if (route_is_own_address(l->v[i].text) &&
		    (!self || l->v[i].preference < self->preference))
			self = &l->v[i];
	return self;
}

/* What the administrator can do about it. */
static void
log_remedy(const struct dest *d, const struct smtp_addr *self)
{
	if (!d->mx)
		log_warn("%s[%s] is this host (inet_interfaces, "
			 "proxy_interfaces): a relayhost or transport must "
			 "name another host, or another port",
			 self->host, self->text);
	else
		log_warn("%s: its best mail exchanger %s[%s] is this host "
			 "(inet_interfaces, proxy_interfaces), but the domain "
			 "is not in mydestination, virtual_alias_domains or "
			 "virtual_mailbox_domains, and transport_maps names "
			 "no other host: list it there, or correct its MX "
			 "records",
			 d->host, self->host, self->text);
}

static void
keep_better(struct smtp_addr_list *l, int preference)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		if (l->v[i].preference < preference) {
			l->v[n++] = l->v[i];
		} else {
			smtp_addr_clear(&l->v[i]);
		}
	}
	l->n = n;
}

/* Leave out this host and what is not better (RFC 5321 section 5.1). */
static bool
drop_self(struct smtp_addr_list *l, const struct dest *d, struct why *why)
{
	const struct smtp_addr *self = find_self(l);
	int preference = self ? self->preference : 0;
	bool better = false;

	if (!self)
		return true;
	for (size_t i = 0; i < l->n; i++)
		better |= l->v[i].preference < preference;
	l->final = !better;
	l->loops = !better && preference <= l->best;
	if (l->loops) {
		if (!conf->best_mx_transport[0])
			log_remedy(d, self);
		why_set(why, "5.4.6", "mail for %s loops back to myself",
			d->host);
	} else if (!better) {
		/* There are better ones, which have no address today. */
		why_set(why, "4.4.4", "unable to find primary relay for %s",
			d->host);
	}
	keep_better(l, preference);
	return better;
}

/* Not yet in order. */
static bool
find_ascii(const struct dest *d, struct smtp_addr_list *l, struct why *why)
{
	struct smtp_host_policy p = smtp_host_policy();

	if (smtp_srv_wanted(&p, d)) {
		enum smtp_srv_status st = smtp_srv_lookup(&p, d, l, why);

		if (st != SMTP_SRV_SKIP)
			return st == SMTP_SRV_FOUND;
	}
	if (d->mx && p.mx)
		return mx_lookup(&p, d, l, why);
	return smtp_host_lookup(&p, d->host, d->port, 0, l, why);
}

/* DNS names are asked for, and shown, in ASCII. */
static bool
find(const struct dest *d, struct smtp_addr_list *l, struct why *why)
{
	struct buf ascii = BUF_INIT;
	struct dest copy = *d;
	bool ok;

	if (!utf8_is_ascii(d->host, strlen(d->host)) &&
	    dns_name_to_ascii(span_of(d->host), &ascii))
		copy.host = mem_strdup(buf_cstr(&ascii));
	ok = find_ascii(&copy, l, why);
	if (copy.host != d->host)
		free(copy.host);
	buf_free(&ascii);
	return ok;
}

bool
smtp_addr_lookup(const struct dest *d, struct smtp_addr_list *l,
		 struct why *why)
{
	why_reset(why);
	if (d->path)
		return add_path(l, d->host, why);
	if (!find(d, l, why) || (d->std_port && !drop_self(l, d, why)))
		return false;
	if (conf->smtp_randomize_addresses)
		shuffle(l);
	sort(l);
	balance(l);
	return true;
}
