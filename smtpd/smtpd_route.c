/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_route.h"

#include <stdio.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"

void
smtpd_route_forget(struct smtpd *s)
{
	route_free(&s->route);
	s->route = (struct route)ROUTE_INIT;
	s->route_known = false;
}

static bool
lookup_failed(struct span addr, struct why *why)
{
	if (why_class(why) == WHY_BOUNCE)
		return false;
	if (why->text.len)
		log_warn("%s", buf_cstr(&why->text));
	why_set_code(why, 451, "4.3.0", "<%.*s>: Temporary lookup failure",
		     SPAN_ARG(addr));
	return true;
}

static bool
resolve_recipient(struct smtpd *s, struct why *why)
{
	if (s->route_known)
		return true;
	s->route_known = route_resolve(buf_span(&s->mail.sender),
				       buf_span(&s->recipient), &s->route, why);
	return s->route_known;
}

/*
 * user@a@b, user%a@b, a!user@b: the sender says where it is to go from here.
 * What is relayed for strangers must not be steered by them.
 */
static bool
sender_routed(struct span addr)
{
	struct span local = addr_localpart(addr);

	for (size_t i = 0; i < local.len; i++)
		if (local.data[i] == '@' || local.data[i] == '%' ||
		    local.data[i] == '!')
			return true;
	return false;
}

bool
smtpd_route_steered(struct span addr)
{
	return !conf->allow_untrusted_routing && sender_routed(addr);
}

enum table_status
smtpd_route_authorized(struct smtpd *s, struct why *why)
{
	if (!resolve_recipient(s, why)) {
		if (lookup_failed(buf_span(&s->recipient), why))
			return TABLE_RETRY;
		return TABLE_ABSENT;
	}
	if (s->route.class == CLASS_DEFAULT)
		return TABLE_ABSENT;
	if (smtpd_route_steered(buf_span(&s->recipient)))
		return TABLE_ABSENT;
	return TABLE_FOUND;
}

/* The 5.1.1 of a recipient is 5.1.0 of a sender. */
static void
render_unknown(struct span addr, const char *what, struct why *why)
{
	struct buf text = BUF_INIT;
	char dsn[DSN_CODE_MAX];
	int code = why->code;
	const char *detail = why->dsn[0] ? why->dsn + 2 : "1.1";

	if (what[0] == 'S' && !strcmp(detail, "1.1"))
		detail = "1.0";
	snprintf(dsn, sizeof(dsn), "%d.%.9s", code / 100 == 4 ? 4 : 5, detail);
	buf_append_span(&text, buf_span(&why->text));
	why_set_code(why, code, dsn, "<%.*s>: %s rejected: %s", SPAN_ARG(addr),
		     what, buf_cstr(&text));
	buf_free(&text);
}

/* RFC 5321 section 4.5.1; the others are this program's own senders. */
static bool
always_known(struct span addr)
{
	struct span local = addr_localpart(addr);

	return span_equal_cstr_nocase(local, "postmaster") ||
	       span_equal_cstr_nocase(local, "mailer-daemon") ||
	       span_equal_cstr_nocase(local, conf->double_bounce_sender);
}

bool
smtpd_route_unlisted(struct smtpd *s, struct span addr, const char *what,
		     struct why *why)
{
	bool is_rcpt = what[0] == 'R';
	struct route other = ROUTE_INIT, *r = is_rcpt ? &s->route : &other;
	bool refuse = false;
	bool ok;

	ok = is_rcpt ? resolve_recipient(s, why)
		     : route_resolve(span_of(""), addr, r, why);
	if (!ok) {
		if (!lookup_failed(addr, why)) {
			why_prepend(
			    why, "<%.*s>: %s rejected: ", SPAN_ARG(addr), what);
		}
		refuse = true;
		goto out;
	}
	if (r->class == CLASS_LOCAL && always_known(addr))
		goto out;
	switch (route_recipient_known(r, why)) {
	case TABLE_RETRY:
		refuse = lookup_failed(addr, why);
		break;
	case TABLE_ABSENT:
		render_unknown(addr, what, why);
		refuse = true;
		break;
	default:
		break;
	}
out:
	route_free(&other);
	return refuse;
}
