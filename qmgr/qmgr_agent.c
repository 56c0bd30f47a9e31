/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_receipt.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

static void on_readable(evutil_socket_t fd, short what, void *arg);

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct agent *ag = arg;

	(void)fd;
	(void)what;
	/* An error shows up as readable, too. */
	if (ipc_push(&ag->ipc) == IPC_AGAIN)
		event_add(ag->write_ev, NULL);
}

bool
agent_start(struct transport *t)
{
	struct event_base *base = service_event_base();
	char *path = mem_sprintf("private/%s", t->name);
	struct agent *ag = mem_alloc(sizeof(*ag));

	if (!ipc_connect(&ag->ipc, path, 1)) {
		bool full = errno == EAGAIN;
		struct why why = WHY_INIT;

		if (!full) {
			log_warn("connect to transport %s: %m", path);
			why_set(&why, "4.3.0", "mail transport unavailable");
			if (t->n_agents == 0)
				sched_transport_dead(t, &why);
		}
		why_free(&why);
		free(path);
		free(ag);
		/* With other agents alive, or a full backlog, just wait. */
		return false;
	}
	free(path);
	io_set_nonblocking(ag->ipc.fd, true);
	ag->transport = t;
	ag->idle_dest = mem_strdup("");
	ag->receipts = -1;
	ag->since = io_monotonic();
	ag->read_ev =
	    event_new(base, ag->ipc.fd, EV_READ | EV_PERSIST, on_readable, ag);
	ag->write_ev = event_new(base, ag->ipc.fd, EV_WRITE, on_writable, ag);
	event_add(ag->read_ev, NULL);
	TAILQ_INSERT_TAIL(&t->agents, ag, link);
	t->n_agents++;
	t->n_starting++;
	return true;
}

void
agent_close(struct agent *ag)
{
	struct transport *t = ag->transport;

	TAILQ_REMOVE(&t->agents, ag, link);
	t->n_agents--;
	if (!ag->ready)
		t->n_starting--;
	queue_receipt_slot_free(qmgr_queue, ag->receipts);
	event_free(ag->read_ev);
	event_free(ag->write_ev);
	ipc_close(&ag->ipc);
	free(ag->idle_dest);
	free(ag);
}

struct agent *
agent_pick(struct transport *t, const char *nexthop, bool *connected)
{
	struct agent *free_one = NULL, *elsewhere = NULL, *ag;

	*connected = false;
	TAILQ_FOREACH(ag, &t->agents, link)
	{
		if (!ag->ready || ag->job || ag->lost)
			continue;
		if (ag->idle_dest[0] == '\0') {
			if (!free_one)
				free_one = ag;
		} else if (!strcmp(ag->idle_dest, nexthop)) {
			*connected = true;
			return ag;
		} else if (!elsewhere || ag->since < elsewhere->since) {
			elsewhere = ag;
		}
	}
	return free_one ? free_one : elsewhere;
}

int64_t
agent_give_receipts(struct ipc *c)
{
	int64_t slot = queue_receipt_slot(qmgr_queue);

	if (slot >= 0) {
		ipc_begin(c, MSG_RECEIPTS);
		ipc_put_num(c, A_OFFSET, slot);
		ipc_end_fd(c, queue_receipt_fd(qmgr_queue));
	}
	return slot;
}

static void
put_optional(struct ipc *c, enum msg_attr attr, const char *value)
{
	if (value && value[0])
		ipc_put_cstr(c, attr, value);
}

/*
 * With that many deliveries in a tenth of a second they share the sync of the
 * journal, which comes within BATCH_USEC (qmgr.c): a power loss repeats no more
 * of them than are under way at any moment.
 */
enum { RUSH_USEC = 100000, RUSH_JOBS = 25 };

static bool
is_rush(void)
{
	static int64_t since;
	static unsigned now_jobs, last_jobs;
	int64_t now = io_monotonic();

	if (now - since > RUSH_USEC) {
		last_jobs = now - since > 2 * RUSH_USEC ? 0 : now_jobs;
		now_jobs = 0;
		since = now;
	}
	now_jobs++;
	return now_jobs > RUSH_JOBS || last_jobs > RUSH_JOBS;
}

static void
put_request(struct ipc *c, const struct job *j)
{
	const struct queue_message *qm = j->msg->qm;
	const struct envelope *e = &qm->env;
	int64_t flags = 0;

	if (e->flags & ENVELOPE_NOTICE)
		flags |= DELIVER_BOUNCE_NOTICE;
	if (e->flags & ENVELOPE_SMTPUTF8)
		flags |= DELIVER_SMTPUTF8;
	if (e->flags & ENVELOPE_REQUIRETLS)
		flags |= DELIVER_REQUIRETLS;
	if (is_rush())
		flags |= DELIVER_SHARED_SYNC;
	if (e->flags & ENVELOPE_PROBE)
		flags |= DELIVER_PROBE;
	ipc_begin(c, MSG_DELIVER);
	ipc_put_cstr(c, A_QUEUE_ID, qm->id);
	ipc_put_cstr(c, A_QUEUE_NAME, "active");
	ipc_put_num(c, A_CONTENT_OFFSET, qm->place.content_offset);
	ipc_put_num(c, A_CONTENT_LENGTH, qm->place.content_length);
	ipc_put_num(c, A_SIZE, e->size);
	ipc_put_num(c, A_ARRIVAL, e->arrival);
	ipc_put_num(c, A_ACTIVE_TIME, j->msg->active_time);
	ipc_put_num(c, A_FLAGS, flags);
	ipc_put_cstr(c, A_SENDER, e->sender);
	ipc_put_cstr(c, A_TRANSPORT, j->dest->transport->name);
	ipc_put_cstr(c, A_NEXTHOP, j->nexthop);
	ipc_put_num(c, A_INDEX, (int64_t)j->n);
	ipc_put_num(c, A_FILE, (int64_t)qm->segment);
	ipc_put_num(c, A_OFFSET, qm->place.offset);
	put_optional(c, A_ENCODING, e->encoding);
	put_optional(c, A_DSN_ENVID, e->dsn_envid);
	ipc_put_num(c, A_DSN_RET, e->dsn_ret);
	put_optional(c, A_CLIENT_NAME, e->client_name);
	put_optional(c, A_CLIENT_ADDR, e->client_addr);
	put_optional(c, A_CLIENT_PORT, e->client_port);
	put_optional(c, A_CLIENT_HELO, e->client_helo);
	put_optional(c, A_CLIENT_PROTO, e->client_proto);
	put_optional(c, A_SASL_METHOD, e->sasl_method);
	put_optional(c, A_SASL_USERNAME, e->sasl_username);
	put_optional(c, A_SASL_SENDER, e->sasl_sender);
	put_optional(c, A_REWRITE, e->rewrite);
	ipc_end_fd(c, qm->place.fd);
	for (size_t i = 0; i < j->n; i++) {
		const struct rcpt *r = &e->rcpts[j->rcpts[i]];

		ipc_begin(c, MSG_RCPT);
		ipc_put_num(c, A_INDEX, (int64_t)j->rcpts[i]);
		ipc_put_cstr(c, A_RECIPIENT, r->address);
		put_optional(c, A_ORIG_TO, r->orig_to);
		put_optional(c, A_DSN_ORCPT, r->dsn_orcpt);
		ipc_put_num(c, A_DSN_NOTIFY, r->dsn_notify);
		ipc_put_num(c, A_CLASS, r->class);
		ipc_end(c);
	}
}

void
agent_deliver(struct agent *ag, struct job *j)
{
	ag->job = j;
	put_request(&ag->ipc, j);
	if (ipc_push(&ag->ipc) == IPC_AGAIN)
		event_add(ag->write_ev, NULL);
}

/* Is it the place rather than the message or the mailbox that fails? */
static bool
is_site_failure(const struct why *why)
{
	return !strncmp(why->dsn, "4.4.", 4);
}

/* What an agent that died delivered, but could not say. */
static void
take_receipts(struct agent *ag)
{
	struct job *j = ag->job;
	struct why why = WHY_INIT;

	why_set(&why, "2.0.0",
		"delivered; the delivery agent died before it "
		"could say how");
	for (size_t i = 0; i < j->n; i++) {
		struct queue_message *qm = j->msg->qm;
		size_t r = j->rcpts[i];

		if (qm->state[r] != RCPT_OPEN ||
		    why_is_set(&j->msg->result[r]) ||
		    !queue_receipt_has(qmgr_queue, ag->receipts, qm, r))
			continue;
		internal_log_result(j->msg, ag->transport->name, r, &why);
		active_result(j->msg, r, &why);
	}
	why_free(&why);
}

/*
 * The job is over. A recipient without an answer has none because the agent
 * died: that is the transport's failure.
 */
static void
job_over(struct agent *ag)
{
	struct job *j = ag->job;
	struct active *a = j->msg;
	struct why died = WHY_INIT, site = WHY_INIT;
	bool site_failed = true;

	why_set(&died, "4.3.0", "unknown mail transport error");
	for (size_t i = 0; i < j->n; i++) {
		size_t r = j->rcpts[i];

		if (a->qm->state[r] != RCPT_OPEN) {
			site_failed = false;
			continue;
		}
		if (!why_is_set(&a->result[r]))
			active_result(a, r, &died);
		if (!is_site_failure(&a->result[r]))
			site_failed = false;
		else if (!why_is_set(&site))
			why_copy(&site, &a->result[r]);
	}
	ag->job = NULL;
	ag->since = io_monotonic();
	sched_job_finished(j, site_failed && why_is_set(&site) ? &site : NULL);
	why_free(&died);
	why_free(&site);
}

/* The connection is gone. */
static void
agent_lost(struct agent *ag, enum ipc_status st, int error)
{
	struct transport *t = ag->transport;
	struct job *j = ag->job;
	bool unread =
	    (st == IPC_EOF && error == ECONNRESET) || ipc_pending(&ag->ipc);
	struct why why = WHY_INIT;

	ag->lost = true; /* what follows may look for an agent */
	if (!ag->ready && t->n_agents == 1) {
		log_warn("transport %s: delivery agent ended at start",
			 t->name);
		why_set(&why, "4.3.0", "mail transport unavailable");
		sched_transport_dead(t, &why);
	}
	if (j && unread && j->answered == 0) {
		/* It ended before it saw the request: nothing happened. */
		ag->job = NULL;
		sched_job_again(j);
	} else if (j) {
		log_warn("private/%s socket: %s", t->name,
			 st == IPC_BAD ? "malformed response"
				       : "delivery agent ended in the middle "
					 "of a delivery");
		take_receipts(ag);
		job_over(ag);
	}
	agent_close(ag);
	sched_pump(t);
	why_free(&why);
}

/* Recipient i of j has another transport; false: it had one already. */
static bool
pass_on(struct job *j, size_t i, const struct ipc_msg *msg)
{
	struct active *a = j->msg;
	size_t rcpt = j->rcpts[i];
	struct transport *t;
	char *transport, *nexthop;

	if (!ipc_has(msg, A_TRANSPORT) || !active_pass(a, rcpt))
		return false;
	memmove(&j->rcpts[i], &j->rcpts[i + 1],
		(j->n - i - 1) * sizeof(*j->rcpts));
	j->n--;
	if (a->pending != PENDING_NONE)
		return true;
	transport = ipc_dup(msg, A_TRANSPORT);
	nexthop = ipc_dup(msg, A_NEXTHOP);
	route_set(a, rcpt, transport, nexthop);
	t = sched_add_one(a, rcpt);
	free(transport);
	free(nexthop);
	if (t)
		sched_pump(t);
	return true;
}

static void
rcpt_done(struct agent *ag, const struct ipc_msg *msg)
{
	struct job *j = ag->job;
	int64_t index = ipc_num(msg, A_INDEX, -1);
	struct why why = WHY_INIT;

	for (size_t i = 0; j && i < j->n; i++) {
		if ((int64_t)j->rcpts[i] != index)
			continue;
		if (ipc_get_why(msg, &why)) {
			j->answered++;
			if (pass_on(j, i, msg))
				break;
			if (ipc_has(msg, A_TRANSPORT))
				internal_log_result(j->msg, ag->transport->name,
						    j->rcpts[i], &why);
			if (ipc_num(msg, A_FLAGS, 0) & RCPT_DSN_PASSED)
				active_dsn_passed(j->msg, j->rcpts[i]);
			active_result(j->msg, j->rcpts[i], &why);
		}
		break;
	}
	why_free(&why);
}

/* One frame; false when the agent broke the protocol. */
static bool
handle(struct agent *ag, const struct ipc_msg *msg)
{
	struct transport *t = ag->transport;

	if (msg->fd >= 0) {
		close(msg->fd);
		return false;
	}
	switch (msg->type) {
	case MSG_AGENT_HELLO:
		if (ag->ready)
			return false;
		ag->ready = true;
		t->n_starting--;
		ag->receipts = agent_give_receipts(&ag->ipc);
		ag->since = io_monotonic();
		sched_pump(t);
		return true;
	case MSG_RCPT_DONE:
		if (!ag->job)
			return false;
		rcpt_done(ag, msg);
		return true;
	case MSG_DELIVER_DONE:
		if (!ag->job)
			return false;
		free(ag->idle_dest);
		ag->idle_dest = ipc_dup(msg, A_IDLE_DEST);
		job_over(ag);
		return true;
	default:
		return false;
	}
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct agent *ag = arg;
	enum ipc_status st;
	struct ipc_msg msg;
	int error;

	(void)fd;
	(void)what;
	st = ipc_fill(&ag->ipc);
	error = errno;
	if (st == IPC_OK) {
		while ((st = ipc_next(&ag->ipc, &msg)) == IPC_OK)
			if (!handle(ag, &msg)) {
				st = IPC_BAD;
				break;
			}
	}
	if (st != IPC_AGAIN && st != IPC_OK)
		agent_lost(ag, st, error);
}
