/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <sys/resource.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

static struct active_list list = TAILQ_HEAD_INITIALIZER(list);
static struct htab *by_id;
static size_t count;
static size_t rcpt_count;
static size_t n_probes;

static bool
is_probe(const struct active *a)
{
	return a->qm->env.flags & ENVELOPE_PROBE;
}

size_t
active_count(void)
{
	return count;
}

/*
 * A retried message needs a descriptor of its own, and one more on its way to
 * an agent: half of what there is stays for connections.
 */
static size_t
descriptors_for_messages(void)
{
	static size_t n;
	struct rlimit r;

	if (!n)
		n = getrlimit(RLIMIT_NOFILE, &r) < 0 ||
			    r.rlim_cur == RLIM_INFINITY
			? SIZE_MAX
			: r.rlim_cur / 2 + 1;
	return n;
}

/*
 * Memory is what recipients cost, and a few messages with many of them that
 * go nowhere must not keep all others out: each may bring some.
 */
static size_t
recipient_limit(void)
{
	return (size_t)conf->qmgr_message_recipient_limit +
	       (size_t)conf->qmgr_message_recipient_minimum *
		   (size_t)conf->qmgr_message_active_limit;
}

bool
active_has_room(void)
{
	return count < (size_t)conf->qmgr_message_active_limit &&
	       count < descriptors_for_messages() &&
	       rcpt_count < recipient_limit();
}

const struct active_list *
active_all(void)
{
	return &list;
}

struct active *
active_find(const char *id)
{
	return by_id ? htab_get(by_id, span_of(id)) : NULL;
}

static const char *
sender_of(const struct active *a)
{
	return a->qm->env.sender;
}

/* Take a out of the active queue by one of the library's verbs, which
 * consumes the queue message. */
static void
leave(struct active *a, bool (*verb)(struct active *a))
{
	size_t n = a->qm->env.n_rcpts;

	htab_remove(by_id, span_of(a->qm->id));
	queue_mark_in_delivery(a->qm, false);
	/* What the disk refuses is met again by a scan, when its time comes. */
	verb(a);
	for (size_t i = 0; i < n; i++)
		why_free(&a->result[i]);
	free(a->result);
	free(a->passed);
	rcpt_count -= n;
	TAILQ_REMOVE(&list, a, link);
	count--;
	free(a);
	qmgr_note_unsynced();
	qmgr_active_room();
	qmgr_check_stopped();
}

static bool
verb_finish(struct active *a)
{
	log_info("%s: removed", a->qm->id);
	queue_finish(qmgr_queue, a->qm);
	return true;
}

static bool
verb_delete(struct active *a)
{
	queue_finish(qmgr_queue, a->qm);
	return true;
}

/* What this attempt says about recipients that stay. */
static void
keep_reasons(struct active *a)
{
	struct queue_message *qm = a->qm;

	if (!qm->last)
		qm->last = mem_calloc(qm->env.n_rcpts, sizeof(*qm->last));
	for (size_t i = 0; i < qm->env.n_rcpts; i++)
		if (qm->state[i] == RCPT_OPEN && why_is_set(&a->result[i]))
			why_copy(&qm->last[i], &a->result[i]);
}

static bool
verb_hold(struct active *a)
{
	keep_reasons(a);
	return queue_hold(qmgr_queue, a->qm);
}

static bool
verb_release(struct active *a)
{
	queue_release(qmgr_queue, a->qm);
	return true;
}

static int64_t
lifetime(const struct active *a)
{
	return sender_of(a)[0] ? conf->maximal_queue_lifetime
			       : conf->bounce_queue_lifetime;
}

/* Older messages wait longer: as long as they are old, within bounds. */
static int64_t
next_attempt(const struct active *a, int64_t now)
{
	int64_t wait = now - a->qm->env.arrival;

	if (wait < conf->minimal_backoff_time)
		wait = conf->minimal_backoff_time;
	if (wait > conf->maximal_backoff_time)
		wait = conf->maximal_backoff_time;
	return now + wait;
}

static bool
verb_defer(struct active *a)
{
	struct queue_message *qm = a->qm;

	qm->attempts++;
	keep_reasons(a);
	return queue_defer(qmgr_queue, qm, next_attempt(a, io_now()));
}

static bool
failed(const struct active *a, size_t i)
{
	return a->qm->state[i] == RCPT_OPEN && why_is_set(&a->result[i]) &&
	       why_class(&a->result[i]) == WHY_BOUNCE;
}

static bool
failed_and_told(const struct active *a, size_t i)
{
	int notify = a->qm->env.rcpts[i].dsn_notify;

	return failed(a, i) && (notify == 0 || (notify & NOTIFY_FAILURE));
}

/* RFC 3461 section 5.2.3: who asked hears that it arrived. */
static bool
sent_and_told(const struct active *a, size_t i)
{
	return why_is_set(&a->result[i]) &&
	       why_class(&a->result[i]) == WHY_SENT &&
	       (a->qm->env.rcpts[i].dsn_notify & NOTIFY_SUCCESS);
}

static bool
delayed_and_told(const struct active *a, size_t i)
{
	int notify = a->qm->env.rcpts[i].dsn_notify;

	return a->qm->state[i] == RCPT_OPEN && !failed(a, i) &&
	       why_is_set(&a->result[i]) &&
	       (notify == 0 || (notify & NOTIFY_DELAY));
}

static bool
has_result(const struct active *a, size_t i)
{
	return why_is_set(&a->result[i]);
}

static size_t
count_of(const struct active *a,
	 bool (*test)(const struct active *a, size_t i))
{
	size_t n = 0;

	for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
		n += test(a, i);
	return n;
}

static void
mark_failed_done(struct active *a)
{
	for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
		if (failed(a, i))
			queue_rcpt_done(qmgr_queue, a->qm, i);
	qmgr_note_unsynced();
}

static bool
anything_open(const struct active *a)
{
	for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
		if (a->qm->state[i] == RCPT_OPEN)
			return true;
	return false;
}

/* What an attempt leaves after the failures were dealt with. */
static void
settle(struct active *a)
{
	if (!anything_open(a)) {
		leave(a, verb_finish);
		return;
	}
	if (a->pending == PENDING_HOLD) {
		leave(a, verb_hold);
		return;
	}
	if (conf->delay_warning_time > 0 && !a->qm->delay_warned &&
	    !a->notice_failed &&
	    sender_of(a)[0] &&
	    io_now() - a->qm->env.arrival > conf->delay_warning_time &&
	    count_of(a, delayed_and_told)) {
		a->delay_notice = true;
		notice_start(a, BOUNCE_DELAY, sender_of(a), delayed_and_told);
		return;
	}
	leave(a, verb_defer);
}

/* A message that is too old bounces what is still open. */
static void
expire(struct active *a)
{
	int64_t age = io_now() - a->qm->env.arrival;
	bool forced = a->qm->expire;

	if (!forced && age <= lifetime(a))
		return;
	if (!anything_open(a))
		return;
	for (size_t i = 0; i < a->qm->env.n_rcpts; i++) {
		struct why *w = &a->result[i];

		if (a->qm->state[i] != RCPT_OPEN || failed(a, i))
			continue;
		if (!why_is_set(w) && a->qm->last)
			why_copy(w, &a->qm->last[i]);
		if (!why_is_set(w))
			why_set(w, "4.4.7", "delivery time expired");
		why_set_class(w, WHY_BOUNCE);
	}
	log_info("%s: from=<%s>, status=%s, returned to sender", a->qm->id,
		 sender_of(a), forced ? "force-expired" : "expired");
}

/* Is it our own notice to a postmaster (bounce_write.c)? Another domain's
 * address of that name is somebody's. */
static bool
is_double_bounce(const struct active *a)
{
	const char *sender = sender_of(a), *at = strrchr(sender, '@');
	struct span local = at ? span_make(sender, (size_t)(at - sender))
			       : span_of(sender);

	return span_equal_cstr_nocase(local, conf->double_bounce_sender) &&
	       (!at || (a->qm->env.flags & ENVELOPE_NOTICE) ||
		span_equal_cstr_nocase(span_of(at + 1), conf->myorigin));
}

/* Who hears about failures of this message, and how. */
static void
report_failures(struct active *a)
{
	const char *sender = sender_of(a);

	if (is_double_bounce(a)) {
		log_warn("%s: undeliverable postmaster notification discarded",
			 a->qm->id);
	} else if (sender[0] == '\0') {
		if (conf_list_has(conf->notify_classes, "2bounce")) {
			notice_start(a, BOUNCE_POSTMASTER,
				     conf->_2bounce_notice_recipient, failed);
			return;
		}
	} else if (count_of(a, failed_and_told)) {
		notice_start(a, BOUNCE_FAILURE, sender, failed_and_told);
		return;
	}
	mark_failed_done(a);
	settle(a);
}

/* sendmail -bv and -v mail a report about the first attempt. */
static bool
wants_report(const struct active *a)
{
	return !a->reported && sender_of(a)[0] &&
	       (a->qm->env.flags & (ENVELOPE_VERIFY | ENVELOPE_REPORT)) &&
	       !strcmp(a->qm->queue_name, "incoming") &&
	       count_of(a, has_result);
}

/* All jobs of this attempt are back. */
static void
attempt_done(struct active *a)
{
	if (a->pending == PENDING_DELETE) {
		n_probes -= is_probe(a);
		leave(a, verb_delete);
		return;
	}
	if (a->qm->env.flags & ENVELOPE_PROBE) {
		n_probes--;
		verify_report(a);
		leave(a, verb_finish);
		return;
	}
	if (wants_report(a)) {
		a->reported = a->success_notice = true;
		notice_start(a, BOUNCE_VERIFY, sender_of(a), has_result);
		return;
	}
	if (a->qm->env.flags & ENVELOPE_VERIFY) {
		leave(a, verb_finish);
		return;
	}
	if (!a->success_told && sender_of(a)[0] &&
	    count_of(a, sent_and_told)) {
		a->success_told = a->success_notice = true;
		notice_start(a, BOUNCE_SUCCESS, sender_of(a), sent_and_told);
		return;
	}
	if (a->pending == PENDING_NONE && qmgr_stopping() &&
	    !count_of(a, failed)) {
		for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
			if (a->qm->state[i] == RCPT_OPEN &&
			    !why_is_set(&a->result[i])) {
				leave(a, verb_release);
				return;
			}
	}
	if (a->pending == PENDING_NONE)
		expire(a);
	if (count_of(a, failed))
		report_failures(a);
	else
		settle(a);
}

void
active_notice_done(struct active *a, bool ok, const struct why *why)
{
	a->notice = NULL;
	if (a->success_notice) {
		/* The recipients have their mail: that is not taken back. */
		if (!ok)
			log_warn("%s: cannot write a success notice: %s",
				 a->qm->id, buf_cstr(&why->text));
		a->success_notice = false;
		attempt_done(a);
		return;
	}
	a->notice_failed = !ok;
	if (ok) {
		a->qm->delay_warned |= a->delay_notice;
		mark_failed_done(a);
	} else {
		/* Keep them open: the next attempt fails and reports again. */
		log_warn("%s: cannot write a notice: %s", a->qm->id,
			 buf_cstr(&why->text));
		for (size_t i = 0; i < a->qm->env.n_rcpts; i++)
			if (failed(a, i))
				why_set_class(&a->result[i], WHY_DEFER);
	}
	if (a->pending == PENDING_DELETE)
		leave(a, verb_delete);
	else
		settle(a);
}

void
active_dsn_passed(struct active *a, size_t rcpt)
{
	if (rcpt < a->qm->env.n_rcpts)
		a->qm->env.rcpts[rcpt].dsn_notify &= ~NOTIFY_SUCCESS;
}

void
active_result(struct active *a, size_t rcpt, const struct why *why)
{
	if (rcpt >= a->qm->env.n_rcpts || a->qm->state[rcpt] != RCPT_OPEN)
		return;
	why_copy(&a->result[rcpt], why);
	if (why_class(why) == WHY_SENT) {
		queue_rcpt_done(qmgr_queue, a->qm, rcpt);
		qmgr_note_unsynced();
	}
}

bool
active_pass(struct active *a, size_t rcpt)
{
	if (!a->passed)
		a->passed = mem_calloc(a->qm->env.n_rcpts, sizeof(*a->passed));
	if (a->passed[rcpt])
		return false;
	a->passed[rcpt] = true;
	return true;
}

void
active_job_done(struct active *a)
{
	if (--a->open_jobs == 0)
		attempt_done(a);
}

static void
schedule(struct active *a)
{
	a->open_jobs = 1; /* so that no job finishes the message under us */
	if (a->pending == PENDING_NONE)
		sched_add(a);
	active_job_done(a);
}

void
active_routed(struct active *a, size_t rcpt)
{
	(void)rcpt;
	if (--a->to_route == 0)
		schedule(a);
}

static bool
needs_routing(const struct active *a, const struct rcpt *r)
{
	/* A content filter's route is part of the message, and that of a probe
	 * was made by other rules (address_verify_*). */
	if (r->transport && (a->qm->env.filter || is_probe(a)))
		return false;
	return !r->transport || strcmp(a->qm->queue_name, "incoming") ||
	       a->qm->env.arrival < qmgr_config_time();
}

void
active_admit(struct queue_message *qm)
{
	struct active *a = mem_alloc(sizeof(*a));
	struct envelope *env = &qm->env;
	size_t open = 0;

	if (!by_id)
		by_id = htab_new();
	a->qm = qm;
	qm->owner_data = a;
	a->active_time = io_now();
	a->result = mem_calloc(env->n_rcpts, sizeof(*a->result));
	TAILQ_INSERT_TAIL(&list, a, link);
	count++;
	rcpt_count += env->n_rcpts;
	htab_put(by_id, span_of(qm->id), a);
	queue_mark_in_delivery(qm, true);
	if ((env->flags & ENVELOPE_HOLD) && !strcmp(qm->queue_name, "incoming")) {
		leave(a, verb_hold);
		return;
	}
	for (size_t i = 0; i < env->n_rcpts; i++)
		open += qm->state[i] == RCPT_OPEN;
	log_info("%s: from=<%s>, size=%lld, nrcpt=%zu (queue active)", qm->id,
		 env->sender, (long long)env->size, open);
	/* Mail must not wait for those who guess addresses. */
	if (is_probe(a) &&
	    ++n_probes > (size_t)conf->address_verify_pending_request_limit) {
		n_probes--;
		leave(a, verb_delete);
		return;
	}
	if (qm->expire) {
		attempt_done(a);
		return;
	}
	a->to_route = 1; /* as open_jobs in schedule() */
	for (size_t i = 0; i < env->n_rcpts; i++) {
		if (qm->state[i] != RCPT_OPEN ||
		    !needs_routing(a, &env->rcpts[i]))
			continue;
		a->to_route++;
		route_again(a, i);
	}
	active_routed(a, 0);
}

void
active_set_pending(struct active *a, enum pending_op op)
{
	a->pending = op;
	if (a->to_route == 0 && !a->notice && a->open_jobs) {
		a->open_jobs++;
		sched_drop(a);
		active_job_done(a);
	}
}
