/* SPDX-License-Identifier: MIT */
/* The counts of one day in memory. */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_async.h"
#include "smtp/mtasts_report.h"

static void
detail_free(struct report_detail *d)
{
	free(d->client_addr);
	free(d->server_addr);
	free(d->mx_host);
	free(d->reason);
}

static void
domain_free(void *value)
{
	struct report_domain *d = value;

	dns_ask_cancel(&d->txt);
	for (size_t i = 0; i < d->n; i++) {
		struct report_policy *p = &d->policies[i];

		for (size_t k = 0; k < p->n; k++)
			detail_free(&p->details[k]);
		free(p->details);
		strvec_free(&p->strings);
		strvec_free(&p->mx);
		free(p->domain);
	}
	free(d->name);
	free(d);
}

void
report_day_open(struct report_day *day, int64_t begin)
{
	day->begin = begin;
	day->bytes = 0;
	day->domains = htab_new();
}

void
report_day_close(struct report_day *day)
{
	if (day->domains)
		htab_free(day->domains, domain_free);
	*day = (struct report_day){0, NULL, 0};
}

struct report_domain *
report_domain_get(struct report_day *day, struct span name)
{
	struct report_domain *d = htab_get(day->domains, name);

	if (d)
		return d;
	if (htab_count(day->domains) >= REPORT_DOMAINS_MAX || name.len > 240 ||
	    !addr_valid_hostname(name))
		return NULL;
	d = mem_alloc(sizeof(*d));
	d->name = mem_strndup(name.data, name.len);
	htab_put(day->domains, name, d);
	return d;
}

static bool
same_list(const struct strvec *a, const struct strvec *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static void
copy_list(struct report_day *day, struct strvec *to, const struct strvec *from)
{
	for (size_t i = 0; i < from->n && i < TLSRPT_STRINGS_MAX; i++) {
		day->bytes += strlen(from->v[i]) + 32;
		strvec_add(to, from->v[i]);
	}
}

struct report_policy *
report_policy_get(struct report_day *day, struct report_domain *d,
		  const struct report_policy *like)
{
	struct report_policy *p;

	for (size_t i = 0; i < d->n; i++) {
		p = &d->policies[i];
		if (p->type == like->type &&
		    strcmp(p->domain, like->domain) == 0 &&
		    same_list(&p->strings, &like->strings) &&
		    same_list(&p->mx, &like->mx))
			return p;
	}
	if (d->n >= REPORT_POLICIES_MAX || day->bytes > REPORT_BYTES_MAX)
		return NULL;
	p = &d->policies[d->n++];
	*p = (struct report_policy){.type = like->type};
	p->domain = mem_strdup(like->domain);
	day->bytes += strlen(p->domain);
	copy_list(day, &p->strings, &like->strings);
	copy_list(day, &p->mx, &like->mx);
	return p;
}

static bool
same_detail(const struct report_detail *a, const struct report_detail *b)
{
	return a->result == b->result &&
	       strcmp(a->client_addr, b->client_addr) == 0 &&
	       strcmp(a->server_addr, b->server_addr) == 0 &&
	       strcmp(a->mx_host, b->mx_host) == 0 &&
	       strcmp(a->reason, b->reason) == 0;
}

/* NULL: there is none. */
static struct report_detail *
find_detail(struct report_policy *p, const struct report_detail *like)
{
	for (size_t i = 0; i < p->n; i++)
		if (same_detail(&p->details[i], like))
			return &p->details[i];
	return NULL;
}

static struct report_detail *
add_detail(struct report_day *day, struct report_policy *p,
	   const struct report_detail *like)
{
	struct report_detail *d;

	p->details = mem_realloc(p->details, p->n + 1, sizeof(*p->details));
	d = &p->details[p->n++];
	*d = (struct report_detail){
	    .result = like->result,
	    .client_addr = mem_strdup(like->client_addr),
	    .server_addr = mem_strdup(like->server_addr),
	    .mx_host = mem_strdup(like->mx_host),
	    .reason = mem_strdup(like->reason),
	};
	day->bytes += sizeof(*d) + strlen(d->client_addr) +
		      strlen(d->server_addr) + strlen(d->mx_host) +
		      strlen(d->reason);
	return d;
}

/* Above the limits only the kind of failure counts; there are few kinds. */
void
report_failed(struct report_day *day, struct report_policy *p,
	      const struct report_detail *like)
{
	struct report_detail plain = {.result = like->result,
				      .client_addr = (char[]){""},
				      .server_addr = (char[]){""},
				      .mx_host = (char[]){""},
				      .reason = (char[]){""}};
	struct report_detail *d = find_detail(p, like);
	int64_t count = like->count;

	if (!d && (p->n >= REPORT_DETAILS_MAX || day->bytes > REPORT_BYTES_MAX))
		d = find_detail(p, like = &plain);
	if (!d)
		d = add_detail(day, p, like);
	d->count += count;
	p->failed += count;
}
