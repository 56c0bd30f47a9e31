/* SPDX-License-Identifier: MIT */
/*
 * proto - every message that Postrider's processes exchange, in one table.
 *
 * A message is a type and a set of typed attributes. proto.c says for each
 * type which attributes it must and may carry, and for each attribute its
 * kind, its maximum length and the bytes it may contain; the decoder in ipc.c
 * checks a frame against that before anybody sees it.
 *
 * Who talks to whom (sockets are relative to queue_directory):
 *
 *   public/qmgr     smtpd, pickup, bounce, local: MSG_ENQUEUED (no reply)
 *                   postqueue, smtpd: MSG_FLUSH (no reply)
 *                   postsuper: MSG_SUPER -> MSG_STATUS
 *                   showq: MSG_LIST_ACTIVE -> MSG_ACTIVE* MSG_STATUS
 *   private/NAME    qmgr to a delivery agent; the agent speaks first:
 *                   MSG_AGENT_HELLO; then MSG_RECEIPTS (with a descriptor,
 *                   queue_receipt.h) and any number of rounds of
 *                   MSG_DELIVER (with the content's descriptor) MSG_RCPT* ->
 *                   MSG_RCPT_DONE* MSG_DELIVER_DONE; with A_TRANSPORT and
 *                   A_NEXTHOP the recipient goes there instead, once
 *   private/bounce  MSG_RECEIPTS; MSG_BOUNCE (with descriptor) MSG_BOUNCE_RCPT*
 *                   MSG_BOUNCE_END -> MSG_STATUS (queue_id of the notice)
 *   private/resolver  MSG_DNS_QUERY -> MSG_DNS_ANSWER, in any order,
 *                   matched by A_SERIAL
 *   private/mta-sts  smtp: MSG_STS_QUERY -> MSG_STS_POLICY, in any order,
 *                   matched by A_SERIAL; MSG_TLS_RESULT (no reply)
 *   private/verify  smtpd: MSG_VERIFY_QUERY -> MSG_VERIFY_STATUS
 *                   qmgr: MSG_VERIFY_UPDATE (no reply)
 *   private/lookup  MSG_RESOLVE -> MSG_ROUTE; MSG_TABLE_GET -> MSG_TABLE_VALUE
 */
#ifndef LIB_IPC_PROTO_H
#define LIB_IPC_PROTO_H

#include <stddef.h>
#include <stdint.h>

enum msg_type {
	MSG_NONE,
	MSG_STATUS,
	MSG_ENQUEUED,
	MSG_FLUSH,
	MSG_SUPER,
	MSG_LIST_ACTIVE,
	MSG_ACTIVE,
	MSG_AGENT_HELLO,
	MSG_RECEIPTS,
	MSG_DELIVER,
	MSG_RCPT,
	MSG_RCPT_DONE,
	MSG_DELIVER_DONE,
	MSG_BOUNCE,
	MSG_BOUNCE_RCPT,
	MSG_BOUNCE_END,
	MSG_DNS_QUERY,
	MSG_DNS_ANSWER,
	MSG_RESOLVE,
	MSG_ROUTE,
	MSG_TABLE_GET,
	MSG_TABLE_VALUE,
	MSG_VERIFY_QUERY,
	MSG_VERIFY_STATUS,
	MSG_VERIFY_UPDATE,
	MSG_STS_QUERY,
	MSG_STS_POLICY,
	MSG_TLS_RESULT,
	/* local, virtual, pipe: to the process that runs as the recipient
	 * (lib/deliver/as_user.h) */
	MSG_AS_USER_MESSAGE,
	MSG_AS_USER,
	MSG_AS_USER_DONE,
	MSG_TYPE_COUNT
};

enum msg_attr {
	A_NONE,
	A_STATUS,	  /* number; meaning per message, 0 is success */
	A_REASON,	  /* text for a human */
	A_SERIAL,	  /* number that matches an answer to its query */
	A_PID,
	A_QUEUE_ID,
	A_QUEUE_NAME,	  /* incoming active deferred hold corrupt maildrop */
	A_SEGMENT,	  /* path relative to queue_directory */
	A_FILE,		  /* number of a segment; 0: a file of its own */
	A_OFFSET,	  /* bytes from the start of the file to the image */
	A_LENGTH,	  /* bytes of the image */
	A_CONTENT_OFFSET, /* bytes from the start of the file */
	A_CONTENT_LENGTH,
	A_SIZE,		  /* message size in bytes, as logged */
	A_ARRIVAL,	  /* microseconds since the epoch */
	A_ACTIVE_TIME,	  /* microseconds: when it entered the active queue */
	A_NEXT_TIME,	  /* microseconds: when to retry */
	A_FLAGS,
	A_OPERATION,
	A_SITE,
	A_SENDER,
	A_RECIPIENT,
	A_ORIG_TO,	  /* as first received, before rewriting */
	A_INDEX,	  /* recipient number within its message */
	A_CLASS,	  /* enum addr_class */
	A_TRANSPORT,
	A_NEXTHOP,
	A_ENCODING,	  /* "7bit", "8bit" or "" */
	A_DSN_ENVID,
	A_DSN_RET,
	A_DSN_ORCPT,
	A_DSN_NOTIFY,
	A_DSN,		  /* enhanced status code: struct why, dsn */
	A_CODE,		  /* SMTP reply code: struct why, code */
	A_TEXT,		  /* struct why, text */
	A_MTA,		  /* struct why, mta */
	A_DIAGNOSTIC,	  /* struct why, diagnostic */
	A_DIAG_TYPE,	  /* struct why, diag_type */
	A_IDLE_DEST,	  /* still connected to this nexthop; "" when not */
	A_CLIENT_NAME,
	A_CLIENT_ADDR,
	A_CLIENT_PORT,
	A_CLIENT_HELO,
	A_CLIENT_PROTO,
	A_SASL_METHOD,
	A_SASL_USERNAME,
	A_SASL_SENDER,
	A_REWRITE,	  /* address rewriting context: "local" or "remote" */
	A_KIND,
	A_NAME,
	A_RRTYPE,
	A_RR,		  /* resource record as text */
	A_SECURE,	  /* DNSSEC: 1 validated */
	A_TTL,		  /* seconds */
	A_TABLE,
	A_KEY,
	A_VALUE,
	A_USER,
	A_UID,
	A_GID,
	A_PATH,
	A_COMMAND,
	A_ENV,		  /* NAME=VALUE */
	A_DATA,
	A_TIME_LIMIT,	  /* microseconds */
	A_ARG,		  /* one word of an argument vector */
	A_EOL,		  /* the line end that is wanted */
	A_ID,		  /* of an MTA-STS policy */
	A_MODE,		  /* enum mta_sts_mode */
	A_PATTERN,	  /* of host names */
	A_RESULT,	  /* enum tlsrpt_result */
	A_SERVER_ADDR,
	MSG_ATTR_COUNT
};

enum attr_kind {
	ATTR_NUM,  /* int64 */
	ATTR_TEXT, /* no NUL, CR or LF */
	ATTR_BYTES /* anything */
};

struct attr_def {
	const char *name;
	enum attr_kind kind;
	uint32_t max; /* bytes */
};

enum attr_use {
	USE_REQUIRED = 1,
	USE_OPTIONAL,
	USE_MANY /* any number of times, also none */
};

struct attr_rule {
	enum msg_attr attr;
	enum attr_use use;
};

struct msg_def {
	const char *name;
	const struct attr_rule *rules; /* ends with A_NONE */
	int carries_fd;		       /* 1: exactly one descriptor follows */
};

const struct attr_def *proto_attr(unsigned attr); /* NULL: no such one */
const struct msg_def *proto_msg(unsigned type);	  /* NULL: no such one */

/* A_FLAGS of MSG_DELIVER */
enum {
	DELIVER_BOUNCE_NOTICE = 1 << 0, /* a notice of ours: null sender */
	DELIVER_SMTPUTF8 = 1 << 1,
	DELIVER_REQUIRETLS = 1 << 2,
	DELIVER_SHARED_SYNC = 1 << 16, /* many at once: qmgr syncs for all */
	DELIVER_PROBE = 1 << 3, /* find out, deliver nothing */
};

/* A_FLAGS of MSG_RCPT_DONE */
enum {
	RCPT_DSN_PASSED = 1 << 0, /* the next host writes the notices */
};

/* A_OPERATION of MSG_SUPER */
enum super_op {
	SUPER_DELETE = 1,
	SUPER_HOLD,
	SUPER_RELEASE,
	SUPER_REQUEUE,
	SUPER_EXPIRE,
	SUPER_EXPIRE_RELEASE,
};

/* A_STATUS of MSG_VERIFY_*: what is known of an address. The numbers are those
 * in the address_verify_map, which other programs read. */
enum verify_status {
	VERIFY_OK,     /* deliverable */
	VERIFY_DEFER,  /* the probe could not tell */
	VERIFY_BOUNCE, /* undeliverable */
	VERIFY_TODO,   /* a probe is under way */
};

/* A_DSN_NOTIFY (RFC 3461 section 4.1); 0 when the sender said nothing */
enum {
	NOTIFY_NEVER = 1,
	NOTIFY_SUCCESS = 2,
	NOTIFY_FAILURE = 4,
	NOTIFY_DELAY = 8,
};

/* A_DSN_RET (RFC 3461 section 4.3) */
enum {
	RET_NONE,
	RET_FULL,
	RET_HDRS,
};

/* A_KIND of MSG_BOUNCE: which notice, to whom */
enum bounce_kind {
	BOUNCE_FAILURE = 1,	/* to the sender: non-delivery */
	BOUNCE_DELAY,		/* to the sender: delayed */
	BOUNCE_SUCCESS,		/* to the sender: delivered, relayed */
	BOUNCE_POSTMASTER,	/* double bounce, to 2bounce_notice_recipient */
	BOUNCE_VERIFY,		/* sendmail -bv, -v: delivery report */
};

#endif
