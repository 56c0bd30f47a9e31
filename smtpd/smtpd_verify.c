/* SPDX-License-Identifier: MIT */
/* reject_unverified_sender, reject_unverified_recipient: ask verify(8). */
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/smtp/probe.h"
#include "lib/sys/io.h"
#include "smtpd/smtpd_rules.h"

enum { USEC = 1000000, TEXT_MAX = 250 };

/* What the parameters say of one of the two. */
struct verify_rule {
	struct span address;
	const char *what, *dsn; /* "Recipient address", "1.1" */
	int reject_code, defer_code;
	const char *reason, *tempfail_action;
};

static struct ipc link_ipc = {.fd = -1}; /* kept between questions */

static bool
ask_once(struct span address, enum verify_status *status, struct buf *text)
{
	int timeout = (int)(conf->ipc_timeout / USEC);
	struct ipc_msg m;

	ipc_begin(&link_ipc, MSG_VERIFY_QUERY);
	ipc_put(&link_ipc, A_RECIPIENT, address);
	ipc_end(&link_ipc);
	if (ipc_flush(&link_ipc, timeout) != IPC_OK ||
	    ipc_recv(&link_ipc, &m, timeout) != IPC_OK ||
	    m.type != MSG_VERIFY_STATUS || m.fd >= 0)
		return false;
	*status = (enum verify_status)ipc_num(&m, A_STATUS, VERIFY_DEFER);
	buf_set(text, ipc_get(&m, A_TEXT));
	return true;
}

/* The service may have been replaced since the last question. */
static bool
ask(struct span address, enum verify_status *status, struct buf *text)
{
	char *path =
	    mem_sprintf("private/%s", conf->address_verify_service_name);
	bool ok = link_ipc.fd >= 0 && ask_once(address, status, text);

	if (!ok) {
		if (link_ipc.fd >= 0)
			ipc_close(&link_ipc);
		ok = ipc_connect(&link_ipc, path,
				 (int)(conf->ipc_timeout / USEC)) &&
		     ask_once(address, status, text);
	}
	if (!ok) {
		log_warn("problem talking to service %s: %m",
			 conf->address_verify_service_name);
		if (link_ipc.fd >= 0)
			ipc_close(&link_ipc);
	}
	free(path);
	return ok;
}

/* Ask until the probe is back, poll_count times at most. */
static bool
find_out(struct smtpd *s, struct span address, enum verify_status *status,
	 struct buf *text)
{
	struct timespec delay = {.tv_sec =
				     conf->address_verify_poll_delay / USEC};
	int left = conf->address_verify_poll_count;

	for (;;) {
		if (!ask(address, status, text))
			return false;
		if (*status != VERIFY_TODO || --left <= 0)
			return true;
		stream_flush(&s->st);
		nanosleep(&delay, NULL);
	}
}

static void
set_reply(const struct verify_rule *v, int code, const struct buf *text,
	  struct why *why)
{
	const char *reason = *v->reason ? v->reason : buf_cstr(text);

	rule_set_why(why, code, v->dsn, "<%.*s>: %s rejected: %s address: %.*s",
		     SPAN_ARG(v->address), v->what,
		     code / 100 == 4 ? "unverified" : "undeliverable", TEXT_MAX,
		     reason);
}

static enum verdict
tempfail(struct smtpd *s, const struct verify_rule *v, struct why *why)
{
	if (!strcasecmp(v->tempfail_action, "defer"))
		return VERDICT_REJECT;
	rule_defer_if(s, &s->defer_if_permit, why);
	return VERDICT_DUNNO;
}

static enum verdict
check(struct smtpd *s, const struct verify_rule *v, struct why *why)
{
	enum verify_status status = VERIFY_TODO;
	struct buf text = BUF_INIT;
	enum verdict verdict = VERDICT_DUNNO;

	/* Its address is not the same tomorrow: it says nothing to verify. */
	if (conf->address_verify_sender_ttl > 0 &&
	    probe_is_sender(v->address, io_now()))
		return VERDICT_DUNNO;
	if (!find_out(s, v->address, &status, &text)) {
		why_set_code(why, 450, "4.3.0",
			     "<%.*s>: %s rejected: address verification "
			     "problem",
			     SPAN_ARG(v->address), v->what);
		rule_defer_if(s, &s->defer_if_permit, why);
	} else if (status == VERIFY_BOUNCE) {
		/* A temporary code is for those who are not sure of it. */
		set_reply(v, v->reject_code, &text, why);
		verdict = v->reject_code / 100 == 4 ? tempfail(s, v, why)
						    : VERDICT_REJECT;
	} else if (status != VERIFY_OK) {
		if (status == VERIFY_TODO)
			buf_set_cstr(&text, "Address verification in progress");
		set_reply(v, v->defer_code, &text, why);
		verdict = tempfail(s, v, why);
	}
	buf_free(&text);
	return verdict;
}

RULE_FN(check_unverified_sender)
{
	const struct verify_rule v = {
	    buf_span(&s->mail.sender),
	    "Sender address",
	    "1.7",
	    conf->unverified_sender_reject_code,
	    conf->unverified_sender_defer_code,
	    conf->unverified_sender_reject_reason,
	    conf->unverified_sender_tempfail_action,
	};

	(void)r;
	(void)about;
	return v.address.len ? check(s, &v, why) : VERDICT_DUNNO;
}

RULE_FN(check_unverified_recipient)
{
	const struct verify_rule v = {
	    buf_span(&s->recipient),
	    "Recipient address",
	    "1.1",
	    conf->unverified_recipient_reject_code,
	    conf->unverified_recipient_defer_code,
	    conf->unverified_recipient_reject_reason,
	    conf->unverified_recipient_tempfail_action,
	};

	(void)r;
	(void)about;
	return check(s, &v, why);
}
