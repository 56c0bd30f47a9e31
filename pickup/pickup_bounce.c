/* SPDX-License-Identifier: MIT */
#include "pickup/pickup_bounce.h"

#include <stdio.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/service/agent.h"
#include "lib/sys/io.h"

enum { BOUNCE_SECONDS = 60 };

static void
log_recipient(const char *id, const struct rcpt *r, int64_t arrival,
	      const struct why *why)
{
	struct buf to = BUF_INIT, delay = BUF_INIT;

	agent_format_delay(io_now() - arrival,
			   conf->delay_logging_resolution_limit, &delay);
	addr_quote(span_of(r->address), &to);
	log_info_as("cleanup",
		    "%s: to=<%s>, relay=none, delay=%s, delays=%s/0/0/0, "
		    "dsn=%s, status=bounced (%s)",
		    id, buf_cstr(&to), buf_cstr(&delay), buf_cstr(&delay),
		    why->dsn, buf_cstr(&why->text));
	buf_free(&delay);
	buf_free(&to);
}

static void
put_rcpt(struct ipc *c, const struct rcpt *r, const struct why *why)
{
	ipc_begin(c, MSG_BOUNCE_RCPT);
	ipc_put_cstr(c, A_RECIPIENT, r->address);
	if (r->dsn_orcpt)
		ipc_put_cstr(c, A_DSN_ORCPT, r->dsn_orcpt);
	if (r->dsn_notify)
		ipc_put_num(c, A_DSN_NOTIFY, r->dsn_notify);
	ipc_put_why(c, why);
	ipc_end(c);
}

static void
put_request(struct ipc *c, const char *id, const struct queue_place *place,
	    const struct envelope *env, const struct why *why)
{
	ipc_begin(c, MSG_BOUNCE);
	ipc_put_num(c, A_KIND, BOUNCE_FAILURE);
	ipc_put_cstr(c, A_QUEUE_ID, id);
	ipc_put_num(c, A_CONTENT_OFFSET, place->content_offset);
	ipc_put_num(c, A_CONTENT_LENGTH, place->content_length);
	ipc_put_num(c, A_ARRIVAL, env->arrival);
	ipc_put_cstr(c, A_SENDER, env->sender);
	ipc_put_cstr(c, A_RECIPIENT, env->sender);
	if (env->encoding)
		ipc_put_cstr(c, A_ENCODING, env->encoding);
	if (env->dsn_envid)
		ipc_put_cstr(c, A_DSN_ENVID, env->dsn_envid);
	ipc_put_num(c, A_DSN_RET, env->dsn_ret);
	ipc_end_fd(c, place->fd);
	for (size_t i = 0; i < env->n_rcpts; i++)
		put_rcpt(c, &env->rcpts[i], why);
	if (env->n_rcpts == 0) {
		/* They were to be found in the header. Without any recipient
		 * there would be no notice. */
		char name[] = "undisclosed-recipients";
		struct rcpt unknown = {.address = name};

		put_rcpt(c, &unknown, why);
	}
	ipc_begin(c, MSG_BOUNCE_END);
	ipc_end(c);
}

static bool
ask_bounce(const char *id, const struct queue_place *place,
	   const struct envelope *env, const struct why *why)
{
	struct ipc c;
	struct ipc_msg msg;
	char path[128];
	bool ok;

	snprintf(path, sizeof(path), "private/%s", conf->bounce_service_name);
	if (!ipc_connect(&c, path, BOUNCE_SECONDS)) {
		log_warn("connect to %s: %m", path);
		return false;
	}
	put_request(&c, id, place, env, why);
	ok = ipc_flush(&c, BOUNCE_SECONDS) == IPC_OK &&
	     ipc_recv(&c, &msg, BOUNCE_SECONDS) == IPC_OK &&
	     msg.type == MSG_STATUS && ipc_num(&msg, A_STATUS, 1) == 0;
	ipc_close(&c);
	return ok;
}

bool
pickup_bounce(const char *id, const struct queue_place *place,
	      const struct envelope *env, const struct why *why)
{
	for (size_t i = 0; i < env->n_rcpts; i++)
		log_recipient(id, &env->rcpts[i], env->arrival, why);
	if (env->sender[0] == '\0') {
		log_warn("%s: undeliverable message without sender is dropped: "
			 "%s",
			 id, buf_cstr(&why->text));
		return true;
	}
	if (ask_bounce(id, place, env, why))
		return true;
	log_warn("%s: cannot send a non-delivery notice; will try again", id);
	return false;
}
