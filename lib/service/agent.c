/* SPDX-License-Identifier: MIT */
#include "lib/service/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue_receipt.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "lib/table/table.h"

enum { USEC = 1000000 };

/* ---- the log line ---- */

void
agent_format_delay(int64_t usec, int digits, struct buf *out)
{
	static const int64_t pow10[] = {1,     10,     100,    1000,
					10000, 100000, 1000000};
	int64_t unit, value;
	int places;

	if (usec < 0)
		usec = 0;
	if (digits < 0 || digits > 6)
		digits = digits < 0 ? 0 : 6;
	/* Two significant digits, more only in front of the point. */
	places = usec >= 10 * USEC ? 0 : 1;
	for (int64_t limit = USEC; usec < limit && places < digits; limit /= 10)
		places++;
	if (places > digits)
		places = digits;
	unit = USEC / pow10[places];
	value = (usec + unit / 2) / unit;
	buf_printf(out, "%lld", (long long)(value / pow10[places]));
	value %= pow10[places];
	while (places > 0 && value % 10 == 0) {
		value /= 10;
		places--;
	}
	if (places > 0)
		buf_printf(out, ".%0*lld", places, (long long)value);
}

void
agent_format_delays(const struct agent_request *req, int64_t now,
		    struct buf *out)
{
	int digits = conf->delay_logging_resolution_limit;
	int64_t setup = req->setup_done ? req->setup_done : req->started;

	agent_format_delay(req->active_time - req->arrival, digits, out);
	buf_append_byte(out, '/');
	agent_format_delay(req->started - req->active_time, digits, out);
	buf_append_byte(out, '/');
	agent_format_delay(setup - req->started, digits, out);
	buf_append_byte(out, '/');
	agent_format_delay(now - setup, digits, out);
}

void
agent_set_relay(struct agent_request *req, const char *fmt, ...)
{
	va_list ap;

	buf_reset(&req->relay);
	va_start(ap, fmt);
	buf_vprintf(&req->relay, fmt, ap);
	va_end(ap);
}

/* Addresses are logged in the form that info_log_address_format asks for. */
static void
put_address(struct buf *line, const char *address)
{
	if (strcmp(conf->info_log_address_format, "internal") == 0)
		buf_append_cstr(line, address);
	else
		addr_quote(span_of(address), line);
}

static void
format_status(const struct agent_request *req, const char *to,
	      const char *orig_to, const struct why *why, const char *status,
	      struct buf *line)
{
	int64_t now = io_now();

	buf_printf(line, "%s: to=<", req->queue_id);
	put_address(line, to);
	buf_append_cstr(line, ">, ");
	if (orig_to[0] && strcmp(orig_to, to) != 0) {
		buf_append_cstr(line, "orig_to=<");
		put_address(line, orig_to);
		buf_append_cstr(line, ">, ");
	}
	buf_printf(line, "relay=%s, ",
		   req->relay.len ? buf_cstr(&req->relay) : "none");
	if (req->conn_use > 1)
		buf_printf(line, "conn_use=%d, ", req->conn_use);
	buf_append_cstr(line, "delay=");
	agent_format_delay(now - req->arrival,
			   conf->delay_logging_resolution_limit, line);
	buf_append_cstr(line, ", delays=");
	agent_format_delays(req, now, line);
	buf_printf(line, ", dsn=%s, status=%s (", why->dsn, status);
	buf_append_span(line, buf_span(&why->text));
	buf_append_byte(line, ')');
}

/* ---- reports ---- */

/* The lines about recipients that the queue manager knows of now. */
static void
log_told(struct agent_request *req)
{
	for (size_t i = 0; i < req->lines.n; i++)
		log_info("%s", req->lines.v[i]);
	strvec_reset(&req->lines);
}

/* Before anything else: until then a crash delivers again. */
static void
write_receipts(struct agent_request *req)
{
	struct receipt *v;
	size_t n = 0;

	if (req->n_owed == 0)
		return;
	v = mem_calloc(req->n_owed, sizeof(*v));
	for (size_t i = 0; i < req->n_rcpts && n < req->n_owed; i++) {
		struct agent_rcpt *r = &req->rcpts[i];

		if (!r->owed)
			continue;
		r->owed = false;
		v[n] = (struct receipt){.index = (uint32_t)r->index,
					.file = req->file,
					.offset = req->offset};
		snprintf(v[n++].id, sizeof(v->id), "%s", req->queue_id);
	}
	receipt_write(req->receipts, v, n, !(req->flags & DELIVER_SHARED_SYNC));
	req->n_owed = 0;
	free(v);
}

void
agent_flush(struct agent_request *req)
{
	int timeout = (int)(conf->ipc_timeout / USEC);

	write_receipts(req);
	req->hold = false;
	if (!req->lost &&
	    ipc_flush(req->ipc, timeout > 0 ? timeout : 1) != IPC_OK) {
		log_warn("%s: the queue manager went away", req->queue_id);
		req->lost = true;
	}
	log_told(req);
}

/* What is told: with soft_bounce nothing is returned. true: it was soft. */
static bool
soften(const struct why *why, struct why *told)
{
	why_copy(told, why);
	if (!conf->soft_bounce || why_class(why) != WHY_BOUNCE)
		return false;
	why_set_class(told, WHY_DEFER);
	return true;
}

const char *
agent_probe_word(const struct why *why)
{
	return why_class(why) == WHY_SENT ? "deliverable" : "undeliverable";
}

static void
render_status(const struct agent_request *req, const char *to,
	      const char *orig_to, const struct why *why, struct buf *line)
{
	struct why told = WHY_INIT;
	bool soft;

	if (!why_is_set(why))
		log_panic("agent: no reason for %s", to);
	soft = !(req->flags & DELIVER_PROBE) && soften(why, &told);
	if (req->flags & DELIVER_PROBE)
		why_copy(&told, why);
	format_status(req, to, orig_to, &told,
		      req->flags & DELIVER_PROBE ? agent_probe_word(why)
		      : soft                     ? "SOFTBOUNCE"
						 : why_status_word(why),
		      line);
	why_free(&told);
}

void
agent_log_status(struct agent_request *req, const char *to, const char *orig_to,
		 const struct why *why)
{
	struct buf line = BUF_INIT;

	render_status(req, to, orig_to, why, &line);
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}

void
agent_rcpt_tell(struct agent_request *req, size_t i, const struct why *why)
{
	struct agent_rcpt *r = &req->rcpts[i];
	struct why told = WHY_INIT;

	if (r->done)
		log_panic("agent_rcpt_tell: %s was reported twice", r->address);
	if (!why_is_set(why))
		log_panic("agent_rcpt_tell: no reason for %s", r->address);
	r->done = true;
	req->n_done++;
	if (req->flags & DELIVER_PROBE)
		why_copy(&told, why);
	else
		soften(why, &told);
	r->sent = why_class(&told) == WHY_SENT;
	r->owed = r->sent;
	req->n_owed += r->owed;
	/* For the success notice. */
	if (why_class(&told) == WHY_SENT && (r->dsn_notify & NOTIFY_SUCCESS) &&
	    !r->dsn_passed)
		why_prepend(&told, "delivery via %s: ",
			    req->relay.len ? buf_cstr(&req->relay) : "none");
	if (!req->lost) {
		ipc_begin(req->ipc, MSG_RCPT_DONE);
		ipc_put_num(req->ipc, A_INDEX, r->index);
		if (r->dsn_passed)
			ipc_put_num(req->ipc, A_FLAGS, RCPT_DSN_PASSED);
		ipc_put_why(req->ipc, &told);
		ipc_end(req->ipc);
		if (!req->hold)
			agent_flush(req);
	}
	why_free(&told);
}

void
agent_rcpt_done(struct agent_request *req, size_t i, const struct why *why)
{
	const struct agent_rcpt *r = &req->rcpts[i];
	struct buf line = BUF_INIT;

	/*
	 * Told first and logged then: what the queue manager does not know
	 * when this process dies is delivered again.
	 */
	render_status(req, r->address, r->orig_to, why, &line);
	strvec_add(&req->lines, buf_cstr(&line));
	buf_free(&line);
	agent_rcpt_tell(req, i, why);
}

void
agent_rest_done(struct agent_request *req, const struct why *why)
{
	bool outer = req->hold;

	req->hold = true;
	for (size_t i = 0; i < req->n_rcpts; i++)
		if (!req->rcpts[i].done)
			agent_rcpt_done(req, i, why);
	if (!outer)
		agent_flush(req);
	req->hold = outer;
}

static void
rcpt_pass(struct agent_request *req, size_t i, struct span transport,
	  struct span nexthop, const struct why *why)
{
	struct agent_rcpt *r = &req->rcpts[i];

	log_info("%s: passing <%s> to transport=%.*s", req->queue_id,
		 r->address, SPAN_ARG(transport));
	r->done = true;
	req->n_done++;
	if (req->lost)
		return;
	ipc_begin(req->ipc, MSG_RCPT_DONE);
	ipc_put_num(req->ipc, A_INDEX, r->index);
	ipc_put(req->ipc, A_TRANSPORT, transport);
	ipc_put(req->ipc, A_NEXTHOP, nexthop);
	ipc_put_why(req->ipc, why);
	ipc_end(req->ipc);
}

void
agent_rest_pass(struct agent_request *req, const char *to,
		const struct why *why)
{
	struct span transport = span_of(to), nexthop = span_of("");
	long colon = span_find(transport, ':');

	if (colon >= 0) {
		nexthop = span_from(transport, (size_t)colon + 1);
		transport.len = (size_t)colon;
	}
	if (nexthop.len == 0)
		nexthop = span_of(req->nexthop);
	for (size_t i = 0; i < req->n_rcpts; i++)
		if (!req->rcpts[i].done)
			rcpt_pass(req, i, transport, nexthop, why);
	if (!req->hold)
		agent_flush(req);
}

/* ---- requests ---- */

static void
request_free(struct agent_request *req)
{
	char *strings[] = {
	    req->queue_id,    req->queue_name,    req->sender,
	    req->transport,   req->nexthop,       req->encoding,
	    req->dsn_envid,   req->client_name,   req->client_addr,
	    req->client_port, req->client_helo,   req->client_proto,
	    req->sasl_method, req->sasl_username, req->sasl_sender,
	    req->rewrite,
	};

	for (size_t i = 0; i < sizeof(strings) / sizeof(*strings); i++)
		free(strings[i]);
	log_told(req);
	strvec_free(&req->lines);
	for (size_t i = 0; i < req->n_rcpts; i++) {
		free(req->rcpts[i].address);
		free(req->rcpts[i].orig_to);
		free(req->rcpts[i].dsn_orcpt);
	}
	free(req->rcpts);
	buf_free(&req->relay);
	if (req->fd >= 0)
		close(req->fd);
}

static void
decode_deliver(const struct ipc_msg *m, struct agent_request *req)
{
	req->fd = m->fd;
	req->started = io_now();
	req->content_offset = ipc_num(m, A_CONTENT_OFFSET, 0);
	req->content_length = ipc_num(m, A_CONTENT_LENGTH, 0);
	req->queue_id = ipc_dup(m, A_QUEUE_ID);
	req->queue_name = ipc_dup(m, A_QUEUE_NAME);
	req->size = ipc_num(m, A_SIZE, 0);
	req->arrival = ipc_num(m, A_ARRIVAL, 0);
	req->active_time = ipc_num(m, A_ACTIVE_TIME, 0);
	req->flags = (unsigned)ipc_num(m, A_FLAGS, 0);
	req->sender = ipc_dup(m, A_SENDER);
	req->transport = ipc_dup(m, A_TRANSPORT);
	req->nexthop = ipc_dup(m, A_NEXTHOP);
	req->encoding = ipc_dup(m, A_ENCODING);
	req->dsn_envid = ipc_dup(m, A_DSN_ENVID);
	req->dsn_ret = (int)ipc_num(m, A_DSN_RET, RET_NONE);
	req->client_name = ipc_dup(m, A_CLIENT_NAME);
	req->client_addr = ipc_dup(m, A_CLIENT_ADDR);
	req->client_port = ipc_dup(m, A_CLIENT_PORT);
	req->client_helo = ipc_dup(m, A_CLIENT_HELO);
	req->client_proto = ipc_dup(m, A_CLIENT_PROTO);
	req->sasl_method = ipc_dup(m, A_SASL_METHOD);
	req->sasl_username = ipc_dup(m, A_SASL_USERNAME);
	req->sasl_sender = ipc_dup(m, A_SASL_SENDER);
	req->rewrite = ipc_dup(m, A_REWRITE);
	req->file = (uint64_t)ipc_num(m, A_FILE, 0);
	req->offset = ipc_num(m, A_OFFSET, 0);
}

static void
decode_rcpt(const struct ipc_msg *m, struct agent_rcpt *r)
{
	r->index = ipc_num(m, A_INDEX, 0);
	r->address = ipc_dup(m, A_RECIPIENT);
	r->orig_to = ipc_dup(m, A_ORIG_TO);
	r->dsn_orcpt = ipc_dup(m, A_DSN_ORCPT);
	r->dsn_notify = (int)ipc_num(m, A_DSN_NOTIFY, 0);
	r->class = (int)ipc_num(m, A_CLASS, 0);
}

/* The recipients follow their request at once. */
static bool
receive_rcpts(struct agent_request *req, int64_t count)
{
	int timeout = (int)(conf->ipc_timeout / USEC);

	if (count < 1 || count > AGENT_RCPT_MAX) {
		log_warn("%s: request for %lld recipients", req->queue_id,
			 (long long)count);
		return false;
	}
	req->rcpts = mem_calloc((size_t)count, sizeof(*req->rcpts));
	while (req->n_rcpts < (size_t)count) {
		struct ipc_msg m;
		enum ipc_status st = ipc_recv(req->ipc, &m, timeout);

		if (st == IPC_ERROR && errno == EINTR)
			continue;
		if (st != IPC_OK || m.type != MSG_RCPT) {
			log_warn("%s: incomplete request from the queue "
				 "manager",
				 req->queue_id);
			if (st == IPC_OK && m.fd >= 0)
				close(m.fd);
			return false;
		}
		decode_rcpt(&m, &req->rcpts[req->n_rcpts++]);
	}
	return true;
}

static const char *
idle_dest(const struct agent_ops *ops)
{
	const char *dest = ops->idle_dest ? ops->idle_dest() : "";

	return dest ? dest : "";
}

static void
idle_close(const struct agent_ops *ops)
{
	if (ops->idle_close)
		ops->idle_close();
}

static bool
serve_request(struct ipc *ipc, const struct ipc_msg *m,
	      struct receipt_slot *receipts, const struct agent_ops *ops)
{
	struct agent_request req = {
	    .ipc = ipc, .relay = BUF_INIT, .receipts = receipts};
	struct why why = WHY_INIT;
	int64_t count = ipc_num(m, A_INDEX, 0);
	bool ok;

	decode_deliver(m, &req);
	ok = receive_rcpts(&req, count);
	if (ok) {
		ops->deliver(&req);
		if (req.n_done < req.n_rcpts && !req.lost) {
			log_warn("%s: recipients without a result",
				 req.queue_id);
			why_set(&why, "4.3.0", "delivery agent problem");
			agent_rest_done(&req, &why);
		}
		/* Before the message can be logged as removed. */
		if (req.lines.n)
			agent_flush(&req);
		ipc_begin(ipc, MSG_DELIVER_DONE);
		ipc_put_cstr(ipc, A_IDLE_DEST, idle_dest(ops));
		ipc_end(ipc);
		agent_flush(&req);
		ok = !req.lost;
	}
	why_free(&why);
	request_free(&req);
	return ok;
}

/*
 * Wait for a request; meanwhile an idle session may end. IPC_TIMEOUT: nothing
 * came for max_idle, or the process is asked to end.
 */
static enum ipc_status
wait_request(struct ipc *ipc, struct ipc_msg *m, const struct agent_ops *ops)
{
	int64_t give_up = io_monotonic() + conf->max_idle;
	enum ipc_status st;

	while ((st = ipc_next(ipc, m)) == IPC_AGAIN) {
		bool idle = idle_dest(ops)[0] != '\0';
		struct pollfd p[2] = {
		    {.fd = ipc->fd, .events = POLLIN},
		    {.fd = idle ? ops->idle_fd() : -1, .events = POLLIN},
		};
		int64_t until = idle ? ops->idle_deadline() : give_up;

		if (service_poll(p, 2, until < give_up ? until : give_up) < 0)
			return IPC_ERROR;
		if (idle && (p[1].revents || io_monotonic() >= until))
			idle_close(ops);
		/*
		 * A request that was not read goes to another process: one
		 * that has opened the tables as they are now.
		 */
		if (p[0].revents && maps_any_changed())
			return IPC_TIMEOUT;
		if (p[0].revents) {
			st = ipc_fill(ipc);
			if (st != IPC_OK && st != IPC_AGAIN)
				return st;
		} else if (service_draining() || io_monotonic() >= give_up) {
			return IPC_TIMEOUT;
		}
	}
	return st;
}

void
agent_serve(int fd, const struct agent_ops *ops)
{
	struct receipt_slot receipts = RECEIPT_SLOT_NONE;
	struct ipc ipc;
	enum ipc_status st;
	struct ipc_msg m;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	bool ok;

	if (copy < 0) {
		log_warn("cannot serve the queue manager: %m");
		return;
	}
	ipc_init(&ipc, copy);
	ipc_begin(&ipc, MSG_AGENT_HELLO);
	ipc_put_num(&ipc, A_PID, getpid());
	ipc_end(&ipc);
	ok = ipc_flush(&ipc, (int)(conf->ipc_timeout / USEC)) == IPC_OK;
	while (ok && !service_draining()) {
		st = wait_request(&ipc, &m, ops);
		if (st == IPC_OK && m.type == MSG_DELIVER) {
			ok = serve_request(&ipc, &m, &receipts, ops);
		} else if (st == IPC_OK && m.type == MSG_RECEIPTS) {
			receipt_slot_take(&receipts, m.fd,
					  ipc_num(&m, A_OFFSET, 0));
		} else {
			if (st == IPC_OK && m.fd >= 0)
				close(m.fd);
			if (st == IPC_BAD || st == IPC_OK)
				log_warn("bad request from the queue manager");
			ok = false;
		}
	}
	idle_close(ops);
	receipt_slot_close(&receipts);
	ipc_close(&ipc);
}
