/* SPDX-License-Identifier: MIT */
/*
 * agent - a delivery agent's side of its talk with the queue manager
 * (lib/ipc/proto.h, private/NAME), and the log line about each recipient.
 *
 *	static void
 *	my_deliver(struct agent_request *req)
 *	{
 *		struct why why = WHY_INIT;
 *
 *		for (size_t i = 0; i < req->n_rcpts; i++) {
 *			agent_set_relay(req, "local");
 *			... fills in why ...
 *			agent_rcpt_done(req, i, &why);
 *		}
 *		why_free(&why);
 *	}
 *
 *	static const struct agent_ops ops = {.deliver = my_deliver};
 *
 *	serve(int fd) { agent_serve(fd, &ops); }
 *
 * deliver() reports every recipient exactly once, as soon as it is known what
 * happened to it; whatever it leaves out is deferred with a warning.
 */
#ifndef LIB_SERVICE_AGENT_H
#define LIB_SERVICE_AGENT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/strvec.h"
#include "lib/dsn/why.h"

/* Recipients in one request; qmgr asks for less
 * (default_destination_recipient_limit). */
enum { AGENT_RCPT_MAX = 10000 };

struct receipt_slot;

struct agent_rcpt {
	int64_t index;   /* within the message, for qmgr */
	char *address;   /* internal form */
	char *orig_to;   /* as first received; "" when it is the same */
	char *dsn_orcpt; /* "rfc822;..." in xtext decoded form, or "" */
	int dsn_notify;  /* NOTIFY_* or 0 */
	int class;       /* enum addr_class, 0: unknown */
	bool done;       /* was reported */
	bool sent;       /* and delivered */
	bool owed; /* a receipt, before the report */
	/* Set before a success is reported: the next host was told dsn_notify
	 * and writes the notices (RFC 3461 section 5.2.2). */
	bool dsn_passed;
};

/* One MSG_DELIVER with its recipients. Strings are never NULL. Everything
 * belongs to the request and is gone when deliver() returns. */
struct agent_request {
	int fd;                 /* the file; read only, use pread() */
	int64_t content_offset; /* of the content in fd (LF line ends) */
	int64_t content_length;
	char *queue_id;
	char *queue_name;
	uint64_t file; /* of the image, for receipts (queue_receipt.h) */
	int64_t offset;
	int64_t size;        /* as logged */
	int64_t arrival;     /* microseconds since the epoch */
	int64_t active_time; /* the same: entered the active queue */
	unsigned flags;      /* DELIVER_* */
	char *sender;        /* internal form, "" is the null sender */
	char *transport;
	char *nexthop;
	char *encoding; /* "7bit", "8bit" or "" */
	char *dsn_envid;
	int dsn_ret; /* RET_* */
	char *client_name, *client_addr, *client_port, *client_helo,
	    *client_proto;
	char *sasl_method, *sasl_username, *sasl_sender;
	char *rewrite;
	struct agent_rcpt *rcpts;
	size_t n_rcpts;
	size_t n_done;

	/* For the log line; the agent sets them, they hold until changed. */
	struct buf relay; /* "local", "host[addr]:25"; "" logs as "none" */
	int conn_use;     /* deliveries over this connection, logged above 1 */
	int64_t started;  /* io_now(): the agent got the request (set) */
	int64_t setup_done; /* io_now(): connected and greeted; 0: no such */
	/* Reports are collected until agent_flush(): set it around several that
	 * become known at the same moment. */
	bool hold;
	struct strvec lines; /* log lines about what is collected */
	/* Who is told; owned by agent_serve(). */
	struct ipc *ipc;
	struct receipt_slot *receipts;
	size_t n_owed;
	bool lost; /* qmgr went away */
};

struct agent_ops {
	/* Deliver. Reports by agent_rcpt_done(). */
	void (*deliver)(struct agent_request *req);
	/*
	 * What follows may be NULL: agents that keep a session to a remote
	 * host between requests.
	 *
	 * After deliver(): the nexthop that the agent stays connected to, or
	 * "" when it does not.
	 */
	const char *(*idle_dest)(void);
	/* The descriptor of that session (readable: the remote closed it). */
	int (*idle_fd)(void);
	/* io_monotonic() time at which it is to be closed. */
	int64_t (*idle_deadline)(void);
	/* Close it: deadline, remote end, qmgr gone, or end of the process. */
	void (*idle_close)(void);
};

/*
 * Serve one connection of qmgr until it closes, the process is asked to end,
 * or nothing came for $max_idle. Does not close fd.
 */
void agent_serve(int fd, const struct agent_ops *ops);

void agent_set_relay(struct agent_request *req, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Recipient i is done, for the reason why (must be set): writes
 *
 *	ID: to=<..>, orig_to=<..>, relay=.., conn_use=N, delay=D,
 *	delays=a/b/c/d, dsn=x.y.z, status=sent (text)
 *
 * and tells qmgr. With soft_bounce a bounce is logged as SOFTBOUNCE and
 * reported as deferred.
 */
void agent_rcpt_done(struct agent_request *req, size_t i,
		     const struct why *why);
/*
 * The two halves of it, for an agent that turns one recipient into several
 * deliveries: a log line for an address that the recipient led to (orig_to ""
 * or the same: not logged), and the one answer to qmgr.
 */
void agent_log_status(struct agent_request *req, const char *to,
		      const char *orig_to, const struct why *why);
void agent_rcpt_tell(struct agent_request *req, size_t i,
		     const struct why *why);
/* The status in the log of a request with DELIVER_PROBE: such a request is
 * answered as if it were delivered, and delivers nothing. */
const char *agent_probe_word(const struct why *why);
/* The same for each recipient that was not reported yet, as one batch. */
void agent_rest_done(struct agent_request *req, const struct why *why);
/*
 * Each recipient that was not reported yet goes to another "transport" or
 * "transport:nexthop" (transport(5)) instead; logs "passing <..> to
 * transport=..". why: what became of a recipient that was passed on before.
 */
void agent_rest_pass(struct agent_request *req, const char *to,
		     const struct why *why);

/*
 * Put on record and tell qmgr now what was reported. The last report of a request waits for the
 * end of deliver() unless this is called, which an agent does before anything
 * that may take long.
 */
void agent_flush(struct agent_request *req);

/*
 * A delay as Postfix logs it: two significant digits below 100 seconds but
 * at most $delay_logging_resolution_limit after the point, trailing zeros
 * dropped ("0", "0.03", "1.2", "35", "620").
 */
void agent_format_delay(int64_t usec, int digits, struct buf *out);
/* Microseconds of a/b/c/d to the delays= text. */
void agent_format_delays(const struct agent_request *req, int64_t now,
			 struct buf *out);

#endif
