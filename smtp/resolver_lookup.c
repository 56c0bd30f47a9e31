/* SPDX-License-Identifier: MIT */
#include "smtp/resolver_lookup.h"

#include <ctype.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/htab.h"
#include "lib/base/mem.h"
#include "lib/dns/wire.h"
#include "lib/sys/io.h"
#include "smtp/resolver_engine.h"
#include "smtp/resolver_hosts.h"

struct resolver_waiter {
	TAILQ_ENTRY(resolver_waiter) of_lookup;
	TAILQ_ENTRY(resolver_waiter) by_time;
	struct lookup *lookup;
	int64_t deadline;
	resolver_waiter_fn fn;
	void *arg;
};
TAILQ_HEAD(waiter_list, resolver_waiter);

struct lookup {
	struct buf key; /* "15 example.com" */
	struct waiter_list waiters;
};

/* All wait equally long, so the list is in the order of deadlines. */
static struct {
	struct htab *in_flight;
	struct waiter_list by_time;
	size_t waiters;
	struct event *timer;
	const struct lookup *asking; /* NULL once it was answered */
} lookups;

static void
timer_set(void)
{
	const struct resolver_waiter *w = TAILQ_FIRST(&lookups.by_time);
	int64_t left;
	struct timeval tv;

	if (!w || evtimer_pending(lookups.timer, NULL))
		return;
	left = w->deadline - io_monotonic();
	if (left < 0)
		left = 0;
	tv.tv_sec = left / 1000000;
	tv.tv_usec = left % 1000000;
	evtimer_add(lookups.timer, &tv);
}

void
resolver_lookup_cancel(struct resolver_waiter *w)
{
	TAILQ_REMOVE(&w->lookup->waiters, w, of_lookup);
	TAILQ_REMOVE(&lookups.by_time, w, by_time);
	lookups.waiters--;
	free(w);
}

static void
waiter_answer(struct resolver_waiter *w, const struct dns_answer *answer)
{
	resolver_waiter_fn fn = w->fn;
	void *arg = w->arg;

	resolver_lookup_cancel(w);
	fn(arg, answer);
}

static void
answer_failure(resolver_waiter_fn fn, void *arg, enum dns_status status,
	       const char *reason)
{
	struct dns_answer a = DNS_ANSWER_INIT;

	a.status = status;
	buf_set_cstr(&a.reason, reason);
	fn(arg, &a);
	dns_answer_free(&a);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	int64_t now = io_monotonic();
	struct dns_answer a = DNS_ANSWER_INIT;
	struct resolver_waiter *w;

	(void)fd;
	(void)what;
	(void)arg;
	a.status = DNS_RETRY;
	buf_set_cstr(&a.reason, "the name servers did not answer in time");
	while ((w = TAILQ_FIRST(&lookups.by_time)) && w->deadline <= now)
		waiter_answer(w, &a);
	dns_answer_free(&a);
	timer_set();
}

static void
on_engine_answer(void *arg, struct dns_answer *answer)
{
	struct lookup *l = arg;
	struct resolver_waiter *w;

	if (lookups.asking == l)
		lookups.asking = NULL;
	htab_remove(lookups.in_flight, buf_span(&l->key));
	while ((w = TAILQ_FIRST(&l->waiters)))
		waiter_answer(w, answer);
	buf_free(&l->key);
	free(l);
}

void
resolver_lookup_start(struct event_base *base)
{
	lookups.in_flight = htab_new();
	TAILQ_INIT(&lookups.by_time);
	lookups.timer = evtimer_new(base, on_timer, NULL);
}

static void
lower(const char *name, struct buf *out)
{
	for (; *name; name++)
		buf_append_byte(out, (char)tolower((unsigned char)*name));
}

static struct resolver_waiter *
waiter_new(struct lookup *l, resolver_waiter_fn fn, void *arg)
{
	struct resolver_waiter *w = mem_alloc(sizeof(*w));

	w->lookup = l;
	w->fn = fn;
	w->arg = arg;
	w->deadline = io_monotonic() + RESOLVER_WAIT_SECONDS * INT64_C(1000000);
	TAILQ_INSERT_TAIL(&l->waiters, w, of_lookup);
	TAILQ_INSERT_TAIL(&lookups.by_time, w, by_time);
	lookups.waiters++;
	timer_set();
	return w;
}

/*
 * Ask the engine; the waiter exists before, because the answer may come
 * before the engine returns. Then the waiter, and the look-up, are gone.
 */
static struct resolver_waiter *
ask_engine(const char *wire_name, enum dns_type type, struct buf *key,
	   resolver_waiter_fn fn, void *arg)
{
	struct lookup *l = htab_get(lookups.in_flight, buf_span(key));
	const struct lookup *outer;
	struct resolver_waiter *w;
	bool answered;

	if (l)
		return waiter_new(l, fn, arg);
	if (htab_count(lookups.in_flight) >= RESOLVER_LOOKUPS_MAX) {
		answer_failure(fn, arg, DNS_RETRY, "too many look-ups");
		return NULL;
	}
	l = mem_alloc(sizeof(*l));
	l->key = *key;
	*key = (struct buf)BUF_INIT;
	TAILQ_INIT(&l->waiters);
	htab_put(lookups.in_flight, buf_span(&l->key), l);
	w = waiter_new(l, fn, arg);
	outer = lookups.asking;
	lookups.asking = l;
	resolver_engine_ask(wire_name, type, on_engine_answer, l);
	answered = lookups.asking != l;
	lookups.asking = outer;
	return answered ? NULL : w;
}

struct resolver_waiter *
resolver_lookup_ask(const char *name, enum dns_type type, unsigned flags,
		    resolver_waiter_fn fn, void *arg)
{
	bool hosts = (flags & (DNS_HOSTS | DNS_HOSTS_ONLY)) != 0;
	struct dns_answer a = DNS_ANSWER_INIT;
	struct buf key = BUF_INIT, wire_name = BUF_INIT;
	struct resolver_waiter *w = NULL;

	if (resolver_hosts_find(name, type, !hosts, &a)) {
		fn(arg, &a);
	} else if (flags & DNS_HOSTS_ONLY) {
		answer_failure(fn, arg, DNS_NO_NAME, "");
	} else if (lookups.waiters >= RESOLVER_WAITERS_MAX) {
		answer_failure(fn, arg, DNS_RETRY, "too many look-ups");
	} else if (type == DNS_PTR && !dns_reverse_name(name, &wire_name)) {
		answer_failure(fn, arg, DNS_BAD_NAME, "");
	} else {
		/* Lower case: names in an answer may be compressed to a part
		 * of the question, and others get the same answer. */
		if (type != DNS_PTR)
			lower(name, &wire_name);
		buf_printf(&key, "%d %s", (int)type, buf_cstr(&wire_name));
		w = ask_engine(buf_cstr(&wire_name), type, &key, fn, arg);
	}
	dns_answer_free(&a);
	buf_free(&key);
	buf_free(&wire_name);
	return w;
}
