/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_srv.h"

#include <stdlib.h>
#include <sys/random.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"

enum { SRV_MAX = 100 };

bool
smtp_srv_wanted(const struct smtp_host_policy *p, const struct dest *d)
{
	return p->mx && d->mx && d->service &&
	       conf_list_has(conf->use_srv_lookup, d->service);
}

static unsigned
random_below(unsigned limit)
{
	unsigned r = 0;

	if (getrandom(&r, sizeof(r), 0) < 0)
		r = (unsigned)random();
	return r % limit;
}

/*
 * RFC 2782: within the lowest priority left, a record is drawn with a
 * probability that goes with its weight. The one drawn is moved to at.
 */
static void
draw(struct dns_rr *v, size_t n, size_t at)
{
	int lowest = v[at].preference;
	unsigned sum = 0, point;
	size_t chosen = at;

	for (size_t i = at; i < n; i++)
		if (v[i].preference < lowest)
			lowest = v[i].preference;
	for (size_t i = at; i < n; i++)
		if (v[i].preference == lowest)
			sum += (unsigned)v[i].weight;
	point = sum ? random_below(sum + 1) : 0;
	for (size_t i = at; i < n; i++) {
		if (v[i].preference != lowest)
			continue;
		chosen = i;
		if ((unsigned)v[i].weight >= point)
			break;
		point -= (unsigned)v[i].weight;
	}
	if (chosen != at) {
		struct dns_rr one = v[chosen];

		v[chosen] = v[at];
		v[at] = one;
	}
}

static bool
add_hosts(const struct smtp_host_policy *p, const char *name,
	  struct dns_answer *a, struct smtp_addr_list *l, struct why *why)
{
	size_t n = a->n < SRV_MAX ? a->n : SRV_MAX;
	bool defer = false;

	for (size_t i = 0; i < n; i++) {
		const struct dns_rr *rr = &a->rr[i];

		draw(a->rr, n, i);
		if (!addr_valid_hostname(span_of(rr->text)) || rr->port == 0) {
			log_warn("malformed domain name in resource data of "
				 "SRV record for %s: %s",
				 name, rr->text);
			continue;
		}
		if (!smtp_host_lookup(p, rr->text, rr->port, (int)i, l, why))
			defer |= why_class(why) == WHY_DEFER;
	}
	smtp_addr_note_hosts(l, NULL, a);
	if (l->n)
		return true;
	if (!why_is_set(why))
		why_set(why, "5.4.4",
			"Name service error for name=%s type=SRV: "
			"Malformed or unexpected name server reply",
			name);
	if (defer && why_class(why) == WHY_BOUNCE)
		why_set_class(why, WHY_DEFER);
	return false;
}

enum smtp_srv_status
smtp_srv_lookup(const struct smtp_host_policy *p, const struct dest *d,
		struct smtp_addr_list *l, struct why *why)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	struct buf name = BUF_INIT;
	enum smtp_srv_status st = SMTP_SRV_FAILED;

	buf_printf(&name, "_%s._tcp.%s", d->service, d->host);
	switch (smtp_host_query(buf_cstr(&name), DNS_SRV, 0, &a, why)) {
	case DNS_FOUND:
		why_reset(why);
		if (a.n == 1 && a.rr[0].text[0] == '\0')
			why_set(why, "5.4.4",
				"Domain %s does not offer the service %s",
				d->host, d->service);
		else if (add_hosts(p, buf_cstr(&name), &a, l, why))
			st = SMTP_SRV_FOUND;
		break;
	case DNS_RETRY:
		if (conf->ignore_srv_lookup_error)
			st = SMTP_SRV_SKIP;
		break;
	default:
		if (conf->allow_srv_lookup_fallback)
			st = SMTP_SRV_SKIP;
	}
	dns_answer_free(&a);
	buf_free(&name);
	return st;
}
