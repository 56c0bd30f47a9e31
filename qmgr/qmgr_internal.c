/* SPDX-License-Identifier: MIT */
/* error(8), retry and discard(8) of Postfix, without a process. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/agent.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

bool
internal_transport(const char *name)
{
	return !strcmp(name, "error") || !strcmp(name, "retry") ||
	       !strcmp(name, "discard");
}

void
internal_log_result(const struct active *a, const char *process, size_t rcpt,
	   const struct why *why)
{
	const struct rcpt *r = &a->qm->env.rcpts[rcpt];
	int digits = conf->delay_logging_resolution_limit;
	int64_t now = io_now();
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s: to=<%s>", a->qm->id, r->address);
	if (r->orig_to && strcmp(r->orig_to, r->address))
		buf_printf(&line, ", orig_to=<%s>", r->orig_to);
	buf_append_cstr(&line, ", relay=none, delay=");
	agent_format_delay(now - a->qm->env.arrival, digits, &line);
	buf_append_cstr(&line, ", delays=");
	agent_format_delay(a->active_time - a->qm->env.arrival, digits, &line);
	buf_append_byte(&line, '/');
	agent_format_delay(now - a->active_time, digits, &line);
	buf_printf(&line, "/0/0, dsn=%s, status=%s (%s)", why->dsn,
		   a->qm->env.flags & ENVELOPE_PROBE ? agent_probe_word(why)
						     : why_status_word(why),
		   buf_cstr(&why->text));
	log_info_as(process, "%s", buf_cstr(&line));
	buf_free(&line);
}

void
internal_verify(struct active *a, size_t rcpt)
{
	const struct rcpt *r = &a->qm->env.rcpts[rcpt];
	struct why why = WHY_INIT;

	why_set(&why, "2.0.0", "mail goes by transport %s%s%s", r->transport,
		r->nexthop[0] ? " to " : "", r->nexthop);
	log_info("%s: to=<%s>, relay=none, dsn=2.0.0, status=deliverable (%s)",
		 a->qm->id, r->address, buf_cstr(&why.text));
	active_result(a, rcpt, &why);
	why_free(&why);
}

void
internal_deliver(struct active *a, const char *transport, const char *nexthop,
		 size_t rcpt)
{
	bool retry = !strcmp(transport, "retry");
	bool discard = !strcmp(transport, "discard");
	struct why why = WHY_INIT;
	char dsn[DSN_CODE_MAX];
	struct span text = dsn_split(span_of(nexthop),
				     discard ? "2.0.0"
				     : retry ? "4.0.0"
					     : "5.0.0",
				     dsn);

	dsn[0] = discard ? '2' : retry ? '4' : dsn[0];
	if (!discard && !retry && dsn[0] == '2')
		dsn[0] = '5';
	why_set(&why, dsn, "%.*s", SPAN_ARG(text));
	if (conf->soft_bounce && why_class(&why) == WHY_BOUNCE)
		why_set_class(&why, WHY_DEFER);
	internal_log_result(
	    a, discard ? "discard" : retry ? "retry" : "error", rcpt, &why);
	active_result(a, rcpt, &why);
	why_free(&why);
}
