/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_dnsbl.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/dns/wire.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_sites.h"

struct dnsbl_watch {
	LIST_ENTRY(dnsbl_watch) next;
	struct score *score;
	void (*changed)(void *arg);
	void *arg;
};

struct query {
	LIST_ENTRY(query) next; /* of its score */
	struct score *score;
	size_t number;
	int64_t serial;
	char *name;
};

struct score {
	LIST_HEAD(, dnsbl_watch) watches;
	LIST_HEAD(, query) queries;
	struct event *timer; /* postscreen_dnsbl_timeout */
	char *addr;
	int total;
	int ttl_listed, ttl_absent; /* the shortest of them; 0: none */
	const struct site *heaviest;
};

static const char resolver_path[] = "private/resolver";

static struct {
	struct sites sites;
	const struct site **by_query; /* the first entry of each domain */
	struct event_base *base;
	struct htab *scores;  /* by address */
	struct htab *queries; /* by serial */
	size_t n_queries;
	int64_t serial;
	struct ipc ipc;
	bool connected;
	struct event *readable, *writable;
} dnsbl;

void
postscreen_dnsbl_open(void)
{
	struct buf error = BUF_INIT;

	if (!sites_parse(&dnsbl.sites, conf->postscreen_dnsbl_sites, &error))
		log_fatal("postscreen_dnsbl_sites: %s", buf_cstr(&error));
	dnsbl.by_query =
	    mem_calloc(dnsbl.sites.n_queries + 1, sizeof(*dnsbl.by_query));
	for (size_t i = dnsbl.sites.n; i > 0; i--)
		dnsbl.by_query[dnsbl.sites.v[i - 1].query] =
		    &dnsbl.sites.v[i - 1];
	dnsbl.scores = htab_new();
	dnsbl.queries = htab_new();
}

bool
postscreen_dnsbl_enabled(void)
{
	return dnsbl.sites.n > 0;
}

void
postscreen_dnsbl_start(struct event_base *base)
{
	dnsbl.base = base;
}

/* ---- scores ---- */

static struct span
serial_key(const int64_t *serial)
{
	return span_make((const char *)serial, sizeof(*serial));
}

static void
query_free(struct query *q)
{
	htab_remove(dnsbl.queries, serial_key(&q->serial));
	LIST_REMOVE(q, next);
	dnsbl.n_queries--;
	free(q->name);
	free(q);
}

static void
score_free(struct score *s)
{
	struct query *q;

	while ((q = LIST_FIRST(&s->queries)))
		query_free(q);
	htab_remove(dnsbl.scores, span_of(s->addr));
	event_free(s->timer);
	free(s->addr);
	free(s);
}

/* A watch may go away, or all of them, while it is told. */
static void
tell(struct score *s)
{
	struct dnsbl_watch *w = LIST_FIRST(&s->watches);

	while (w) {
		struct dnsbl_watch *next = LIST_NEXT(w, next);

		w->changed(w->arg);
		w = next;
	}
}

/* What nobody waits for is logged all the same. s may be gone afterwards. */
static void
go_on(struct score *s)
{
	if (!LIST_EMPTY(&s->watches))
		tell(s);
	else if (LIST_EMPTY(&s->queries))
		score_free(s);
}

static void
shorten(int *ttl, int other)
{
	if (other > 0 && (*ttl == 0 || other < *ttl))
		*ttl = other;
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct score *s = arg;
	struct query *q;

	(void)fd;
	(void)what;
	while ((q = LIST_FIRST(&s->queries)))
		query_free(q);
	go_on(s);
}

/* ---- answers ---- */

/* Every entry counts once, for the first answer that it wants. */
static bool
count_entries(struct score *s, size_t number, struct strvec *answers)
{
	bool listed = false;

	for (size_t i = 0; i < dnsbl.sites.n; i++) {
		const struct site *site = &dnsbl.sites.v[i];
		bool wanted = false;

		if (site->query != number)
			continue;
		for (size_t k = 0; k < answers->n && !wanted; k++)
			wanted = site_matches(site, answers->v[k]);
		if (!wanted)
			continue;
		listed = true;
		s->total += site->weight;
		if (!s->heaviest || site->weight > s->heaviest->weight)
			s->heaviest = site;
	}
	return listed;
}

static void
collect(const struct ipc_msg *msg, struct query *q, struct strvec *answers)
{
	for (size_t i = 0; i < msg->n; i++) {
		struct dns_rr rr;

		if (msg->v[i].attr != A_RR ||
		    !dns_rr_parse(DNS_A, msg->v[i].bytes, &rr))
			continue;
		log_info_as("dnsblog", "addr %s listed by domain %s as %s",
			    q->score->addr, dnsbl.by_query[q->number]->domain,
			    rr.text);
		strvec_add(answers, rr.text);
		free(rr.text);
	}
}

/* The line is dnsblog's in Postfix. */
static void
log_as_dnsblog(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_WARN, "dnsblog", fmt, ap);
	va_end(ap);
}

static void
take_answer(struct query *q, const struct ipc_msg *msg)
{
	struct score *s = q->score;
	struct strvec answers = STRVEC_INIT;
	int64_t status = ipc_num(msg, A_STATUS, DNS_RETRY);
	int64_t ttl = ipc_num(msg, A_TTL, 0);

	if (status == DNS_RETRY)
		log_as_dnsblog("lookup error for DNS query %s: %.*s", q->name,
			       SPAN_ARG(ipc_get(msg, A_REASON)));
	if (ttl < 0 || ttl > 100000000)
		ttl = 0;
	collect(msg, q, &answers);
	if (count_entries(s, q->number, &answers))
		shorten(&s->ttl_listed, (int)ttl);
	else if (status != DNS_RETRY)
		shorten(&s->ttl_absent, (int)ttl);
	strvec_free(&answers);
	query_free(q);
	go_on(s);
}

/* ---- the connection to the resolver ---- */

/* What it was asked, nobody answers any more. */
static void
disconnect(void)
{
	size_t pos = 0;
	struct span key;
	void *value;

	if (!dnsbl.connected)
		return;
	dnsbl.connected = false;
	event_free(dnsbl.readable);
	event_free(dnsbl.writable);
	ipc_close(&dnsbl.ipc);
	while (htab_next(dnsbl.scores, &pos, &key, &value)) {
		struct score *s = value;
		struct timeval now = {0, 0};

		if (!LIST_EMPTY(&s->queries))
			event_add(s->timer, &now);
	}
}

static void
push(void)
{
	switch (ipc_push(&dnsbl.ipc)) {
	case IPC_OK:
		break;
	case IPC_AGAIN:
		event_add(dnsbl.writable, NULL);
		break;
	default:
		disconnect();
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	push();
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	enum ipc_status st = ipc_fill(&dnsbl.ipc);
	struct ipc_msg msg;

	(void)fd;
	(void)what;
	(void)arg;
	if (st == IPC_AGAIN)
		return;
	while (st == IPC_OK && dnsbl.connected) {
		st = ipc_next(&dnsbl.ipc, &msg);
		if (st == IPC_OK && msg.type == MSG_DNS_ANSWER) {
			int64_t serial = ipc_num(&msg, A_SERIAL, -1);
			struct query *q =
			    htab_get(dnsbl.queries, serial_key(&serial));

			if (q)
				take_answer(q, &msg);
		}
	}
	if (st != IPC_AGAIN && dnsbl.connected) {
		log_warn("the resolver closed the connection");
		disconnect();
	}
}

static bool
connect_resolver(void)
{
	if (dnsbl.connected)
		return true;
	if (!ipc_connect(&dnsbl.ipc, resolver_path, 1)) {
		log_warn("connect to %s: %m", resolver_path);
		return false;
	}
	io_set_nonblocking(dnsbl.ipc.fd, true);
	dnsbl.readable = event_new(dnsbl.base, dnsbl.ipc.fd,
				   EV_READ | EV_PERSIST, on_readable, NULL);
	dnsbl.writable =
	    event_new(dnsbl.base, dnsbl.ipc.fd, EV_WRITE, on_writable, NULL);
	event_add(dnsbl.readable, NULL);
	dnsbl.connected = true;
	return true;
}

/* ---- questions ---- */

/* "2.0.0.127." of an address, as block lists want it. */
static bool
reversed(const char *addr, struct buf *out)
{
	static const char *const zones[] = {"in-addr.arpa", "ip6.arpa"};

	if (!dns_reverse_name(addr, out))
		return false;
	for (int i = 0; i < 2; i++) {
		if (span_ends_nocase(buf_span(out), zones[i]))
			buf_truncate(out, out->len - strlen(zones[i]));
	}
	return true;
}

static void
ask_one(struct score *s, size_t number, struct span prefix)
{
	struct query *q = mem_alloc(sizeof(*q));

	q->score = s;
	q->number = number;
	q->serial = ++dnsbl.serial;
	q->name = mem_sprintf("%.*s%s", SPAN_ARG(prefix),
			      dnsbl.by_query[number]->domain);
	LIST_INSERT_HEAD(&s->queries, q, next);
	htab_put(dnsbl.queries, serial_key(&q->serial), q);
	dnsbl.n_queries++;
	ipc_begin(&dnsbl.ipc, MSG_DNS_QUERY);
	ipc_put_num(&dnsbl.ipc, A_SERIAL, q->serial);
	ipc_put_cstr(&dnsbl.ipc, A_NAME, q->name);
	ipc_put_num(&dnsbl.ipc, A_RRTYPE, DNS_A);
	ipc_end(&dnsbl.ipc);
}

static void
ask_all(struct score *s)
{
	struct buf prefix = BUF_INIT;

	if (reversed(s->addr, &prefix) && connect_resolver()) {
		for (size_t i = 0; i < dnsbl.sites.n_queries &&
				   dnsbl.n_queries < DNSBL_QUERIES_MAX;
		     i++)
			ask_one(s, i, buf_span(&prefix));
		push();
	}
	buf_free(&prefix);
}

static struct score *
find_score(const char *addr)
{
	struct score *s = htab_get(dnsbl.scores, span_of(addr));
	struct timeval tv = {(time_t)(conf->postscreen_dnsbl_timeout / 1000000),
			     0};

	if (s)
		return s;
	s = mem_alloc(sizeof(*s));
	s->addr = mem_strdup(addr);
	s->timer = event_new(dnsbl.base, -1, 0, on_timeout, s);
	event_add(s->timer, &tv);
	htab_put(dnsbl.scores, span_of(addr), s);
	ask_all(s);
	return s;
}

struct dnsbl_watch *
postscreen_dnsbl_ask(const char *addr, void (*changed)(void *arg), void *arg)
{
	struct dnsbl_watch *w = mem_alloc(sizeof(*w));

	w->score = find_score(addr);
	w->changed = changed;
	w->arg = arg;
	LIST_INSERT_HEAD(&w->score->watches, w, next);
	return w;
}

void
postscreen_dnsbl_result(const struct dnsbl_watch *w, struct dnsbl_result *out)
{
	const struct score *s = w->score;

	out->complete = LIST_EMPTY(&s->queries);
	out->score = s->total;
	out->ttl = s->ttl_listed ? s->ttl_listed : s->ttl_absent;
	out->domain = s->heaviest ? s->heaviest->domain : "";
}

void
postscreen_dnsbl_drop(struct dnsbl_watch *w)
{
	struct score *s = w->score;

	LIST_REMOVE(w, next);
	free(w);
	if (LIST_EMPTY(&s->watches) && LIST_EMPTY(&s->queries))
		score_free(s);
}
