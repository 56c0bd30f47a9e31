/* SPDX-License-Identifier: MIT */
/* error(8), retry and discard(8) of Postfix, without a process. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/agent.h"
#include "lib/sys/io.h"
#include "qmgr/qmgr.h"

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

/* What Postfix calls the function that finds a code of the wrong class. */
static const struct internal {
	const char *name, *process, *dsn, *function;
} internals[] = {
    {"error", "error", "5.0.0", "bounce_append"},
    {"retry", "error", "4.0.0", "defer_append"},
    {"discard", "discard", "2.0.0", "sent"},
};

static const struct internal *
find(const char *name)
{
	for (size_t i = 0; i < sizeof(internals) / sizeof(*internals); i++)
		if (!strcmp(internals[i].name, name))
			return &internals[i];
	return NULL;
}

bool
internal_transport(const char *name)
{
	return find(name) != NULL;
}

void
internal_deliver(struct active *a, const char *transport, const char *nexthop,
		 size_t rcpt)
{
	const struct internal *t = find(transport);
	struct why why = WHY_INIT;
	char dsn[DSN_CODE_MAX];
	struct span text = dsn_split(span_of(nexthop), t->dsn, dsn);

	if (dsn[0] != t->dsn[0]) {
		log_info_as(t->process, "warning: %s: ignoring dsn code \"%s\"",
			    t->function, dsn);
		memcpy(dsn, t->dsn, strlen(t->dsn) + 1);
	}
	why_set(&why, dsn, "%.*s", SPAN_ARG(text));
	if (conf->soft_bounce && why_class(&why) == WHY_BOUNCE)
		why_set_class(&why, WHY_DEFER);
	internal_log_result(a, t->process, rcpt, &why);
	active_result(a, rcpt, &why);
	why_free(&why);
}
