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
	resolver_engine_fn fn;
	void *arg;
};
STAILQ_HEAD(question_list, question);

struct context {
	SLIST_ENTRY(context) next_dead;
	struct ub_ctx *ub;
	size_t in_flight;
	bool retired; /* to be deleted when in_flight is 0 */
	bool dead;    /* waits for the reaper */
	bool validates;
	bool probing;
	struct event *probe_timer;
	struct question_list waiting; /* while probing */
};

static struct {
	struct event_base *base;
	struct resolver_engine_conf conf;
	struct context *now;
	struct context *candidate; /* probes, to take over from now */
	struct stat st;            /* of resolv.conf */
	int64_t checked;
	int64_t probe_again; /* 0: never */
	struct event *reaper;
	SLIST_HEAD(, context) dead;
	int ports; /* sockets towards the servers */
} engine;

static struct context *context_new(bool validate);
static void context_start(struct context *c, struct question *q);

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

	if (!c->retired || c->in_flight || c->probing || c->dead)
		return;
	c->dead = true;
	SLIST_INSERT_HEAD(&engine.dead, c, next_dead);
	event_add(engine.reaper, &at_once);
}

static void
context_retire(struct context *c)
{
	c->retired = true;
	context_check_dead(c);
}

static void
question_finish(struct question *q, struct dns_answer *answer)
{
	resolver_engine_fn fn = q->fn;
	void *arg = q->arg;

	free(q->name);
	free(q);
	fn(arg, answer);
	dns_answer_free(answer);
}

static void
question_fail(struct question *q, enum dns_status status, const char *text)
{
	struct dns_answer a = DNS_ANSWER_INIT;

	a.status = status;
	buf_set_cstr(&a.reason, text);
	question_finish(q, &a);
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
	question_finish(q, &a);
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

static void
context_run_waiting(struct context *c)
{
	struct question *q;

	while ((q = STAILQ_FIRST(&c->waiting))) {
		STAILQ_REMOVE_HEAD(&c->waiting, next);
		context_start(c, q);
	}
}

/* The first context cannot validate: one that does not even try takes over
 * the questions that waited. */
static void
probe_failed(struct context *c)
{
	struct context *plain;

	log_warn("the name servers do not give answers that validate; "
		 "going on without DNSSEC");
	plain = context_new(false);
	STAILQ_CONCAT(&plain->waiting, &c->waiting);
	engine.now = plain;
	context_retire(c);
	context_run_waiting(plain);
}

static void
probe_end(struct context *c, bool secure)
{
	if (!c->probing)
		return;
	c->probing = false;
	event_free(c->probe_timer);
	c->probe_timer = NULL;
	if (!secure)
		engine.probe_again = io_monotonic() + PROBE_AGAIN_USEC;
	if (c == engine.candidate) {
		engine.candidate = NULL;
		if (secure) {
			log_info("the name servers give answers that "
				 "validate again");
			context_retire(engine.now);
			engine.now = c;
		} else {
			context_retire(c);
		}
	} else if (c == engine.now && !secure) {
		probe_failed(c);
	} else {
		context_run_waiting(c);
		context_check_dead(c);
	}
}

static void
on_probe(void *arg, struct dns_answer *answer)
{
	probe_end(arg, answer->status == DNS_FOUND && answer->secure);
}

static void
on_probe_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	probe_end(arg, false);
}

static void
probe_start(struct context *c)
{
	static const struct timeval limit = {PROBE_SECONDS, 0};
	struct question *q = mem_alloc(sizeof(*q));

	c->probing = true;
	c->probe_timer = evtimer_new(engine.base, on_probe_timeout, c);
	event_add(c->probe_timer, &limit);
	q->name = mem_strdup(".");
	q->type = 2; /* NS */
	q->fn = on_probe;
	q->arg = c;
	context_start(c, q);
}

static struct context *
context_new(bool validate)
{
	struct context *c = mem_alloc(sizeof(*c));

	STAILQ_INIT(&c->waiting);
	c->ub = ub_ctx_create_event(engine.base);
	if (!c->ub)
		log_fatal_code(75, "cannot create a libunbound context: %m");
	c->validates =
	    resolver_setup_context(c->ub, &engine.conf, validate, engine.ports);
	return c;
}

/* A new context replaces the one in use. */
static void
engine_replace(void)
{
	struct context *old = engine.now;

	engine.probe_again = 0;
	if (engine.candidate) {
		/* It asks servers that are not in use any more. */
		context_retire(engine.candidate);
		engine.candidate = NULL;
	}
	engine.now = context_new(true);
	if (engine.now->validates)
		probe_start(engine.now);
	if (old)
		context_retire(old);
}

/* Try whether the servers have learnt to validate. */
static void
engine_probe(void)
{
	engine.probe_again = 0;
	if (engine.candidate)
		return;
	engine.candidate = context_new(true);
	if (engine.candidate->validates) {
		probe_start(engine.candidate);
		return;
	}
	context_retire(engine.candidate);
	engine.candidate = NULL;
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
	engine.reaper = evtimer_new(base, context_reap, NULL);
	getrlimit(RLIMIT_NOFILE, &rl);
	/* Half of the descriptors for clients. */
	engine.ports = rl.rlim_cur > 9000 ? 4096 : (int)(rl.rlim_cur / 2) - 64;
	if (engine.ports < 16)
		engine.ports = 16;
	if (stat(RESOLVER_RESOLV_CONF, &engine.st) < 0)
		memset(&engine.st, 0, sizeof(engine.st));
	engine.checked = io_monotonic();
	engine_replace();
}

void
resolver_engine_ask(const char *name, enum dns_type type, resolver_engine_fn fn,
		    void *arg)
{
	struct question *q = mem_alloc(sizeof(*q));

	engine_refresh();
	q->name = mem_strdup(name);
	q->type = type;
	q->fn = fn;
	q->arg = arg;
	if (engine.now->probing)
		STAILQ_INSERT_TAIL(&engine.now->waiting, q, next);
	else
		context_start(engine.now, q);
}
