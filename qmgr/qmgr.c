/* SPDX-License-Identifier: MIT */
#include "qmgr/qmgr.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue_receipt.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"

enum {
	SCAN_AT_ONCE = 200, /* messages per turn of the loop */
	BATCH_USEC = 10000,
	JUST_IN_CASE_MS = 3000,
	LOST_NOTICE_SECONDS = 60, /* look for unannounced mail this often */
};

struct queue *qmgr_queue;

static struct {
	struct event *sync, *incoming, *deferred, *tick, *run;
	bool incoming_due;
	bool scanning_deferred;
	bool flush; /* the running pass takes what is not due, too */
	bool flush_again;
	bool waits_for_room;
	bool stopping;
	bool sync_soon; /* a sync will be done in this turn, or in the next ones
			 */
	int64_t synced; /* monotonic: the last sync */
	bool orphans;   /* messages wait for agents of a qmgr that died */
	int64_t scan_at; /* monotonic: when the scan is due */
	int64_t config_time;
} state;

static void
after_ms(struct event *ev, int ms)
{
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	if (!event_pending(ev, EV_TIMEOUT, NULL))
		event_add(ev, &tv);
}

int64_t
qmgr_config_time(void)
{
	return state.config_time;
}

bool
qmgr_stopping(void)
{
	return state.stopping;
}

/* ---- batched sync ---- */

void
qmgr_sync(void)
{
	state.sync_soon = false;
	if (!queue_sync(qmgr_queue) || queue_unsynced(qmgr_queue))
		after_ms(state.sync, 1000);
	state.synced = io_monotonic();
}

static void
on_sync(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	qmgr_sync();
}

/*
 * At the end of this turn of the loop; soon after another sync a little later,
 * so that many messages share one. What was delivered is on record already
 * (queue_receipt.h).
 */
void
qmgr_note_unsynced(void)
{
	struct timeval when = {0, 0};

	if (state.sync_soon)
		return;
	if (io_monotonic() - state.synced < BATCH_USEC)
		when.tv_usec = BATCH_USEC;
	/* Also when a later try is pending. */
	event_add(state.sync, &when);
	state.sync_soon = true;
}

/* ---- segments ---- */

/* Run the scan at the latest after ms. */
static void
scan_within(int ms)
{
	int64_t at = io_monotonic() + ms * 1000LL;
	struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

	if (state.stopping ||
	    (event_pending(state.incoming, EV_TIMEOUT, NULL) &&
	     state.scan_at <= at))
		return;
	state.scan_at = at;
	event_add(state.incoming, &tv);
}

bool
qmgr_left_to_orphan(struct queue_message *qm)
{
	if (!queue_is_in_delivery(qm)) {
		queue_receipt_apply(qmgr_queue, qm);
		return false;
	}
	state.orphans = true;
	queue_release(qmgr_queue, qm);
	return true;
}

static void
admit(void *arg, struct queue_message *qm)
{
	(void)arg;
	if (!qmgr_left_to_orphan(qm))
		active_admit(qm);
}

static void
on_incoming(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (state.stopping)
		return;
	if (!active_has_room()) {
		state.waits_for_room = true;
		return;
	}
	if (state.incoming_due) {
		state.incoming_due = false;
		queue_rescan_incoming(qmgr_queue);
	}
	if (queue_scan_incoming(qmgr_queue, SCAN_AT_ONCE, admit, NULL) > 0 ||
	    state.incoming_due)
		scan_within(0);
}

void
qmgr_rescan_soon(void)
{
	state.incoming_due = true;
	scan_within(active_has_room() ? 100 : 1000);
}

void
qmgr_rescan_later(void)
{
	state.incoming_due = true;
	scan_within(JUST_IN_CASE_MS);
}

void
qmgr_active_room(void)
{
	if (!state.waits_for_room || !active_has_room() || state.stopping)
		return;
	state.waits_for_room = false;
	state.incoming_due = true;
	scan_within(0);
	if (state.scanning_deferred)
		after_ms(state.deferred, 0);
}

/* ---- deferred ---- */

static void
consider(void *arg, const char *id, int64_t next_attempt)
{
	int64_t now = *(int64_t *)arg;
	struct queue_message *qm;

	if ((!state.flush && next_attempt > now) || active_find(id) ||
	    !active_has_room())
		return;
	qm = queue_open(qmgr_queue, "deferred", id);
	if (qm && !qmgr_left_to_orphan(qm))
		active_admit(qm);
}

static void
on_deferred(evutil_socket_t fd, short what, void *arg)
{
	int64_t now = io_now();
	bool more = true;

	(void)fd;
	(void)what;
	(void)arg;
	if (state.stopping)
		return;
	if (!active_has_room()) {
		state.waits_for_room = true;
		return;
	}
	/* One by one: who finds no room is not passed over. */
	for (int i = 0; i < SCAN_AT_ONCE && more; i++)
		if (active_has_room())
			more = queue_scan_deferred(qmgr_queue, "deferred", 1,
						   consider, &now);
	if (more) {
		after_ms(state.deferred, 0);
		return;
	}
	state.scanning_deferred = false;
	state.flush = false;
	if (state.flush_again) {
		state.flush_again = false;
		qmgr_scan_deferred(true);
	}
}

void
qmgr_scan_deferred(bool all)
{
	if (state.scanning_deferred) {
		if (all && !state.flush)
			state.flush_again = true;
		return;
	}
	state.scanning_deferred = true;
	state.flush = all;
	after_ms(state.deferred, 0);
}

static void
on_run(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = {.tv_sec = conf->queue_run_delay / 1000000};

	(void)fd;
	(void)what;
	(void)arg;
	qmgr_scan_deferred(false);
	event_add(state.run, &tv);
}

/* ---- service ---- */

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	static int seconds;

	(void)fd;
	(void)what;
	(void)arg;
	sched_tick();
	queue_receipt_settle(qmgr_queue);
	if (state.orphans) {
		state.orphans = false;
		qmgr_rescan_soon();
		qmgr_scan_deferred(false);
	}
	if (++seconds % LOST_NOTICE_SECONDS == 0)
		qmgr_rescan_soon();
}

void
qmgr_check_stopped(void)
{
	if (!state.stopping || sched_in_flight() || notice_in_flight())
		return;
	queue_sync(qmgr_queue);
	queue_disown(qmgr_queue);
	service_exit(0);
}

static void
reload(void)
{
	state.config_time = io_now();
	sched_reload();
	event_del(state.run);
	on_run(-1, 0, NULL);
}

static void
stop(void)
{
	state.stopping = true;
	qmgr_check_stopped();
}

static void
start(struct event_base *base)
{
	struct timeval second = {.tv_sec = 1};

	/* A predecessor that still finishes deliveries gives way soon. */
	for (int i = 0; !(qmgr_queue = queue_own()); i++) {
		if (errno != EAGAIN)
			log_fatal("cannot take the queue: %m");
		if (i == 0)
			log_info("waiting for another owner of the queue");
		usleep(100000);
	}
	state.config_time = io_now();
	state.sync = evtimer_new(base, on_sync, NULL);
	state.incoming = evtimer_new(base, on_incoming, NULL);
	state.deferred = evtimer_new(base, on_deferred, NULL);
	state.run = evtimer_new(base, on_run, NULL);
	state.tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
	event_add(state.tick, &second);
	state.incoming_due = true;
	scan_within(0);
	on_run(-1, 0, NULL);
}

static void
init(void)
{
	queue_make_directories();
}

static const struct service qmgr_service = {
    .name = "qmgr",
    .model = SERVICE_EVENT,
    .flags = SERVICE_SINGLE,
    .init = init,
    .event_client = intake_accept,
    .event_start = start,
    .event_reload = reload,
    .event_stop = stop,
};

int
main(int argc, char **argv)
{
	return service_main(argc, argv, &qmgr_service);
}
