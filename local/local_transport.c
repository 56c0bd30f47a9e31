/* SPDX-License-Identifier: MIT */
/*
 * mailbox_transport and fallback_transport: what the queue manager does with
 * a delivery agent (private/NAME), for one recipient.
 */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/route/route.h"
#include "lib/service/service.h"
#include "local/local.h"

enum { CONNECT_SECONDS = 30 };

static void
put_optional(struct ipc *c, enum msg_attr attr, const char *value)
{
	if (*value)
		ipc_put_cstr(c, attr, value);
}

static void
put_request(struct ipc *c, const struct local_job *j,
	    const struct local_addr *a, const char *transport,
	    const char *nexthop)
{
	const struct agent_request *req = j->req;

	ipc_begin(c, MSG_DELIVER);
	ipc_put_cstr(c, A_QUEUE_ID, req->queue_id);
	ipc_put_cstr(c, A_QUEUE_NAME, req->queue_name);
	ipc_put_num(c, A_CONTENT_OFFSET, req->content_offset);
	ipc_put_num(c, A_CONTENT_LENGTH, req->content_length);
	ipc_put_num(c, A_SIZE, req->size);
	ipc_put_num(c, A_ARRIVAL, req->arrival);
	ipc_put_num(c, A_ACTIVE_TIME, req->active_time);
	ipc_put_num(c, A_FLAGS, req->flags);
	ipc_put_cstr(c, A_SENDER, a->sender);
	ipc_put_cstr(c, A_TRANSPORT, transport);
	ipc_put_cstr(c, A_NEXTHOP, nexthop);
	ipc_put_num(c, A_INDEX, 1);
	put_optional(c, A_ENCODING, req->encoding);
	put_optional(c, A_DSN_ENVID, a->dsn_envid);
	ipc_put_num(c, A_DSN_RET, a->dsn_ret);
	put_optional(c, A_CLIENT_NAME, req->client_name);
	put_optional(c, A_CLIENT_ADDR, req->client_addr);
	put_optional(c, A_CLIENT_PORT, req->client_port);
	put_optional(c, A_CLIENT_HELO, req->client_helo);
	put_optional(c, A_CLIENT_PROTO, req->client_proto);
	put_optional(c, A_SASL_METHOD, req->sasl_method);
	put_optional(c, A_SASL_USERNAME, req->sasl_username);
	put_optional(c, A_SASL_SENDER, req->sasl_sender);
	put_optional(c, A_REWRITE, req->rewrite);
	ipc_end_fd(c, req->fd);
	ipc_begin(c, MSG_RCPT);
	ipc_put_num(c, A_INDEX, 0);
	ipc_put_cstr(c, A_RECIPIENT, a->address);
	put_optional(c, A_ORIG_TO, a->orig_to);
	put_optional(c, A_DSN_ORCPT, a->dsn_orcpt);
	ipc_put_num(c, A_DSN_NOTIFY, a->dsn_notify);
	ipc_put_num(c, A_CLASS, CLASS_LOCAL);
	ipc_end(c);
}

/* false: the agent ended without an answer. */
static bool
converse(struct ipc *c, struct why *why)
{
	int timeout = (int)(conf->ipc_timeout / 1000000);
	struct ipc_msg m;

	if (ipc_flush(c, timeout) != IPC_OK)
		return false;
	for (;;) {
		if (ipc_recv(c, &m, timeout) != IPC_OK)
			return false;
		if (m.type == MSG_RCPT_DONE && !ipc_get_why(&m, why))
			return false;
		if (m.type == MSG_DELIVER_DONE)
			return why_is_set(why);
	}
}

/* The transports that have no process: the next hop is the reason. */
static bool
is_internal(const char *name, const char *nexthop, struct why *why)
{
	char dsn[DSN_CODE_MAX];
	struct span text;

	if (!strcmp(name, "error"))
		text = dsn_split(span_of(nexthop), "5.0.0", dsn);
	else if (!strcmp(name, "retry"))
		text = dsn_split(span_of(nexthop), "4.0.0", dsn);
	else if (!strcmp(name, "discard"))
		text = dsn_split(span_of(nexthop), "2.0.0", dsn);
	else
		return false;
	dsn[0] = *name == 'd' ? '2' : *name == 'r' ? '4' : dsn[0];
	if (*name == 'e' && dsn[0] == '2')
		dsn[0] = '5';
	why_set(why, dsn, "%.*s", SPAN_ARG(text));
	return true;
}

void
local_to_transport(struct local_job *j, const struct local_addr *a,
		   const char *spec)
{
	const char *colon = strchr(spec, ':');
	char *name = colon ? mem_strndup(spec, (size_t)(colon - spec))
			   : mem_strdup(spec);
	const char *nexthop = colon && colon[1] ? colon + 1 : a->domain;
	char *path = mem_sprintf("private/%s", name);
	struct why why = WHY_INIT;
	struct ipc c;

	log_info("%s: passing <%s> to transport=%s", j->req->queue_id,
		 a->address, name);
	if (strchr(name, '/')) {
		why_set(&why, "4.3.5", "mail transport unavailable");
		local_report(j, a, &why);
	} else if (is_internal(name, nexthop, &why)) {
		agent_set_relay(j->req, "none");
		local_report(j, a, &why);
		agent_set_relay(j->req, "%s", service_name());
	} else if (!ipc_connect(&c, path, CONNECT_SECONDS)) {
		log_warn("connect to transport %s: %m", path);
		why_set(&why, "4.3.0", "mail transport unavailable");
		local_report(j, a, &why);
	} else {
		put_request(&c, j, a, name, nexthop);
		if (converse(&c, &why)) {
			/* The agent has logged it. */
			local_record(j, a, &why);
		} else {
			log_warn("%s socket: no answer", path);
			why_set(&why, "4.3.0", "unknown mail transport error");
			local_report(j, a, &why);
		}
		ipc_close(&c);
	}
	why_free(&why);
	free(name);
	free(path);
}
