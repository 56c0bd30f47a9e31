/* SPDX-License-Identifier: MIT */
#include "smtp/mtasts_policy.h"

#include <ctype.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/addr/addr.h"
#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns_async.h"
#include "lib/dns/name.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"
#include "smtp/mtasts_cache.h"
#include "smtp/mtasts_fetch.h"

enum {
	DOMAIN_MAX = 240, /* with "_mta-sts." still a name */
	ADDRESSES_MAX = 8,
	SWEEP_SECONDS = 600,
	REFRESH_MAX = 50, /* in the background, each sweep */
};

struct mtasts_waiter {
	LIST_ENTRY(mtasts_waiter) next;
	struct event *timer;
	struct lookup *lookup;
	mtasts_policy_fn fn;
	void *arg;
};

/* A domain that is being looked into. */
struct lookup {
	char *domain;
	LIST_HEAD(, mtasts_waiter) waiters;
	struct dns_ask *txt, *a, *aaaa;
	char id[MTA_STS_ID_MAX + 1]; /* as the TXT record says */
	struct strvec addresses;
	struct buf reason; /* why there are none */
};

static struct {
	struct event_base *base;
	struct event *sweep;
	struct htab *lookups; /* by domain */
} engine;

/* ---- answers ---- */

static void
waiter_free(struct mtasts_waiter *w)
{
	LIST_REMOVE(w, next);
	event_free(w->timer);
	free(w);
}

void
mtasts_policy_cancel(struct mtasts_waiter *w)
{
	waiter_free(w);
}

static void
tell(struct mtasts_waiter *w, const struct sts_answer *a)
{
	mtasts_policy_fn fn = w->fn;
	void *arg = w->arg;

	waiter_free(w);
	fn(arg, a);
}

static void
tell_all(struct lookup *l, const struct sts_answer *a)
{
	struct mtasts_waiter *w;

	while ((w = LIST_FIRST(&l->waiters)))
		tell(w, a);
}

static void
set_policy(struct sts_answer *a, const struct mta_sts_policy *p,
	   enum sts_source source)
{
	a->mode = p->mode;
	a->source = source;
	a->max_age = p->max_age;
	for (size_t i = 0; i < p->mx.n; i++)
		strvec_add(&a->mx, p->mx.v[i]);
}

/* The cached policy, when there is one that holds. */
static bool
cached_answer(const char *domain, struct sts_answer *a)
{
	struct sts_entry *e = mtasts_cache_find(domain);
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;
	bool ok = e && mtasts_cache_load(e, &p);

	if (ok) {
		set_policy(a, &p, STS_CACHED);
		a->ttl = (int)mtasts_cache_ttl(e);
		buf_set_cstr(&a->id, e->id);
	}
	mta_sts_policy_free(&p);
	return ok;
}

static void
lookup_free(struct lookup *l)
{
	htab_remove(engine.lookups, span_of(l->domain));
	dns_ask_cancel(&l->txt);
	dns_ask_cancel(&l->a);
	dns_ask_cancel(&l->aaaa);
	strvec_free(&l->addresses);
	buf_free(&l->reason);
	free(l->domain);
	free(l);
}

/* The end of a lookup that brought no policy: an older one may hold. */
static void
end_without(struct lookup *l, enum tlsrpt_result failure, const char *reason)
{
	struct sts_answer a = STS_ANSWER_INIT;

	if (!cached_answer(l->domain, &a))
		a.source = STS_NO_POLICY;
	a.failure = failure;
	buf_set_cstr(&a.reason, reason);
	tell_all(l, &a);
	sts_answer_free(&a);
	lookup_free(l);
}

/* A fetch that failed is not tried again for a while. */
static void
fetch_failed(struct lookup *l, enum tlsrpt_result failure, const char *reason)
{
	log_warn("MTA-STS policy of %s: %s: %s", l->domain,
		 tlsrpt_result_name(failure), reason);
	mtasts_cache_failed(mtasts_cache_get(l->domain), span_of(l->id),
			    failure, reason);
	end_without(l, failure, reason);
}

/* ---- the policy file ---- */

static void
log_policy(const struct lookup *l, const struct mta_sts_policy *p)
{
	struct buf mx = BUF_INIT;

	for (size_t i = 0; i < p->mx.n; i++)
		buf_printf(&mx, "%s%s", i ? "," : "", p->mx.v[i]);
	log_info("MTA-STS policy of %s: id=%s, mode=%s, max_age=%lld, mx=%s",
		 l->domain, l->id, mta_sts_mode_name(p->mode),
		 (long long)p->max_age, buf_cstr(&mx));
	buf_free(&mx);
}

static void
on_fetched(void *arg, enum tlsrpt_result result, struct span text,
	   const char *reason)
{
	struct lookup *l = arg;
	struct mta_sts_policy p = MTA_STS_POLICY_INIT;
	struct sts_answer a = STS_ANSWER_INIT;
	struct sts_entry *e;

	if (result == TLSRPT_SUCCESS &&
	    !mta_sts_parse_policy(text, &p, &reason))
		result = TLSRPT_STS_POLICY_INVALID;
	if (result != TLSRPT_SUCCESS) {
		fetch_failed(l, result, reason);
		return;
	}
	log_policy(l, &p);
	e = mtasts_cache_get(l->domain);
	mtasts_cache_store(e, span_of(l->id), p.max_age, text);
	set_policy(&a, &p, STS_FETCHED);
	a.ttl = (int)p.max_age;
	buf_set_cstr(&a.id, l->id);
	tell_all(l, &a);
	sts_answer_free(&a);
	mta_sts_policy_free(&p);
	lookup_free(l);
}

/* ---- the policy host ---- */

static void
addresses_done(struct lookup *l)
{
	struct buf reason = BUF_INIT;

	if (l->addresses.n == 0) {
		buf_printf(&reason, "mta-sts.%s: %s", l->domain,
			   l->reason.len ? buf_cstr(&l->reason)
					 : "no such host");
		fetch_failed(l, TLSRPT_STS_FETCH_ERROR, buf_cstr(&reason));
	} else if (!mtasts_fetch_new(l->domain, &l->addresses, on_fetched, l)) {
		end_without(l, TLSRPT_STS_FETCH_ERROR,
			    "too many policies are being fetched");
	}
	buf_free(&reason);
}

static void
take_addresses(struct lookup *l, const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n && l->addresses.n < ADDRESSES_MAX; i++)
		strvec_add(&l->addresses, a->rr[i].text);
	if (a->status == DNS_RETRY)
		buf_set(&l->reason, buf_span(&a->reason));
	if (!l->a && !l->aaaa)
		addresses_done(l);
}

static void
on_a(void *arg, const struct dns_answer *answer)
{
	struct lookup *l = arg;

	l->a = NULL;
	take_addresses(l, answer);
}

static void
on_aaaa(void *arg, const struct dns_answer *answer)
{
	struct lookup *l = arg;

	l->aaaa = NULL;
	take_addresses(l, answer);
}

static void
ask_addresses(struct lookup *l)
{
	unsigned families = sock_families(conf->inet_protocols);
	char *host = mem_sprintf("mta-sts.%s", l->domain);

	if (families & SOCK_IPV4)
		l->a = dns_ask(engine.base, host, DNS_A, on_a, l);
	if (families & SOCK_IPV6)
		l->aaaa = dns_ask(engine.base, host, DNS_AAAA, on_aaaa, l);
	free(host);
	if (!l->a && !l->aaaa)
		addresses_done(l);
}

/* ---- the TXT record ---- */

/* Exactly one record that begins right, and is right (section 3.1). */
static bool
find_id(const struct dns_answer *a, struct span *id)
{
	const char *record = NULL;

	for (size_t i = 0; i < a->n; i++) {
		if (!mta_sts_is_record(span_of(a->rr[i].text)))
			continue;
		if (record)
			return false;
		record = a->rr[i].text;
	}
	return record && mta_sts_parse_record(span_of(record), id);
}

static bool
failed_lately(const struct sts_entry *e, const char *id)
{
	return e && e->failed && strcmp(e->failed_id, id) == 0 &&
	       io_monotonic() - e->failed < conf->postrider_mta_sts_retry_time;
}

/* The cached policy is the one that is announced. */
static void
still_the_same(struct lookup *l, const struct sts_entry *e)
{
	struct sts_answer a = STS_ANSWER_INIT;
	bool refresh = mtasts_cache_is_due(e) && !failed_lately(e, l->id);

	if (!cached_answer(l->domain, &a)) {
		/* Its file is damaged. */
		ask_addresses(l);
		return;
	}
	tell_all(l, &a);
	sts_answer_free(&a);
	if (refresh)
		ask_addresses(l); /* for those to come */
	else
		lookup_free(l);
}

static void
on_txt(void *arg, const struct dns_answer *answer)
{
	struct lookup *l = arg;
	struct sts_entry *e = mtasts_cache_find(l->domain);
	struct span id = {NULL, 0};

	l->txt = NULL;
	if (answer->status == DNS_RETRY) {
		if (!e || mtasts_cache_ttl(e) == 0)
			mtasts_cache_failed(mtasts_cache_get(l->domain),
					    span_of(""), TLSRPT_STS_FETCH_ERROR,
					    buf_cstr(&answer->reason));
		end_without(l, TLSRPT_STS_FETCH_ERROR,
			    buf_cstr(&answer->reason));
		return;
	}
	if (!find_id(answer, &id)) {
		end_without(l, TLSRPT_SUCCESS, "no valid TXT record");
		return;
	}
	memcpy(l->id, id.data, id.len);
	if (e && mtasts_cache_ttl(e) > 0 && strcmp(e->id, l->id) == 0)
		still_the_same(l, e);
	else if (failed_lately(e, l->id))
		end_without(l, e->failure, e->reason);
	else
		ask_addresses(l);
}

/* ---- questions ---- */

static struct lookup *
find_lookup(const char *domain)
{
	struct lookup *l = htab_get(engine.lookups, span_of(domain));
	char *name;

	if (l)
		return l;
	if (htab_count(engine.lookups) >= MTASTS_LOOKUPS_MAX)
		return NULL;
	l = mem_alloc(sizeof(*l));
	l->domain = mem_strdup(domain);
	LIST_INIT(&l->waiters);
	htab_put(engine.lookups, span_of(domain), l);
	name = mem_sprintf("_mta-sts.%s", domain);
	l->txt = dns_ask(engine.base, name, DNS_TXT, on_txt, l);
	free(name);
	return l;
}

/* Who waited long enough gets the policy that is known. */
static void
on_waited(evutil_socket_t fd, short what, void *arg)
{
	struct mtasts_waiter *w = arg;
	struct sts_answer a = STS_ANSWER_INIT;

	(void)fd;
	(void)what;
	if (w->lookup->txt && cached_answer(w->lookup->domain, &a))
		tell(w, &a);
	sts_answer_free(&a);
}

static void
answer_none(mtasts_policy_fn fn, void *arg, enum tlsrpt_result failure,
	    const char *reason)
{
	struct sts_answer a = STS_ANSWER_INIT;

	a.failure = failure;
	buf_set_cstr(&a.reason, reason);
	fn(arg, &a);
	sts_answer_free(&a);
}

/* The form in which a domain is known here. */
static bool
normalise(struct span domain, struct buf *out)
{
	if (!dns_name_to_ascii(domain, out) || out->len > DOMAIN_MAX ||
	    !addr_valid_hostname(buf_span(out)))
		return false;
	for (size_t i = 0; i < out->len; i++)
		out->data[i] = (char)tolower((unsigned char)out->data[i]);
	return true;
}

static struct mtasts_waiter *
wait_for(struct lookup *l, mtasts_policy_fn fn, void *arg)
{
	struct timeval tv = {MTASTS_CACHED_WAIT_SECONDS, 0};
	struct mtasts_waiter *w = mem_alloc(sizeof(*w));

	w->lookup = l;
	w->fn = fn;
	w->arg = arg;
	w->timer = event_new(engine.base, -1, 0, on_waited, w);
	event_add(w->timer, &tv);
	LIST_INSERT_HEAD(&l->waiters, w, next);
	return w;
}

struct mtasts_waiter *
mtasts_policy_ask(struct span domain, mtasts_policy_fn fn, void *arg)
{
	struct buf name = BUF_INIT;
	struct mtasts_waiter *w = NULL;
	struct sts_answer a = STS_ANSWER_INIT;
	struct sts_entry *e = NULL;
	struct lookup *l;
	bool valid = normalise(domain, &name);

	/* What is refreshed in the background is not used by that. */
	if (valid && (e = mtasts_cache_find(buf_cstr(&name))))
		mtasts_cache_used(e);
	if (!valid)
		answer_none(fn, arg, TLSRPT_SUCCESS, "not a domain name");
	else if (e && mtasts_cache_ttl(e) == 0 && failed_lately(e, ""))
		/* Nobody waits for broken name servers again and again. */
		answer_none(fn, arg, e->failure, e->reason);
	else if ((l = find_lookup(buf_cstr(&name))))
		w = wait_for(l, fn, arg);
	else if (cached_answer(buf_cstr(&name), &a))
		fn(arg, &a);
	else
		answer_none(fn, arg, TLSRPT_STS_FETCH_ERROR,
			    "too many policies are being looked up");
	sts_answer_free(&a);
	buf_free(&name);
	return w;
}

/* ---- upkeep ---- */

static void
on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct strvec due = STRVEC_INIT;
	struct timeval tv = {SWEEP_SECONDS, 0};

	(void)fd;
	(void)what;
	(void)arg;
	mtasts_cache_sweep(&due, REFRESH_MAX);
	for (size_t i = 0; i < due.n; i++)
		find_lookup(due.v[i]);
	strvec_free(&due);
	event_add(engine.sweep, &tv);
}

void
mtasts_policy_start(struct event_base *base)
{
	struct timeval tv = {SWEEP_SECONDS, 0};

	engine.base = base;
	engine.lookups = htab_new();
	engine.sweep = event_new(base, -1, 0, on_sweep, NULL);
	event_add(engine.sweep, &tv);
	mtasts_cache_open();
	mtasts_fetch_start(base);
}
