/* SPDX-License-Identifier: MIT */
#include "smtp/resolver_engine.h"

#include <event2/event.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unbound-event.h>
#include <unbound.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/wire.h"
#include "lib/sys/io.h"
#include "smtp/resolver_setup.h"

enum {
	RECHECK_USEC = 1000000,
	PROBE_SECONDS = 4,
	PROBE_AGAIN_USEC = 600 * 1000000,
	CLASS_IN = 1,
	SEC_BOGUS = 1,
	SEC_SECURE = 2,
};

/* A question that was handed to libunbound, or waits for the probe. */
struct question {
	STAILQ_ENTRY(question) next;
	struct context *ctx;
	char *name;
	enum dns_type type;
	bool second; /* asked again, of the servers of this host */
	struct dns_answer first;
	resolver_engine_fn fn;
	void *arg;
};
STAILQ_HEAD(question_list, question);

struct context {
	SLIST_ENTRY(context) next_dead;
	struct ub_ctx *ub;
	enum resolver_way way;
	size_t in_flight;
	bool retired; /* to be deleted when in_flight is 0 */
	bool dead;    /* waits for the reaper */
};

static struct {
	struct event_base *base;
	struct resolver_engine_conf conf;
	struct context *now;   /* NULL while the first probe is under way */
	struct context *local; /* beside RESOLVER_RECURSE, when there are
				  servers of this host */
	struct question_list waiting; /* for now */
	struct context *candidate;    /* is probed, to take over from now */
	struct event *probe_timer;
	struct stat st; /* of resolv.conf */
	int64_t checked;
	int64_t probe_again; /* 0: never */
	struct event *reaper;
	SLIST_HEAD(, context) dead;
	int ports; /* sockets towards the servers */
} engine;

static void context_start(struct context *c, struct question *q);
static void probe_next(enum resolver_way way);

static void
context_reap(evutil_socket_t fd, short what, void *arg)
{
	struct context *c;

	(void)fd;
	(void)what;
	(void)arg;
	while ((c = SLIST_FIRST(&engine.dead))) {
		SLIST_REMOVE_HEAD(&engine.dead, next_dead);
		ub_ctx_delete(c->ub);
		free(c);
	}
}

/* Not from inside one of its callbacks: the next turn of the loop does it. */
static void
context_check_dead(struct context *c)
{
	static const struct timeval at_once = {0, 0};

	if (!c->retired || c->in_flight || c->dead)
		return;
	c->dead = true;
	SLIST_INSERT_HEAD(&engine.dead, c, next_dead);
	event_add(engine.reaper, &at_once);
}

static void
context_retire(struct context *c)
{
	if (!c)
		return;
	c->retired = true;
	context_check_dead(c);
}

static void
question_finish(struct question *q, struct dns_answer *answer)
{
	resolver_engine_fn fn = q->fn;
	void *arg = q->arg;

	dns_answer_free(&q->first);
	free(q->name);
	free(q);
	fn(arg, answer);
	dns_answer_free(answer);
}

/*
 * What the root servers lead to counts when it is signed, and when it cannot
 * be had: who keeps answers away must not be able to make a signed name an
 * unsigned one.
 */
static bool
wants_second(const struct question *q, const struct dns_answer *a)
{
	return q->ctx->way == RESOLVER_RECURSE && engine.local && !q->second &&
	       a->status != DNS_RETRY && !(a->status == DNS_FOUND && a->secure);
}

static void
question_second(struct question *q, struct dns_answer *a)
{
	q->second = true;
	q->first = *a;
	*a = (struct dns_answer)DNS_ANSWER_INIT;
	context_start(engine.local, q);
}

/* Of two answers the first is better than none. */
static void
question_done(struct question *q, struct dns_answer *a)
{
	if (q->second && a->status != DNS_FOUND) {
		dns_answer_free(a);
		*a = q->first;
		q->first = (struct dns_answer)DNS_ANSWER_INIT;
		/* That of the servers of this host would not have been. */
		a->secure = false;
	}
	question_finish(q, a);
}

static void
question_fail(struct question *q, enum dns_status status, const char *text)
{
	struct dns_answer a = DNS_ANSWER_INIT;

	a.status = status;
	buf_set_cstr(&a.reason, text);
	question_done(q, &a);
}

static void
on_answer(void *arg, int rcode, void *packet, int len, int sec, char *why_bogus,
	  int ratelimited)
{
	struct question *q = arg;
	struct context *c = q->ctx;
	struct dns_answer a = DNS_ANSWER_INIT;

	(void)ratelimited;
	if (rcode != 0 && rcode != 3) {
		a.status = DNS_RETRY;
	} else if (packet && len > 0) {
		dns_wire_parse(span_make(packet, (size_t)len), q->type, &a);
	} else {
		a.status = rcode == 3 ? DNS_NO_NAME : DNS_RETRY;
	}
	a.secure = sec == SEC_SECURE;
	if (sec == SEC_BOGUS || (a.status == DNS_RETRY && why_bogus)) {
		dns_answer_free(&a);
		a.status = DNS_RETRY;
		buf_printf(&a.reason, "DNSSEC validation failed%s%s",
			   why_bogus ? ": " : "", why_bogus ? why_bogus : "");
	}
	if (a.status == DNS_RETRY && a.reason.len == 0)
		buf_set_cstr(&a.reason, "server failure, or no answer from the "
					"name servers");
	c->in_flight--;
	if (wants_second(q, &a))
		question_second(q, &a);
	else
		question_done(q, &a);
	context_check_dead(c);
}

static void
context_start(struct context *c, struct question *q)
{
	int rc;

	q->ctx = c;
	c->in_flight++;
	rc = ub_resolve_event(c->ub, q->name, q->type, CLASS_IN, q, on_answer,
			      NULL);
	if (rc == 0)
		return;
	c->in_flight--;
	question_fail(q, rc == UB_SYNTAX ? DNS_BAD_NAME : DNS_RETRY,
		      ub_strerror(rc));
}

static struct context *
context_new(enum resolver_way way)
{
	struct context *c = mem_alloc(sizeof(*c));

	c->way = way;
	c->ub = ub_ctx_create_event(engine.base);
	if (!c->ub)
		log_fatal_code(75, "cannot create a libunbound context: %m");
	if (!resolver_setup_context(c->ub, &engine.conf, way, engine.ports))
		c->way = RESOLVER_PLAIN;
	return c;
}

/* ---- which context ---- */

static void
log_change(enum resolver_way way)
{
	static const char *const texts[] = {
	    [RESOLVER_FORWARD] = "the name servers give answers that validate "
				 "again",
	    [RESOLVER_RECURSE] = "the name servers do not give answers that "
				 "validate; asking the root servers",
	};

	if (way == RESOLVER_PLAIN)
		log_warn("DNSSEC validation may be unavailable: the name "
			 "servers do not give answers that validate; going on "
			 "without DNSSEC");
	else
		log_info("%s", texts[way]);
}

/* What is best, if it works. */
static enum resolver_way
wanted_way(void)
{
	return resolver_setup_only_root(&engine.conf) ? RESOLVER_RECURSE
						      : RESOLVER_FORWARD;
}

static void
engine_start(struct question *q)
{
	if (engine.local && resolver_setup_is_private(&engine.conf, q->name))
		context_start(engine.local, q);
	else
		context_start(engine.now, q);
}

/* c answers from now on, those that waited first. */
static void
engine_use(struct context *c)
{
	enum resolver_way wanted = wanted_way();
	struct question *q;

	if (c->way != (engine.now ? engine.now->way : wanted))
		log_change(c->way);
	context_retire(engine.now);
	context_retire(engine.local);
	engine.now = c;
	engine.local = NULL;
	if (c->way == RESOLVER_RECURSE && wanted != RESOLVER_RECURSE)
		engine.local = context_new(RESOLVER_PLAIN);
	engine.probe_again = 0;
	if (c->way != wanted)
		engine.probe_again = io_monotonic() + PROBE_AGAIN_USEC;
	while ((q = STAILQ_FIRST(&engine.waiting))) {
		STAILQ_REMOVE_HEAD(&engine.waiting, next);
		engine_start(q);
	}
}

/* The candidate does not validate, or does not answer. */
static void
probe_failed(enum resolver_way way)
{
	/* Servers that were named are the ones to ask, and no others. */
	if (way == RESOLVER_FORWARD && engine.conf.servers[0] == '\0' &&
	    !(engine.now && engine.now->way == RESOLVER_RECURSE))
		probe_next(RESOLVER_RECURSE);
	else if (!engine.now)
		engine_use(context_new(RESOLVER_PLAIN));
	else
		engine.probe_again = io_monotonic() + PROBE_AGAIN_USEC;
}

static void
probe_end(struct context *c, bool secure)
{
	if (c != engine.candidate)
		return; /* it was given up */
	engine.candidate = NULL;
	event_free(engine.probe_timer);
	engine.probe_timer = NULL;
	if (secure) {
		engine_use(c);
		return;
	}
	context_retire(c);
	probe_failed(c->way);
}

/* The context is there until its last question was answered. */
static void
on_probe(void *arg, struct dns_answer *answer)
{
	probe_end(arg, answer->status != DNS_RETRY && answer->secure);
}

static void
on_probe_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	probe_end(arg, false);
}

/* dnssec_probe, "type:name". */
static void
probe_question(struct question *q)
{
	struct span name = span_of(engine.conf.probe), type = {NULL, 0};

	span_next_token(&name, ":", &type);
	name = span_from(name, 1);
	q->type = dns_type_by_name(type);
	if (q->type && name.len) {
		q->name = mem_strndup(name.data, name.len);
		return;
	}
	log_warn("bad dnssec_probe \"%s\": using \"ns:.\"", engine.conf.probe);
	q->type = DNS_NS;
	q->name = mem_strdup(".");
}

static void
probe_next(enum resolver_way way)
{
	static const struct timeval limit = {PROBE_SECONDS, 0};
	struct context *c = context_new(way);
	struct question *q;

	if (c->way == RESOLVER_PLAIN || engine.conf.probe[0] == '\0') {
		/* No anchor, or it is not to be tried out. */
		if (engine.now && c->way == RESOLVER_PLAIN)
			context_retire(c);
		else
			engine_use(c);
		return;
	}
	engine.candidate = c;
	engine.probe_timer = evtimer_new(engine.base, on_probe_timeout, c);
	event_add(engine.probe_timer, &limit);
	q = mem_alloc(sizeof(*q));
	q->second = true;
	q->first = (struct dns_answer)DNS_ANSWER_INIT;
	q->fn = on_probe;
	q->arg = c;
	probe_question(q);
	context_start(c, q);
}

static void
engine_probe(void)
{
	engine.probe_again = 0;
	if (engine.candidate)
		return;
	probe_next(wanted_way());
}

/* Everything anew, with what resolv.conf says now. */
static void
engine_replace(void)
{
	struct context *old = engine.candidate;

	engine.candidate = NULL;
	if (old) {
		/* It asks servers that are not in use any more. */
		event_free(engine.probe_timer);
		engine.probe_timer = NULL;
		context_retire(old);
	}
	context_retire(engine.now);
	context_retire(engine.local);
	engine.now = engine.local = NULL;
	engine_probe();
}

static void
engine_refresh(void)
{
	int64_t now = io_monotonic();
	struct stat st;

	if (now - engine.checked < RECHECK_USEC)
		return;
	engine.checked = now;
	if (stat(RESOLVER_RESOLV_CONF, &st) < 0)
		memset(&st, 0, sizeof(st));
	if (st.st_ino != engine.st.st_ino || st.st_size != engine.st.st_size ||
	    st.st_mtim.tv_sec != engine.st.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != engine.st.st_mtim.tv_nsec) {
		engine.st = st;
		engine_replace();
	} else if (engine.probe_again && now >= engine.probe_again) {
		engine_probe();
	}
}

void
resolver_engine_start(struct event_base *base,
		      const struct resolver_engine_conf *conf)
{
	struct rlimit rl = {1024, 1024};

	engine.base = base;
	engine.conf = *conf;
	STAILQ_INIT(&engine.waiting);
	engine.reaper = evtimer_new(base, context_reap, NULL);
	getrlimit(RLIMIT_NOFILE, &rl);
	/* Half of the descriptors for clients. */
	engine.ports = rl.rlim_cur > 9000 ? 4096 : (int)(rl.rlim_cur / 2) - 64;
	if (engine.ports < 16)
		engine.ports = 16;
	if (stat(RESOLVER_RESOLV_CONF, &engine.st) < 0)
		memset(&engine.st, 0, sizeof(engine.st));
	engine.checked = io_monotonic();
}

/* The name of a client decides nothing that a signature protects: it does not
 * wait until it is known which servers validate. */
static bool
needs_no_signature(const struct question *q)
{
	return q->type == DNS_PTR ||
	       resolver_setup_is_private(&engine.conf, q->name);
}

void
resolver_engine_ask(const char *name, enum dns_type type, resolver_engine_fn fn,
		    void *arg)
{
	struct question *q = mem_alloc(sizeof(*q));

	engine_refresh();
	q->name = mem_strdup(name);
	q->type = type;
	q->first = (struct dns_answer)DNS_ANSWER_INIT;
	q->fn = fn;
	q->arg = arg;
	if (!engine.now && !engine.candidate)
		engine_probe();
	if (engine.now) {
		engine_start(q);
	} else if (needs_no_signature(q)) {
		if (!engine.local)
			engine.local = context_new(RESOLVER_PLAIN);
		context_start(engine.local, q);
	} else {
		STAILQ_INSERT_TAIL(&engine.waiting, q, next);
	}
}
