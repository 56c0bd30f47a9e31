/* SPDX-License-Identifier: MIT */
/*
 * bounce - write the notices that qmgr asks for (bounce(8)).
 *
 * A client sends any number of requests on one connection: MSG_BOUNCE with
 * the original message's descriptor, MSG_BOUNCE_RCPT for each recipient,
 * MSG_BOUNCE_END; it gets MSG_STATUS when the notice is on disk, with receipts
 * for the recipients that are done by it. A notice that
 * nobody may get (null sender, NOTIFY) is none: status 0 without a queue id.
 */
#include "qmgr/bounce.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue_receipt.h"
#include "lib/service/service.h"

enum {
	IDLE_SECONDS = 100,   /* between two requests */
	REQUEST_SECONDS = 60, /* within one */
	REPLY_SECONDS = 60,
	RCPT_MAX = 200000,
};

static void
request_reset(struct bounce_request *req)
{
	for (size_t i = 0; i < req->n_rcpts; i++) {
		struct bounce_rcpt *r = &req->rcpts[i];

		free(r->address);
		free(r->orig_to);
		free(r->dsn_orcpt);
		why_free(&r->why);
	}
	free(req->rcpts);
	free(req->queue_id);
	free(req->sender);
	free(req->recipient);
	free(req->encoding);
	free(req->envid);
	if (req->fd >= 0)
		close(req->fd);
	*req = (struct bounce_request){.fd = -1};
}

static void
begin_request(struct bounce_request *req, struct ipc_msg *msg)
{
	request_reset(req);
	req->kind = (int)ipc_num(msg, A_KIND, 0);
	req->queue_id = ipc_dup(msg, A_QUEUE_ID);
	req->content_offset = ipc_num(msg, A_CONTENT_OFFSET, 0);
	req->content_length = ipc_num(msg, A_CONTENT_LENGTH, 0);
	req->file = (uint64_t)ipc_num(msg, A_FILE, 0);
	req->offset = ipc_num(msg, A_OFFSET, 0);
	req->arrival = ipc_num(msg, A_ARRIVAL, 0);
	req->retry_until = ipc_num(msg, A_NEXT_TIME, 0);
	req->flags = (unsigned)ipc_num(msg, A_FLAGS, 0);
	req->dsn_ret = (int)ipc_num(msg, A_DSN_RET, RET_NONE);
	req->sender = ipc_dup(msg, A_SENDER);
	req->recipient = ipc_dup(msg, A_RECIPIENT);
	req->encoding = ipc_dup(msg, A_ENCODING);
	req->envid = ipc_dup(msg, A_DSN_ENVID);
	req->fd = msg->fd;
	msg->fd = -1;
}

static bool
add_rcpt(struct bounce_request *req, const struct ipc_msg *msg)
{
	struct bounce_rcpt *r;

	if (!req->queue_id || req->n_rcpts >= RCPT_MAX)
		return false;
	if (req->n_rcpts == req->cap_rcpts) {
		req->cap_rcpts = req->cap_rcpts ? req->cap_rcpts * 2 : 8;
		req->rcpts = mem_realloc(req->rcpts, req->cap_rcpts,
					 sizeof(*req->rcpts));
	}
	r = &req->rcpts[req->n_rcpts];
	*r = (struct bounce_rcpt){.why = WHY_INIT};
	if (!ipc_get_why(msg, &r->why)) {
		why_free(&r->why);
		return false;
	}
	req->n_rcpts++;
	r->index = ipc_num(msg, A_INDEX, -1);
	r->address = ipc_dup(msg, A_RECIPIENT);
	r->orig_to = ipc_dup(msg, A_ORIG_TO);
	r->dsn_orcpt = ipc_dup(msg, A_DSN_ORCPT);
	r->notify = (int)ipc_num(msg, A_DSN_NOTIFY, 0);
	return true;
}

/* The sender was told of these. */
static void
write_receipts(struct receipt_slot *slot, const struct bounce_request *req)
{
	struct receipt *v;
	size_t n = 0;

	if (req->kind != BOUNCE_FAILURE && req->kind != BOUNCE_POSTMASTER)
		return; /* it is not the end of them */
	v = mem_calloc(req->n_rcpts, sizeof(*v));
	for (size_t i = 0; i < req->n_rcpts; i++) {
		if (req->rcpts[i].index < 0)
			continue;
		v[n] = (struct receipt){.index = (uint32_t)req->rcpts[i].index,
					.file = req->file,
					.offset = req->offset};
		snprintf(v[n++].id, sizeof(v->id), "%s", req->queue_id);
	}
	receipt_write(slot, v, n, true);
	free(v);
}

static bool
answer(struct ipc *c, struct receipt_slot *slot,
       const struct bounce_request *req)
{
	struct buf id = BUF_INIT;
	struct why why = WHY_INIT;
	enum ipc_status s;
	bool ok;

	/* qmgr hears of the notice when it has the answer. */
	cleanup_hold_back();
	ok = bounce_write(req, &id, &why);
	/* Before the log: until it is on record a crash makes a second one. */
	if (ok)
		write_receipts(slot, req);
	if (id.len)
		bounce_log(req, &id);
	ipc_begin(c, MSG_STATUS);
	ipc_put_num(c, A_STATUS, ok ? 0 : 1);
	if (ok && id.len > 0)
		ipc_put(c, A_QUEUE_ID, buf_span(&id));
	if (!ok)
		ipc_put(c, A_REASON, buf_span(&why.text));
	ipc_end(c);
	s = ipc_flush(c, REPLY_SECONDS);
	cleanup_announce();
	buf_free(&id);
	why_free(&why);
	return s == IPC_OK;
}

/* One frame; false ends the connection. */
static bool
handle(struct ipc *c, struct receipt_slot *slot, struct bounce_request *req,
       struct ipc_msg *msg)
{
	bool ok;

	switch (msg->type) {
	case MSG_RECEIPTS:
		receipt_slot_take(slot, msg->fd, ipc_num(msg, A_OFFSET, 0));
		msg->fd = -1;
		return true;
	case MSG_BOUNCE:
		begin_request(req, msg);
		return req->fd >= 0;
	case MSG_BOUNCE_RCPT:
		return add_rcpt(req, msg);
	case MSG_BOUNCE_END:
		if (!req->queue_id)
			return false;
		ok = answer(c, slot, req);
		request_reset(req);
		return ok;
	default:
		return false;
	}
}

static void
bounce_serve(int fd)
{
	struct bounce_request req = {.fd = -1};
	struct receipt_slot slot = RECEIPT_SLOT_NONE;
	struct ipc_msg msg;
	struct ipc c;

	/* The skeleton closes fd itself. */
	ipc_init(&c, dup(fd));
	while (c.fd >= 0) {
		bool idle = !req.queue_id;
		enum ipc_status s;

		if (idle && !ipc_pending(&c) && c.in.len == c.in_used &&
		    !service_wait_readable(c.fd, IDLE_SECONDS))
			break;
		s = ipc_recv(&c, &msg, REQUEST_SECONDS);
		if (s != IPC_OK) {
			if (s == IPC_BAD || s == IPC_TIMEOUT || !idle)
				log_warn("request from the queue manager is "
					 "incomplete");
			break;
		}
		if (!handle(&c, &slot, &req, &msg)) {
			if (msg.fd >= 0)
				close(msg.fd);
			log_warn("request from the queue manager is malformed "
				 "or was not answered");
			break;
		}
	}
	request_reset(&req);
	receipt_slot_close(&slot);
	ipc_close(&c);
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "bounce",
	    .model = SERVICE_SESSIONS,
	    .init = cleanup_open,
	    .serve = bounce_serve,
	};

	return service_main(argc, argv, &def);
}
