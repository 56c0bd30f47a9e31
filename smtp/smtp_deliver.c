/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_deliver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/deliver/loop.h"
#include "lib/ipc/proto.h"
#include "lib/sys/io.h"
#include "smtp/smtp_content.h"
#include "smtp/smtp_mail.h"
#include "smtp/smtp_tls.h"

static struct {
	bool lmtp;
	unsigned flags;
	struct smtp_session *idle; /* connected, ready for the next message */
} agent;

/* One request on its way through the hosts. */
struct job {
	struct agent_request *req;
	struct dest_list dests;
	int sessions;   /* that got through the greeting */
	struct why why; /* of the last failure */
	bool break_logged;
	bool requiretls; /* RFC 8689 */
};

/* ---- the kept session ---- */

static void
idle_close(void)
{
	smtp_session_quit(&agent.idle);
}

static const char *
idle_dest(void)
{
	return agent.idle ? agent.idle->nexthop : "";
}

static int
idle_fd(void)
{
	return agent.idle->fd;
}

static int64_t
reuse_end(const struct smtp_session *s)
{
	return s->opened + conf->smtp_connection_reuse_time_limit;
}

static int64_t
idle_deadline(void)
{
	int64_t end =
	    agent.idle->idle_since + conf->smtp_connection_cache_time_limit;
	int64_t last = reuse_end(agent.idle);

	return end < last ? end : last;
}

static bool
may_keep(const struct smtp_session *s)
{
	int limit = conf->smtp_connection_reuse_count_limit;

	return !s->dead && !s->fallback && smtp_auth_may_keep() &&
	       s->stream.status == STREAM_OK &&
	       (!s->tls.active || s->tls.policy.reuse) &&
	       conf->smtp_connection_cache_time_limit > 0 &&
	       (conf->smtp_connection_cache_on_demand ||
		conf_list_has(conf->smtp_connection_cache_destinations,
			      s->nexthop)) &&
	       (limit <= 0 || s->uses < limit) && io_monotonic() < reuse_end(s);
}

/* Done with a session for now: keep it or say goodbye. The queue manager need
 * not wait for that. */
static void
session_done(struct smtp_session *s, struct agent_request *req)
{
	if (s->needs_reset || !conf->smtp_skip_quit_response)
		agent_flush(req);
	idle_close();
	if (!may_keep(s) || (s->needs_reset && !smtp_session_reset(s)) ||
	    stream_has_input(&s->stream)) {
		smtp_session_quit(&s);
		return;
	}
	s->idle_since = io_monotonic();
	agent.idle = s;
}

/* ---- what this server must be able to do ---- */

static bool
has_non_ascii(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s >= 0x80)
			return true;
	return false;
}

/* The client that asked for SMTPUTF8 may not have needed it (RFC 6531 section
 * 3.4): addresses or headers decide. */
static bool
needs_utf8(const struct agent_request *req)
{
	if (!(req->flags & DELIVER_SMTPUTF8))
		return false;
	if (has_non_ascii(req->sender))
		return true;
	for (size_t i = 0; i < req->n_rcpts; i++)
		if (!req->rcpts[i].done && has_non_ascii(req->rcpts[i].address))
			return true;
	return smtp_content_header_is_8bit(req);
}

static bool
server_suits(const struct smtp_session *s, const struct agent_request *req,
	     struct why *why)
{
	if (!(s->features & FEATURE_SMTPUTF8) && needs_utf8(req)) {
		why_set(why, "5.6.7",
			"SMTPUTF8 is required, but was not "
			"offered by host %s",
			s->name);
		return false;
	}
	if ((req->flags & DELIVER_REQUIRETLS) &&
	    !(s->features & FEATURE_REQUIRETLS)) {
		why_set(
		    why, "4.7.30",
		    "REQUIRETLS is required, but was not offered by host %s",
		    s->name);
		return false;
	}
	if (s->size_limit > 0 && req->size > s->size_limit) {
		why_set(why, "5.3.4",
			"message size %lld exceeds size limit "
			"%lld of server %s",
			(long long)req->size, (long long)s->size_limit,
			s->name);
		return false;
	}
	return true;
}

/* The D flag: who has had this message before is not sent it again. */
static void
bounce_loops(struct agent_request *req)
{
	struct htab *loops =
	    loop_scan(req->fd, req->content_offset, req->content_length);
	struct why why = WHY_INIT;

	for (size_t i = 0; i < req->n_rcpts; i++) {
		if (!loop_has(loops, req->rcpts[i].address))
			continue;
		why_set(&why, "5.4.6", "mail forwarding loop for %s",
			req->rcpts[i].address);
		agent_rcpt_done(req, i, &why);
	}
	htab_free(loops, NULL);
	why_free(&why);
}

/* ---- hosts ---- */

/* Is there anything left to do? Without qmgr it would be done twice. */
static bool
pending(const struct agent_request *req)
{
	return req->n_done < req->n_rcpts && !req->lost;
}

/*
 * RFC 8689 section 4.2.1: where no server gives what REQUIRETLS asks for the
 * message goes back. Other failures are as temporary as ever.
 */
static bool
requiretls_fails(const struct job *j)
{
	return j->requiretls && strncmp(j->why.dsn, "4.7.", 4) == 0;
}

static void
requiretls_why(struct job *j)
{
	why_prepend(&j->why, "REQUIRETLS support required: ");
	snprintf(j->why.dsn, sizeof(j->why.dsn), "5.7.30");
	j->why.code = 0;
}

/* A failure of a host: the result when it is the last, else a log line. */
static void
host_failed(struct job *j, bool final, const struct why *why)
{
	struct agent_request *req = j->req;

	why_copy(&j->why, why);
	if (final && requiretls_fails(j))
		requiretls_why(j);
	if (final || why_class(why) == WHY_BOUNCE)
		agent_rest_done(req, &j->why);
	else
		log_info("%s: %s", req->queue_id, buf_cstr(&why->text));
}

/* A transaction in a session that is ready for it. */
static void
use_session(struct job *j, struct smtp_session *s, bool final, bool reused)
{
	struct smtp_mail_options opt = {
	    .flags = agent.flags,
	    .final = final,
	    .reused = reused,
	    .break_logged = &j->break_logged,
	};
	struct agent_request *req = j->req;
	struct why why = WHY_INIT;

	s->uses++;
	req->conn_use = s->uses;
	req->setup_done = io_now();
	agent_set_relay(req, "%s", s->relay);
	if (server_suits(s, req, &why))
		smtp_mail_send(s, req, &opt, &j->why);
	else
		host_failed(j, final, &why);
	why_free(&why);
}

/*
 * Does the kept session do? One that cannot go on is forgotten without a
 * word; a deferral of a recipient in it is final, as the host it comes from
 * was the best there is.
 */
static void
try_idle(struct job *j)
{
	struct smtp_session *s = agent.idle;

	if (!s)
		return;
	agent.idle = NULL;
	if (strcmp(s->nexthop, j->req->nexthop) != 0 || !may_keep(s) ||
	    stream_has_input(&s->stream) || !smtp_tls_suits(s, j->requiretls)) {
		smtp_session_quit(&s);
		return;
	}
	use_session(j, s, true, true);
	session_done(s, j->req);
}

/* Whose failure is the result, and not just a reason to go on. */
struct finality {
	bool host;    /* no other host is left */
	bool session; /* none, or no other session is allowed */
};

/*
 * After a handshake that failed: the message is tried in the clear where that
 * is allowed, but not at once, as the fault may be gone soon.
 */
static bool
try_in_clear(const struct job *j, const struct smtp_session *s,
	     const struct why *why)
{
	const struct agent_request *req = j->req;

	return smtp_tls_may_fall_back(s, why) && !j->requiretls &&
	       req->active_time - req->arrival >= conf->minimal_backoff_time;
}

/* One connection under a policy, which becomes the session's. Returns whether
 * the same address is to be tried in the clear. */
static bool
try_connection(struct job *j, const struct dest *d, const struct smtp_addr *a,
	       struct finality final, struct smtp_tls_policy *policy)
{
	struct agent_request *req = j->req;
	struct why why = WHY_INIT;
	struct smtp_session *s = smtp_session_open(a, d, agent.lmtp, &why);
	bool again = false;

	if (!s) {
		if (a->port)
			log_info("%s", buf_cstr(&why.text));
		why_copy(&j->why, &why);
		why_free(&why);
		smtp_tls_policy_free(policy);
		return false;
	}
	s->tls.policy = *policy;
	s->nexthop = mem_strdup(req->nexthop);
	s->std_port = d->std_port;
	s->auth = smtp_auth_new(req->queue_id, req->sender, d);
	s->fallback = d->fallback;
	if (smtp_session_greet(s, d->name, req->queue_id,
			       io_now() - req->arrival, &why)) {
		j->sessions++;
		use_session(j, s, final.session, false);
		session_done(s, req);
	} else {
		again = try_in_clear(j, s, &why);
		agent_set_relay(req, "%s", s->relay);
		req->conn_use = 0;
		req->setup_done = io_now();
		host_failed(j, final.host && !again, &why);
		smtp_session_quit(&s);
	}
	agent_set_relay(req, "%s", "");
	req->conn_use = 0;
	why_free(&why);
	return again;
}

/* One address. */
static void
try_address(struct job *j, const struct dest *d, const struct smtp_addr *a,
	    struct finality final)
{
	const struct smtp_tls_target target = {
	    .dest = d, .addr = a, .lmtp = agent.lmtp};
	struct smtp_tls_policy policy;
	struct why why = WHY_INIT;

	if (!smtp_tls_admit(&target, j->requiretls, &policy, &why)) {
		j->req->setup_done = io_now();
		why_copy(&j->why, &why);
		smtp_tls_policy_free(&policy);
	} else if (try_connection(j, d, a, final, &policy)) {
		/* What the tables say may have changed meanwhile. */
		if (smtp_tls_admit(&target, false, &policy, &why) &&
		    policy.level == TLS_CLIENT_MAY) {
			policy.level = TLS_CLIENT_NONE;
			try_connection(j, d, a, final, &policy);
		} else {
			smtp_tls_policy_free(&policy);
		}
	}
	why_free(&why);
}

/* May a further session be opened to d (smtp_mx_session_limit)? */
static bool
sessions_left(const struct job *j, const struct dest *d)
{
	return d->fallback || conf->smtp_mx_session_limit <= 0 ||
	       j->sessions < conf->smtp_mx_session_limit;
}

static bool
any_fallback(const struct job *j, size_t from)
{
	for (size_t i = from; i < j->dests.n; i++)
		if (j->dests.v[i].fallback)
			return true;
	return false;
}

/*
 * This host is the best mail exchanger although it takes no mail for the
 * domain, or the best that has an address: other destinations are no better.
 */
static void
end_here(struct job *j, const struct smtp_addr_list *list)
{
	struct agent_request *req = j->req;

	agent_set_relay(req, "%s", "");
	req->conn_use = 0;
	if (list->loops && conf->best_mx_transport[0])
		agent_rest_pass(req, conf->best_mx_transport, &j->why);
	else
		agent_rest_done(req, &j->why);
}

static bool
is_configured(const struct dest *d)
{
	return d->fallback || strcmp(d->name, conf->relayhost) == 0;
}

static void
no_address(struct job *j, const struct dest *d,
	   const struct smtp_addr_list *list)
{
	j->req->setup_done = io_now();
	if (list->final) {
		end_here(j, list);
	} else if (why_class(&j->why) == WHY_BOUNCE && is_configured(d)) {
		struct why why = WHY_INIT;

		/* It is not the sender's fault. */
		log_warn("%s configuration problem",
			 d->fallback ? "smtp_fallback_relay" : "relayhost");
		why_set(&why, "4.3.5", "%s", buf_cstr(&j->why.text));
		why_copy(&j->why, &why);
		why_free(&why);
	}
}

static void
try_dest(struct job *j, size_t which)
{
	const struct dest *d = &j->dests.v[which];
	bool last_dest = which + 1 == j->dests.n;
	struct smtp_addr_list list = {0};
	size_t n;

	if (!sessions_left(j, d))
		return;
	if (!smtp_addr_lookup(d, &list, &j->why))
		no_address(j, d, &list);
	n = list.n;
	if (conf->smtp_mx_address_limit > 0 &&
	    n > (size_t)conf->smtp_mx_address_limit)
		n = (size_t)conf->smtp_mx_address_limit;
	for (size_t i = 0; i < n && pending(j->req) && sessions_left(j, d);
	     i++) {
		bool last_session =
		    !d->fallback && conf->smtp_mx_session_limit > 0 &&
		    j->sessions + 1 >= conf->smtp_mx_session_limit;
		struct finality final = {.host = i + 1 == n && last_dest};

		final.session =
		    final.host || (last_session && !any_fallback(j, which + 1));
		try_address(j, d, &list.v[i], final);
	}
	smtp_addr_list_free(&list);
}

static bool
parse_dests(struct job *j)
{
	const struct dest_rules rules = {
	    .lmtp = agent.lmtp,
	    .default_port =
		agent.lmtp ? conf->lmtp_tcp_port : conf->smtp_tcp_port,
	    .known_ports = conf->known_tcp_ports,
	};
	size_t n;

	if (!dest_list_parse(span_of(j->req->nexthop), &rules, &j->dests,
			     &j->why)) {
		log_warn("%s: %s", j->req->queue_id, buf_cstr(&j->why.text));
		return false;
	}
	n = j->dests.n;
	if (conf->smtp_fallback_relay[0] &&
	    !dest_list_parse(span_of(conf->smtp_fallback_relay), &rules,
			     &j->dests, &j->why))
		log_warn("smtp_fallback_relay: %s", buf_cstr(&j->why.text));
	for (; n < j->dests.n; n++)
		j->dests.v[n].fallback = true;
	return true;
}

static void
deliver(struct agent_request *req)
{
	struct job j = {.req = req, .why = WHY_INIT};

	j.requiretls = req->flags & DELIVER_REQUIRETLS;
	if (agent.flags & MAIL_ADD_DELIVERED_TO)
		bounce_loops(req);
	if (pending(req))
		try_idle(&j);
	if (pending(req) && parse_dests(&j))
		for (size_t i = 0; i < j.dests.n && pending(req); i++)
			try_dest(&j, i);
	if (pending(req)) {
		agent_set_relay(req, "%s", "");
		req->conn_use = 0;
		req->setup_done = io_now();
		if (requiretls_fails(&j))
			requiretls_why(&j);
		agent_rest_done(req, &j.why);
	}
	dest_list_free(&j.dests);
	why_free(&j.why);
}

void
smtp_deliver_init(bool lmtp, unsigned flags)
{
	agent.lmtp = lmtp;
	agent.flags = flags;
}

const struct agent_ops smtp_deliver_ops = {
    .deliver = deliver,
    .idle_dest = idle_dest,
    .idle_fd = idle_fd,
    .idle_deadline = idle_deadline,
    .idle_close = idle_close,
};
