/* SPDX-License-Identifier: MIT */
/*
 * qmgr - the queue manager's own data, shared by its modules.
 *
 *   qmgr.c	       service, timers, reload, batched sync
 *   qmgr_intake.c     public/qmgr: new mail, flush, postsuper, showq
 *   qmgr_active.c     the life of an active message: admit ... finish
 *   qmgr_route.c      asks the lookup service again for retried mail
 *   qmgr_sched.c      transports, destinations, windows: who goes next
 *   qmgr_agent.c      connections to delivery agents
 *   qmgr_internal.c   error, retry and discard, done in this process
 *   qmgr_notice.c     notices through the bounce service
 *   qmgr_verify.c     results of address probes, for verify(8)
 *
 * A message becomes active, its open recipients are routed and grouped into
 * jobs, one job per (message, destination, recipient limit). A job waits in
 * its destination until the destination's window and an agent are free. When
 * the last job of a message is back the message is finished, deferred or
 * bounced.
 */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/dsn/why.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue.h"

struct event;
struct job;
struct destination;
struct transport;

/* What is to happen to an active message that postsuper asked for. */
enum pending_op {
	PENDING_NONE,
	PENDING_DELETE,
	PENDING_HOLD,
};

/* A message in the active queue. */
struct active {
	TAILQ_ENTRY(active) link;
	struct queue_message *qm;
	int64_t active_time;   /* microseconds */
	size_t open_jobs;
	size_t to_route;       /* recipients whose route is being asked */
	enum pending_op pending;
	struct why *result;    /* per recipient, of this attempt */
	bool *passed;	       /* per recipient, or NULL: active_pass() */
	struct notice *notice; /* being written */
	bool notice_failed;    /* no other in this attempt */
	bool delay_notice;     /* it is, or was, about a delay */
	bool success_notice;   /* the one being written is about a success */
	bool reported; /* sendmail -bv, -v: the report was asked for */
	bool success_told;     /* no other in this attempt */
};

TAILQ_HEAD(active_list, active);

/* Recipients of one message for one destination. */
struct job {
	TAILQ_ENTRY(job) link;
	struct active *msg;
	struct destination *dest;
	char *nexthop;
	size_t *rcpts; /* indexes */
	size_t n;
	size_t answered;
	int64_t sent_at; /* monotonic microseconds */
};

TAILQ_HEAD(job_list, job);

struct destination {
	TAILQ_ENTRY(destination) link; /* in transport->ready when it has jobs */
	struct transport *transport;
	char *name;
	struct job_list todo;
	size_t n_todo;
	size_t busy;
	int window;
	double success;	       /* feedback not yet worth a step */
	double failure;
	double failed_cohorts;
	int64_t dead_until;    /* monotonic microseconds; 0 alive */
	struct why dead_why;
	int64_t not_before;    /* rate delay, monotonic microseconds */
	bool in_ready;
};

TAILQ_HEAD(destination_list, destination);

/* A connection to a delivery agent's worker. */
struct agent {
	TAILQ_ENTRY(agent) link;
	struct transport *transport;
	struct ipc ipc;
	struct event *read_ev;
	struct event *write_ev;
	bool ready;	 /* it said hello */
	bool lost;	 /* being closed */
	struct job *job; /* NULL: idle */
	char *idle_dest; /* connected to; "" when not */
	int64_t receipts; /* its slot (queue_receipt.h); -1: none */
	int64_t since;	 /* monotonic: connected, or idle */
};

TAILQ_HEAD(agent_list, agent);

struct transport {
	char *name;
	struct htab *dests;
	struct destination_list ready;
	struct agent_list agents;
	size_t n_agents;
	size_t n_starting;
	size_t process_limit; /* 0: none */
	int window_limit;
	int window_initial;
	int rcpt_limit;
	double cohort_limit;
	int64_t rate_delay;
	int64_t dead_until;
	struct why dead_why;
};

extern struct queue *qmgr_queue;

/* qmgr.c */
/* Sync now: before somebody is told what is in the queue. */
void qmgr_sync(void);
/* Something was recorded: sync it soon. */
void qmgr_note_unsynced(void);
/* Look for messages in segments soon (a notice was lost or dropped). */
void qmgr_rescan_soon(void);
/* The same in a few seconds: just in case. */
void qmgr_rescan_later(void);
/* Start a pass over the deferred queue now; all: whatever their time. */
void qmgr_scan_deferred(bool all);
/* There is room in the active queue again. */
void qmgr_active_room(void);
/* When the configuration that routes were made with was last replaced,
 * microseconds since the epoch. */
int64_t qmgr_config_time(void);
bool qmgr_stopping(void);
/* The last job came back while stopping. */
void qmgr_check_stopped(void);

/*
 * Is qm in the hands of an agent of a qmgr that died? Then it was given back,
 * and is looked for again in a second.
 */
bool qmgr_left_to_orphan(struct queue_message *qm);

/* qmgr_intake.c */
void intake_accept(int fd);

/* qmgr_active.c */
size_t active_count(void);
bool active_has_room(void);
const struct active_list *active_all(void);
struct active *active_find(const char *id);
/* Takes over qm. */
void active_admit(struct queue_message *qm);
/* A recipient's result of this attempt. */
void active_result(struct active *a, size_t rcpt, const struct why *why);
/* The next host, which gets this recipient, writes its success notice. */
void active_dsn_passed(struct active *a, size_t rcpt);
/* An agent passes a recipient on to another transport: once in an attempt,
 * so that two that do it come to an end. */
bool active_pass(struct active *a, size_t rcpt);
/* A job came back (all its recipients have results). */
void active_job_done(struct active *a);
/* A recipient's new route is known; or why says why not. */
void active_routed(struct active *a, size_t rcpt);
/* The notice of this attempt was written, or could not be. */
void active_notice_done(struct active *a, bool ok, const struct why *why);
/* postsuper on an active message. */
void active_set_pending(struct active *a, enum pending_op op);

/* qmgr_route.c */
/* Ask for a new route of recipient rcpt; active_routed() follows, maybe
 * before this returns. A failed look-up gives the retry transport. */
void route_again(struct active *a, size_t rcpt);
/* This attempt goes there. */
void route_set(struct active *a, size_t rcpt, const char *transport,
	       const char *nexthop);

/* qmgr_sched.c */
/* Queue jobs for the open recipients of a. */
void sched_add(struct active *a);
/* The same for one; NULL, or the transport that has a job more. */
struct transport *sched_add_one(struct active *a, size_t rcpt);
void sched_job_free(struct job *j);
/* Drop the jobs of a that no agent has. */
void sched_drop(struct active *a);
/* An agent finished j: feedback, next. site_why: the destination as a whole
 * failed; NULL: it works. */
void sched_job_finished(struct job *j, const struct why *site_why);
/* Put j back to the front, without feedback. */
void sched_job_again(struct job *j);
/* The transport cannot be reached: defer everything for it for a while. */
void sched_transport_dead(struct transport *t, const struct why *why);
void sched_pump(struct transport *t);
/* flush: forget what is dead. */
void sched_revive_all(void);
/* The configuration changed. */
void sched_reload(void);
size_t sched_in_flight(void);
/* Once a second: idle agents, dead destinations. */
void sched_tick(void);

/* qmgr_agent.c */
/* Connect one more; false: it failed and the transport is dead now. */
bool agent_start(struct transport *t);
/* The best idle agent for a next hop, or NULL. */
struct agent *agent_pick(struct transport *t, const char *nexthop,
			 bool *connected);
/* Hand over. */
void agent_deliver(struct agent *ag, struct job *j);
void agent_close(struct agent *ag);
/* Give whoever delivers a slot for receipts, and say so on c; -1: none is to
 * be had. */
int64_t agent_give_receipts(struct ipc *c);

/* qmgr_internal.c */
bool internal_transport(const char *name);
/* The agents' log line, for a recipient that this process has the answer of. */
void internal_log_result(const struct active *a, const char *process,
			 size_t rcpt, const struct why *why);
/* Give every recipient of the job its result. */
void internal_deliver(struct active *a, const char *transport,
		      const char *nexthop, size_t rcpt);
/* sendmail -bv: say where the recipient's mail would go, deliver nothing. */
void internal_verify(struct active *a, size_t rcpt);

/* qmgr_verify.c */
/* Is rcpt an address that is known without asking an agent? */
bool verify_is_known(const struct active *a, size_t rcpt);
/* Tell verify(8) what the probe a found out. */
void verify_report(const struct active *a);

/* qmgr_notice.c */
/* How many are being written. */
size_t notice_in_flight(void);
/*
 * Write a notice about the recipients of a whose result the test accepts.
 * active_notice_done() follows.
 */
void notice_start(struct active *a, enum bounce_kind kind, const char *to,
		  bool (*wanted)(const struct active *a, size_t rcpt));

#endif
