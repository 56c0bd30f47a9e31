/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_command.h"

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/smtp/cmd.h"
#include "smtp/smtp_convert.h"

static void
put_path(struct buf *line, const char *address)
{
	buf_append_byte(line, '<');
	if (conf->smtp_quote_rfc821_envelope)
		addr_quote(span_of(address), line);
	else
		buf_append_cstr(line, address);
	buf_append_byte(line, '>');
}

static void
put_dsn(struct buf *line, const struct agent_request *req)
{
	if (req->dsn_envid[0]) {
		buf_append_cstr(line, " ENVID=");
		xtext_encode(span_of(req->dsn_envid), line);
	}
	if (req->dsn_ret == RET_FULL)
		buf_append_cstr(line, " RET=FULL");
	else if (req->dsn_ret == RET_HDRS)
		buf_append_cstr(line, " RET=HDRS");
}

void
smtp_command_mail(const struct smtp_session *s, const struct agent_request *req,
		  struct buf *line)
{
	buf_append_cstr(line, "MAIL FROM:");
	put_path(line, req->sender);
	if ((s->features & FEATURE_SIZE) && !(req->flags & DELIVER_PROBE) &&
	    !smtp_convert_wanted(s, req))
		buf_printf(line, " SIZE=%lld", (long long)req->size);
	if ((s->features & FEATURE_8BITMIME) &&
	    strcmp(req->encoding, "8bit") == 0)
		buf_append_cstr(line, " BODY=8BITMIME");
	if ((s->features & FEATURE_SMTPUTF8) && (req->flags & DELIVER_SMTPUTF8))
		buf_append_cstr(line, " SMTPUTF8");
	if (req->flags & DELIVER_REQUIRETLS)
		buf_append_cstr(line, " REQUIRETLS");
	if (s->features & FEATURE_DSN)
		put_dsn(line, req);
	if (conf->smtp_send_dummy_mail_auth && s->auth && s->auth->done)
		buf_append_cstr(line, " AUTH=<>");
}

/* "type;address", the address in xtext (RFC 3461 section 4.2). */
static void
put_orcpt(struct buf *line, const struct agent_rcpt *r)
{
	struct span given = span_of(r->dsn_orcpt);
	const char *address = r->orig_to[0] ? r->orig_to : r->address;
	long semi = span_find(given, ';');

	if (cmd_orcpt_is_valid(given)) {
		buf_append_cstr(line, " ORCPT=");
		buf_append(line, given.data, (size_t)semi + 1);
		xtext_encode(span_from(given, (size_t)semi + 1), line);
	} else if (utf8_is_ascii(address, strlen(address))) {
		buf_append_cstr(line, " ORCPT=rfc822;");
		xtext_encode(span_of(address), line);
	}
}

static void
put_notify(struct buf *line, int notify)
{
	static const struct {
		int bit;
		const char *word;
	} words[] = {
	    {NOTIFY_SUCCESS, "SUCCESS"},
	    {NOTIFY_FAILURE, "FAILURE"},
	    {NOTIFY_DELAY, "DELAY"},
	};
	bool any = false;

	if (notify & NOTIFY_NEVER) {
		buf_append_cstr(line, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (!(notify & words[i].bit))
			continue;
		buf_printf(line, "%s%s", any ? "," : " NOTIFY=", words[i].word);
		any = true;
	}
}

void
smtp_command_rcpt(const struct smtp_session *s, const struct agent_rcpt *rcpt,
		  struct buf *line)
{
	buf_append_cstr(line, "RCPT TO:");
	put_path(line, rcpt->address);
	if (!(s->features & FEATURE_DSN))
		return;
	put_orcpt(line, rcpt);
	put_notify(line, rcpt->dsn_notify);
}

/* ---- XFORWARD ---- */

static bool
has_client(const struct agent_request *req)
{
	return req->client_name[0] || req->client_addr[0];
}

int
smtp_command_xforward_count(const struct smtp_session *s,
			    const struct agent_request *req)
{
	if (!conf->smtp_send_xforward_command ||
	    !(s->features & FEATURE_XFORWARD))
		return 0;
	return has_client(req) ? 2 : 1;
}

static void
put_attr(struct buf *line, const char *name, const char *value)
{
	buf_printf(line, " %s=", name);
	if (!value[0] || strcmp(value, "unknown") == 0)
		buf_append_cstr(line, "[UNAVAILABLE]");
	else
		xtext_encode(span_of(value), line);
}

void
smtp_command_xforward(const struct agent_request *req, int i, struct buf *line)
{
	const char *source =
	    strcmp(req->rewrite, "local") == 0 || !req->rewrite[0] ? "LOCAL"
								   : "REMOTE";

	buf_append_cstr(line, "XFORWARD");
	if (!has_client(req)) {
		put_attr(line, "SOURCE", source);
	} else if (i == 0) {
		put_attr(line, "NAME", req->client_name);
		put_attr(line, "ADDR", req->client_addr);
		put_attr(line, "PORT", req->client_port);
	} else {
		put_attr(line, "PROTO", req->client_proto);
		put_attr(line, "HELO", req->client_helo);
		put_attr(line, "IDENT", req->queue_id);
		put_attr(line, "SOURCE", source);
	}
}

void
smtp_command_xforward_reply(struct smtp_session *s)
{
	struct buf text = BUF_INIT;

	if (s->reply.code / 100 == 2)
		return;
	reply_text(&s->reply, &text);
	log_warn("host %s said: %s (in reply to XFORWARD command)", s->name,
		 buf_cstr(&text));
	buf_free(&text);
}
