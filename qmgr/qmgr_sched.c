/* SPDX-License-Identifier: MIT */
/*
 * Who goes next. A destination is a next hop of a transport (or, where the
 * transport takes one recipient at a time, a recipient). Each has a window:
 * how many jobs may be with agents at once. Destinations that have jobs, room
 * in their window and are alive take turns, one job a turn.
 */
#include <math.h>
#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/mastercf.h"
#include "lib/service/agent.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

enum {
	AGENT_IDLE_SECONDS = 100,
	AGENT_HELLO_SECONDS = 60,
};

static struct htab *transports;
static size_t in_flight;

size_t
sched_in_flight(void)
{
	return in_flight;
}

/* ---- configuration ---- */

static int
setting(const struct transport *t, const char *suffix, int dflt)
{
	return conf_transport_int(t->name, suffix, dflt);
}

static void
configure(struct transport *t, const struct mastercf *m)
{
	const struct master_service *s =
	    mastercf_find(m, t->name, MASTER_UNIX);

	t->process_limit = s ? (size_t)s->maxproc
			     : (size_t)conf->default_process_limit;
	t->window_limit = setting(t, "_destination_concurrency_limit",
				  conf->default_destination_concurrency_limit);
	t->window_initial = setting(t, "_initial_destination_concurrency",
				    conf->initial_destination_concurrency);
	if (t->window_limit > 0 && t->window_initial > t->window_limit)
		t->window_initial = t->window_limit;
	if (t->window_initial < 1)
		t->window_initial = 1;
	t->rcpt_limit = setting(t, "_destination_recipient_limit",
				conf->default_destination_recipient_limit);
	t->cohort_limit = setting(
	    t, "_destination_concurrency_failed_cohort_limit",
	    conf->default_destination_concurrency_failed_cohort_limit);
	t->rate_delay = conf_transport_time(t->name, "_destination_rate_delay",
					    conf->default_destination_rate_delay);
}

static void
read_mastercf(struct mastercf *m)
{
	struct strvec errors = STRVEC_INIT;
	char *path = mem_sprintf("%s/master.cf", conf_directory());

	/* master has told about its errors. */
	mastercf_read(path, m, &errors);
	strvec_free(&errors);
	free(path);
}

void
sched_reload(void)
{
	struct mastercf m = {0};
	size_t pos = 0;
	void *t;

	if (!transports)
		return;
	read_mastercf(&m);
	while (htab_next(transports, &pos, NULL, &t))
		configure(t, &m);
	mastercf_free(&m);
}

static struct transport *
transport_get(const char *name)
{
	struct transport *t;
	struct mastercf m = {0};

	if (!transports)
		transports = htab_new();
	t = htab_get(transports, span_of(name));
	if (t)
		return t;
	t = mem_alloc(sizeof(*t));
	t->name = mem_strdup(name);
	t->dests = htab_new();
	TAILQ_INIT(&t->ready);
	TAILQ_INIT(&t->agents);
	read_mastercf(&m);
	configure(t, &m);
	mastercf_free(&m);
	htab_put(transports, span_of(name), t);
	return t;
}

/* ---- destinations ---- */

static struct destination *
dest_get(struct transport *t, const char *name)
{
	struct destination *d = htab_get(t->dests, span_of(name));

	if (d)
		return d;
	d = mem_alloc(sizeof(*d));
	d->transport = t;
	d->name = mem_strdup(name);
	d->window = t->window_initial;
	TAILQ_INIT(&d->todo);
	htab_put(t->dests, span_of(name), d);
	return d;
}

/* A destination is remembered while it has jobs or is known to be dead. */
static void
dest_release(struct destination *d)
{
	if (d->n_todo || d->busy || d->dead_until || d->not_before)
		return;
	if (d->in_ready)
		TAILQ_REMOVE(&d->transport->ready, d, link);
	htab_remove(d->transport->dests, span_of(d->name));
	why_free(&d->dead_why);
	free(d->name);
	free(d);
}

static void
dest_note_ready(struct destination *d)
{
	if (d->n_todo && !d->in_ready) {
		TAILQ_INSERT_TAIL(&d->transport->ready, d, link);
		d->in_ready = true;
	}
}

static bool
dest_may_send(const struct destination *d, int64_t now)
{
	if (d->transport->window_limit > 0 && d->busy >= (size_t)d->window)
		return false;
	return d->not_before <= now;
}

/* ---- jobs ---- */

void
sched_job_free(struct job *j)
{
	free(j->nexthop);
	free(j->rcpts);
	free(j);
}

static void
job_unqueue(struct job *j)
{
	TAILQ_REMOVE(&j->dest->todo, j, link);
	j->dest->n_todo--;
}

/* Give each recipient of a job that never left the same result. suspended: it
 * is that of mail which went before. */
static void
job_fail(struct job *j, const struct why *why, bool suspended)
{
	struct active *a = j->msg;

	for (size_t i = 0; i < j->n; i++) {
		struct why w = WHY_INIT;

		why_copy(&w, why);
		if (suspended)
			why_prepend(&w, "delivery temporarily suspended: ");
		a->open_jobs++;
		/* Logged as the retry transport does it. */
		{
			struct buf text = BUF_INIT;

			buf_printf(&text, "%s %s", w.dsn, buf_cstr(&w.text));
			internal_deliver(a, "retry", buf_cstr(&text),
					 j->rcpts[i]);
			buf_free(&text);
		}
		a->open_jobs--;
		why_free(&w);
	}
	sched_job_free(j);
	active_job_done(a);
}

static void
dest_fail_all(struct destination *d, const struct why *why, bool suspended)
{
	struct job *j;

	d->busy++; /* keep d while jobs that fail may release it */
	while ((j = TAILQ_FIRST(&d->todo))) {
		job_unqueue(j);
		job_fail(j, why, suspended);
	}
	d->busy--;
}

static bool
open_job_takes(const struct job *j, const struct transport *t,
	       const struct active *a)
{
	size_t limit = t->rcpt_limit <= 0 || t->rcpt_limit > AGENT_RCPT_MAX
			   ? AGENT_RCPT_MAX
			   : (size_t)t->rcpt_limit;

	return j && j->msg == a && j->n < limit;
}

static bool
is_deferred_transport(const char *name)
{
	return conf->defer_transports[0] &&
	       conf_list_has(conf->defer_transports, name);
}

/* One open recipient: into the last job of its destination, or a new one. */
static struct transport *
add_rcpt(struct active *a, size_t i)
{
	const struct rcpt *r = &a->qm->env.rcpts[i];
	struct transport *t = transport_get(r->transport);
	struct destination *d = dest_get(
	    t, t->rcpt_limit == 1 ? r->address : r->nexthop);
	struct job *j = TAILQ_LAST(&d->todo, job_list);

	if (!open_job_takes(j, t, a) || strcmp(j->nexthop, r->nexthop)) {
		j = mem_alloc(sizeof(*j));
		j->msg = a;
		j->dest = d;
		j->nexthop = mem_strdup(r->nexthop);
		TAILQ_INSERT_TAIL(&d->todo, j, link);
		d->n_todo++;
		a->open_jobs++;
	}
	if ((j->n & (j->n - 1)) == 0) /* a power of two: grow */
		j->rcpts = mem_realloc(j->rcpts, j->n ? j->n * 2 : 1,
				       sizeof(*j->rcpts));
	j->rcpts[j->n++] = i;
	dest_note_ready(d);
	return t;
}

struct transport *
sched_add_one(struct active *a, size_t i)
{
	const struct envelope *env = &a->qm->env;
	const struct rcpt *r = &env->rcpts[i];

	if ((env->flags & ENVELOPE_PROBE) && verify_is_known(a, i))
		return NULL;
	if (internal_transport(r->transport)) {
		internal_deliver(a, r->transport, r->nexthop, i);
		return NULL;
	}
	if (env->flags & ENVELOPE_VERIFY) {
		internal_verify(a, i);
		return NULL;
	}
	if (is_deferred_transport(r->transport)) {
		internal_deliver(a, "retry", "4.3.2 deferred transport", i);
		return NULL;
	}
	return add_rcpt(a, i);
}

void
sched_add(struct active *a)
{
	size_t pos = 0;
	void *t;

	for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
		if (a->qm->state[i] == RCPT_OPEN && !why_is_set(&a->result[i]))
			sched_add_one(a, i);
	while (htab_next(transports ? transports
				    : (transports = htab_new()),
			 &pos, NULL, &t))
		if (!TAILQ_EMPTY(&((struct transport *)t)->ready))
			sched_pump(t);
}

void
sched_drop(struct active *a)
{
	size_t pos = 0;
	void *value;

	while (transports && htab_next(transports, &pos, NULL, &value)) {
		struct transport *t = value;
		struct destination *d, *next;

		for (d = TAILQ_FIRST(&t->ready); d; d = next) {
			struct job *j, *after;

			next = TAILQ_NEXT(d, link);
			for (j = TAILQ_FIRST(&d->todo); j; j = after) {
				after = TAILQ_NEXT(j, link);
				if (j->msg != a)
					continue;
				job_unqueue(j);
				sched_job_free(j);
				active_job_done(a);
			}
			dest_release(d);
		}
	}
}

/* ---- sending ---- */

/* The next destination in turn that may send; NULL when none. */
static struct destination *
next_ready(struct transport *t, int64_t now)
{
	struct destination *d, *next;

	for (d = TAILQ_FIRST(&t->ready); d; d = next) {
		next = TAILQ_NEXT(d, link);
		if (!d->n_todo) {
			TAILQ_REMOVE(&t->ready, d, link);
			d->in_ready = false;
			dest_release(d);
		} else if (d->dead_until > now) {
			TAILQ_REMOVE(&t->ready, d, link);
			d->in_ready = false;
			dest_fail_all(d, &d->dead_why, true);
			return next_ready(t, now);
		} else if (dest_may_send(d, now)) {
			return d;
		}
	}
	return NULL;
}

static void
send_job(struct destination *d, struct agent *ag, int64_t now)
{
	struct transport *t = d->transport;
	struct job *j = TAILQ_FIRST(&d->todo);

	/* To the end of the line: everybody gets a turn. */
	TAILQ_REMOVE(&t->ready, d, link);
	TAILQ_INSERT_TAIL(&t->ready, d, link);
	job_unqueue(j);
	d->busy++;
	in_flight++;
	j->sent_at = now;
	if (t->rate_delay > 0)
		d->not_before = now + t->rate_delay;
	agent_deliver(ag, j);
}

void
sched_pump(struct transport *t)
{
	int64_t now = io_monotonic();
	struct destination *d;

	if (t->dead_until > now) {
		struct why why = WHY_INIT;

		why_copy(&why, &t->dead_why);
		while ((d = TAILQ_FIRST(&t->ready))) {
			TAILQ_REMOVE(&t->ready, d, link);
			d->in_ready = false;
			dest_fail_all(d, &why, false);
			dest_release(d);
		}
		why_free(&why);
		return;
	}
	while (!qmgr_stopping() && (d = next_ready(t, now))) {
		bool connected;
		struct job *j = TAILQ_FIRST(&d->todo);
		struct agent *ag = agent_pick(t, j->nexthop, &connected);
		bool may_start =
		    !t->process_limit || t->n_agents < t->process_limit;
		size_t wanted = 0;

		/*
		 * An idle agent that is connected elsewhere is taken last:
		 * its session is worth more than a new process costs.
		 */
		if (ag && (connected || !ag->idle_dest[0] || !may_start)) {
			send_job(d, ag, now);
			continue;
		}
		TAILQ_FOREACH (d, &t->ready, link) {
			size_t room = t->window_limit > 0
					  ? (size_t)d->window
					  : d->n_todo + d->busy;

			if (room > d->busy)
				wanted += d->n_todo < room - d->busy
					      ? d->n_todo
					      : room - d->busy;
		}
		while (may_start && t->n_starting < wanted) {
			if (!agent_start(t)) {
				if (t->dead_until > now)
					sched_pump(t);
				return;
			}
			may_start = !t->process_limit ||
				    t->n_agents < t->process_limit;
		}
		return;
	}
}

/* ---- feedback ---- */

/* "1", "0.5", "1/concurrency", "1/sqrt_concurrency" for a window. */
static double
feedback(const char *text, int window)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || v < 0 || v > 1)
		return 1;
	if (!strcmp(end, "/concurrency"))
		v /= window;
	else if (!strcmp(end, "/sqrt_concurrency"))
		v /= sqrt(window);
	return v;
}

static const char *
feedback_setting(const struct transport *t, const char *suffix,
		 const char *dflt)
{
	char *name = mem_sprintf("%s%s", t->name, suffix);
	const char *v = conf_get(name);

	free(name);
	return v ? v : dflt;
}

static void
feed_success(struct destination *d)
{
	struct transport *t = d->transport;

	d->failed_cohorts = 0;
	if (t->window_limit <= 0 || d->window >= t->window_limit)
		return;
	/* Only a full window shows that more would be used. */
	if (d->busy + 1 < (size_t)d->window)
		return;
	d->success += feedback(
	    feedback_setting(
		t, "_destination_concurrency_positive_feedback",
		conf->default_destination_concurrency_positive_feedback),
	    d->window);
	for (; d->success >= 1 && d->window < t->window_limit; d->success--)
		d->window++;
}

static void
feed_failure(struct destination *d, const struct why *why)
{
	struct transport *t = d->transport;

	d->failed_cohorts += 1.0 / d->window;
	d->failure += feedback(
	    feedback_setting(
		t, "_destination_concurrency_negative_feedback",
		conf->default_destination_concurrency_negative_feedback),
	    d->window);
	for (; d->failure >= 1; d->failure--)
		if (d->window > 1)
			d->window--;
	if (t->cohort_limit > 0 && d->failed_cohorts >= t->cohort_limit) {
		d->dead_until = io_monotonic() + conf->minimal_backoff_time;
		why_copy(&d->dead_why, why);
		d->window = t->window_initial;
		d->failed_cohorts = 0;
		d->success = d->failure = 0;
		if (d->n_todo)
			dest_note_ready(d);
	}
}

void
sched_job_finished(struct job *j, const struct why *site_why)
{
	struct destination *d = j->dest;
	struct transport *t = d->transport;
	struct active *a = j->msg;

	in_flight--;
	d->busy--;
	if (site_why)
		feed_failure(d, site_why);
	else
		feed_success(d);
	sched_job_free(j);
	dest_release(d);
	active_job_done(a);
	sched_pump(t);
}

void
sched_job_again(struct job *j)
{
	struct destination *d = j->dest;

	in_flight--;
	d->busy--;
	j->answered = 0;
	TAILQ_INSERT_HEAD(&d->todo, j, link);
	d->n_todo++;
	dest_note_ready(d);
}

/* ---- death ---- */

void
sched_transport_dead(struct transport *t, const struct why *why)
{
	t->dead_until = io_monotonic() + conf->transport_retry_time;
	why_copy(&t->dead_why, why);
}

void
sched_revive_all(void)
{
	size_t pos = 0;
	void *value;

	while (transports && htab_next(transports, &pos, NULL, &value)) {
		struct transport *t = value;
		size_t at = 0;

		t->dead_until = 0;
		while (htab_next(t->dests, &at, NULL, &value)) {
			struct destination *d = value;

			d->dead_until = 0;
			dest_release(d);
		}
	}
}

static void
tick_dests(struct transport *t, int64_t now)
{
	size_t pos = 0;
	void *value;

	while (htab_next(t->dests, &pos, NULL, &value)) {
		struct destination *d = value;

		if (d->dead_until && d->dead_until <= now)
			d->dead_until = 0;
		if (d->not_before && d->not_before <= now)
			d->not_before = 0;
		dest_release(d);
	}
}

static void
tick_agents(struct transport *t, int64_t now)
{
	struct agent *ag, *next;

	for (ag = TAILQ_FIRST(&t->agents); ag; ag = next) {
		int64_t age = (now - ag->since) / 1000000;

		next = TAILQ_NEXT(ag, link);
		if (ag->ready && !ag->job && age > AGENT_IDLE_SECONDS) {
			agent_close(ag);
		} else if (!ag->ready && age > AGENT_HELLO_SECONDS) {
			struct why why = WHY_INIT;

			log_warn("transport %s: no delivery agent answered "
				 "for %d seconds",
				 t->name, AGENT_HELLO_SECONDS);
			why_set(&why, "4.3.0", "mail transport unavailable");
			agent_close(ag);
			if (t->n_agents == 0)
				sched_transport_dead(t, &why);
			why_free(&why);
		}
	}
}

void
sched_tick(void)
{
	int64_t now = io_monotonic();
	size_t pos = 0;
	void *value;

	while (transports && htab_next(transports, &pos, NULL, &value)) {
		tick_agents(value, now);
		tick_dests(value, now);
		sched_pump(value);
	}
}
