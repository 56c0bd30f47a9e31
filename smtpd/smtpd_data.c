/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_data.h"

#include <stdlib.h>
#include <time.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_drop.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_notice.h"
#include "smtpd/smtpd_proxy.h"
#include "smtpd/smtpd_rules.h"
#include "smtpd/smtpd_sasl.h"
#include "smtpd/smtpd_tls.h"
#include "smtpd/smtpd_xclient.h"

static struct match_list *bare_exclusions;
static struct rule_list *local_rewrite;

void
smtpd_data_open_tables(void)
{
	enum bare_policy policy;

	if (!bare_policy_parse(conf->smtpd_forbid_bare_newline, &policy))
		log_fatal("bad parameter value: smtpd_forbid_bare_newline = %s",
			  conf->smtpd_forbid_bare_newline);
	bare_exclusions = match_list_open(
	    "smtpd_forbid_bare_newline_exclusions",
	    conf->smtpd_forbid_bare_newline_exclusions, MATCH_HOST,
	    conf_list_has(conf->parent_domain_matches_subdomains, "mynetworks")
		? MATCH_PARENT
		: 0);
	local_rewrite = smtpd_rules_compile("local_header_rewrite_clients",
					    conf->local_header_rewrite_clients,
					    LIST_REWRITE);
}

enum bare_policy
smtpd_bare_policy(struct smtpd *s)
{
	enum bare_policy policy = BARE_NORMALIZE;
	struct why why = WHY_INIT;

	bare_policy_parse(conf->smtpd_forbid_bare_newline, &policy);
	if (policy != BARE_ALLOW &&
	    match_list_has_host(bare_exclusions, buf_cstr(&s->peer.name),
				buf_cstr(&s->peer.addr), &why) == TABLE_FOUND)
		policy = BARE_ALLOW;
	why_free(&why);
	return policy;
}

/* ---- the envelope ---- */

/* Is the client one whose incomplete headers get this host's domain? */
static bool
rewrites_as_local(struct smtpd *s)
{
	struct subject about = {buf_cstr(&s->peer.namaddr), "Client host",
				LIST_REWRITE};
	struct why why = WHY_INIT;
	bool local;

	if (s->standalone)
		return true;
	local =
	    smtpd_rules_run(s, local_rewrite, &about, &why, 0) == VERDICT_OK;
	why_free(&why);
	return local;
}

static char *
copy_or_null(const struct buf *b)
{
	return b->len ? mem_strndup(b->data, b->len) : NULL;
}

bool
smtpd_data_is_local(struct smtpd *s)
{
	return s->forward.active ? s->forward.local : rewrites_as_local(s);
}

/* Of the client itself, or of the one that it named with XFORWARD; never some
 * of this and some of that. */
static void
fill_client(struct smtpd *s, struct envelope *e)
{
	const struct smtpd_forward *f = &s->forward;
	e->rewrite = mem_strdup(smtpd_data_is_local(s) ? "local" : "remote");
	e->client_name = copy_or_null(f->active ? &f->name : &s->peer.name);
	e->client_addr = copy_or_null(f->active ? &f->addr : &s->peer.addr);
	e->client_port = copy_or_null(f->active ? &f->port : &s->peer.port);
	e->client_helo = copy_or_null(f->active ? &f->helo : &s->helo);
	e->client_proto =
	    f->active ? copy_or_null(&f->proto) : mem_strdup(s->protocol);
}

static void
fill_envelope(struct smtpd *s, struct envelope *e)
{
	const struct smtpd_mail *m = &s->mail;

	e->sender = mem_strdup(buf_cstr(&m->sender));
	e->encoding = copy_or_null(&m->encoding);
	e->dsn_envid = copy_or_null(&m->envid);
	e->dsn_ret = m->ret;
	if (m->smtputf8)
		e->flags |= ENVELOPE_SMTPUTF8;
	if (m->requiretls)
		e->flags |= ENVELOPE_REQUIRETLS;
	fill_client(s, e);
	e->sasl_method = copy_or_null(&s->sasl.method);
	e->sasl_username = copy_or_null(&s->sasl.username);
	e->sasl_sender = copy_or_null(&s->sasl.sender);
}

static void
log_client(const struct smtpd *s)
{
	struct buf line = BUF_INIT;

	smtpd_sasl_append_log(s, &line);
	smtpd_forward_log(s, &line);
	log_info("%s: client=%s%s", smtpd_queue_id(s),
		 buf_cstr(&s->peer.namaddr), buf_cstr(&line));
	buf_free(&line);
}

bool
smtpd_data_open(struct smtpd *s, struct why *why)
{
	struct smtpd_mail *m = &s->mail;

	if (m->cleanup || m->drop || m->proxy)
		return true;
	if (s->standalone) {
		m->drop = smtpd_drop_begin(&m->queue_id, why);
	} else if (smtpd_proxy_is_on(s)) {
		m->proxy = smtpd_proxy_begin(s);
	} else {
		m->cleanup = cleanup_begin(CLEANUP_SMTPD, why);
		if (m->cleanup) {
			buf_set_cstr(&m->queue_id, cleanup_id(m->cleanup));
			fill_envelope(s, cleanup_envelope(m->cleanup));
		}
	}
	if (!m->cleanup && !m->drop && !m->proxy)
		return false;
	log_client(s);
	return true;
}

/* ---- Received: ---- */

static void
authenticated_comment(const struct smtpd *s, struct buf *out)
{
	struct span name = buf_span(&s->sasl.username);

	buf_append_cstr(out, "\t(Authenticated sender: ");
	for (size_t i = 0; i < name.len; i++)
		buf_append_byte(
		    out, memchr("()\\", name.data[i], 3) ? '?' : name.data[i]);
	buf_append_cstr(out, ")\n");
}

/*
 * RFC 5321 section 4.4. The recipient is shown only when it is the only one:
 * others must not learn of it.
 */
static void
received_header(struct smtpd *s, struct buf *out)
{
	const struct smtpd_mail *m = &s->mail;
	time_t now = time(NULL);
	struct tm tm;
	bool esmtp = !strcmp(s->protocol, "ESMTP");
	char date[100];

	localtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %e %b %Y %H:%M:%S %z (%Z)", &tm);
	buf_printf(out, "Received: from %s (%s [%s])\n",
		   buf_cstr(s->helo.len ? &s->helo : &s->peer.name),
		   buf_cstr(&s->peer.name), buf_cstr(&s->peer.rfc_addr));
	smtpd_tls_received(s, out);
	if (s->sasl.username.len && conf->smtpd_sasl_authenticated_header)
		authenticated_comment(s, out);
	/* RFC 3848: ESMTPS, ESMTPA, ESMTPSA. */
	buf_printf(out, "\tby %s (%s) with %s%s%s", conf->myhostname,
		   conf->mail_name, s->protocol,
		   esmtp && s->tls.active ? "S" : "",
		   esmtp && s->sasl.username.len ? "A" : "");
	if (!m->proxy)
		buf_printf(out, " id %s", smtpd_queue_id(s));
	if (m->n_rcpts == 1) {
		buf_append_cstr(out, "\n\tfor <");
		addr_quote(span_of(m->rcpts[0].address), out);
		buf_printf(out, ">; %s\n", date);
	} else {
		buf_printf(out, ";\n\t%s\n", date);
	}
}

/* ---- content ---- */

/* What logs and replies say of a content's length: each line end counts as
 * two bytes, however it came. */
static void
count_lines(struct smtpd *s, struct span piece)
{
	struct smtpd_content *k = &s->mail.content;
	const char *p = piece.data, *end = p + piece.len, *eol;

	while (p < end && (eol = memchr(p, '\n', (size_t)(end - p)))) {
		s->data_bytes += k->begun + (uint64_t)(eol - p) + 2;
		k->begun = 0;
		p = eol + 1;
	}
	k->begun += (uint64_t)(end - p);
}

/* To where the transaction's content goes. */
static void
sink_piece(struct smtpd_mail *m, struct span piece)
{
	if (m->drop)
		smtpd_drop_content(m->drop, piece);
	else if (m->proxy)
		smtpd_proxy_content(m->proxy, piece);
	else
		cleanup_content(m->cleanup, piece);
}

void
smtpd_content_piece(struct smtpd *s, struct span piece)
{
	struct smtpd_mail *m = &s->mail;
	struct smtpd_content *k = &m->content;

	k->bytes += (int64_t)piece.len;
	count_lines(s, piece);
	if (conf->message_size_limit > 0 &&
	    k->bytes > conf->message_size_limit) {
		if (!k->too_big)
			log_warn("%s: queue file size limit exceeded",
				 smtpd_queue_id(s));
		k->too_big = true;
	}
	if (!k->too_big && !m->discard)
		sink_piece(m, piece);
}

static void
pass_recipients(struct smtpd *s)
{
	struct smtpd_mail *m = &s->mail;

	if (m->redirect.len) {
		cleanup_recipient(m->cleanup, buf_span(&m->redirect),
				  m->n_rcpts == 1 ? m->rcpts[0].address : NULL,
				  NULL, 0);
		return;
	}
	for (size_t i = 0; i < m->n_rcpts; i++)
		cleanup_recipient(m->cleanup, span_of(m->rcpts[i].address),
				  NULL, m->rcpts[i].orcpt, m->rcpts[i].notify);
	for (size_t i = 0; i < m->bcc.n; i++)
		cleanup_recipient(m->cleanup, span_of(m->bcc.v[i]), NULL, NULL,
				  NOTIFY_NEVER);
}

/* What the transaction collected goes ahead of the content. */
static void
pass_envelope(struct smtpd *s)
{
	struct smtpd_mail *m = &s->mail;
	struct buf header = BUF_INIT;

	for (size_t i = 0; i < m->prepend.n; i++)
		buf_printf(&header, "%s\n", m->prepend.v[i]);
	received_header(s, &header);
	m->content.bytes = (int64_t)header.len;
	if (m->drop) {
		smtpd_drop_envelope(m->drop, s);
		smtpd_drop_content(m->drop, buf_span(&header));
	} else if (m->proxy) {
		if (!m->discard)
			smtpd_proxy_content(m->proxy, buf_span(&header));
	} else {
		pass_recipients(s);
		cleanup_prepend_header(m->cleanup, buf_span(&header));
		smtpd_milter_content(s);
	}
	buf_free(&header);
}

bool
smtpd_content_begin(struct smtpd *s)
{
	s->data_bytes = 0;
	if (s->mail.proxy && !s->mail.discard && !smtpd_proxy_data(s))
		return false;
	pass_envelope(s);
	return true;
}

static void
apply_actions(struct smtpd *s)
{
	struct envelope *e = cleanup_envelope(s->mail.cleanup);

	if (s->mail.hold)
		e->flags |= ENVELOPE_HOLD;
	if (s->mail.filter.len) {
		free(e->filter);
		e->filter = copy_or_null(&s->mail.filter);
	}
}

static bool
commit(struct smtpd *s, struct why *why)
{
	struct smtpd_mail *m = &s->mail;
	bool ok;

	/* Taken, and thrown away: smtpd_mail_reset() does that. A filter has
	 * the last word, see smtpd_content_end(). */
	if (m->discard || m->proxy)
		return true;
	if (m->drop) {
		ok = smtpd_drop_end(m->drop, why);
		m->drop = NULL;
	} else {
		apply_actions(s);
		ok = cleanup_end(m->cleanup, why);
		m->cleanup = NULL;
	}
	return ok;
}

/* The content is complete: is it accepted? why is the reply if not. */
static bool
accept_content(struct smtpd *s, struct why *why)
{
	const struct smtpd_content *k = &s->mail.content;

	s->where = "END-OF-MESSAGE";
	if (k->reader.bare_lf && s->bare == BARE_REJECT) {
		rule_set_why(why, conf->smtpd_forbid_bare_newline_reject_code,
			     "5.2", "%s Error: bare <LF> received",
			     conf->myhostname);
		smtpd_log_action(s, "reject", span_of("bare <LF> received"));
		return false;
	}
	if (k->reader.bare_lf && s->bare == BARE_NOTE)
		smtpd_log_action(s, "info", span_of("bare <LF> received"));
	if (k->too_big) {
		why_set_code(why, 552, "5.3.4", "Error: message file too big");
		return false;
	}
	if (!s->unrestricted && !smtpd_access_end_of_data(s, why))
		return false;
	return commit(s, why);
}

static void
reply_taken(struct smtpd *s)
{
	if (s->mail.content.chunks == CHUNKS_NONE)
		smtpd_reply(s, "250 2.0.0 Ok: queued as %s", smtpd_queue_id(s));
	else
		smtpd_reply(s, "250 2.0.0 Ok: %llu bytes queued as %s",
			    (unsigned long long)s->data_bytes,
			    smtpd_queue_id(s));
}

bool
smtpd_content_end(struct smtpd *s)
{
	struct why why = WHY_INIT;
	bool filtered = s->mail.proxy && !s->mail.discard;
	bool ok = accept_content(s, &why);
	const char *refused = ok ? NULL : smtpd_milter_content_reply(s);

	if (refused) {
		smtpd_milter_reply(s, refused);
	} else if (!ok) {
		smtpd_reply_why(s, &why);
	} else if (filtered) {
		ok = smtpd_proxy_end(s);
	} else {
		reply_taken(s);
	}
	if (ok) {
		smtpd_notice_taken(s);
		s->errors = 0;
		s->junk = 0;
	}
	why_free(&why);
	smtpd_mail_reset(s);
	return ok;
}

/* One recipient is still worth naming in logs. */
static void
show_single_recipient(struct smtpd *s)
{
	if (s->mail.n_rcpts == 1)
		buf_set_cstr(&s->recipient, s->mail.rcpts[0].address);
}

static bool
milters_agree(struct smtpd *s)
{
	const char *refused = smtpd_milter_data(s);

	if (!refused)
		return true;
	smtpd_milter_reply(s, refused);
	buf_reset(&s->recipient);
	return false;
}

bool
smtpd_content_permitted(struct smtpd *s)
{
	struct why why = WHY_INIT;
	bool ok;

	show_single_recipient(s);
	ok = s->unrestricted || smtpd_access_data(s, &why);
	if (!ok) {
		smtpd_reply_why(s, &why);
		buf_reset(&s->recipient);
	}
	why_free(&why);
	return ok && milters_agree(s);
}

bool
smtpd_content_has_rcpt(struct smtpd *s)
{
	if (s->mail.n_rcpts)
		return true;
	if (s->mail.active)
		smtpd_reply(s, "554 5.5.1 Error: no valid recipients");
	else
		smtpd_reply(s, "503 5.5.1 Error: need RCPT command");
	return false;
}

/* ---- DATA ---- */

static void
take_piece(void *arg, struct span piece)
{
	smtpd_content_piece(arg, piece);
}

static bool
receive(struct smtpd *s)
{
	struct data_reader *d = &s->mail.content.reader;

	if (!smtpd_content_begin(s))
		return false;
	data_init(d, s->bare);
	d->keep_cr = !conf->cleanup_replace_stray_cr_lf;
	d->after_crlf = !s->line_bare_lf;
	smtpd_reply(s, "354 End data with <CR><LF>.<CR><LF>");
	if (data_read(d, &s->st, take_piece, s) != STREAM_OK) {
		s->in_data = true;
		return false;
	}
	return smtpd_content_end(s);
}

bool
smtpd_cmd_data(struct smtpd *s, struct span arg)
{
	if (s->mail.content.chunks != CHUNKS_NONE) {
		smtpd_reply(s, "503 5.5.1 Error: DATA after BDAT");
		return false;
	}
	if (!smtpd_content_has_rcpt(s))
		return false;
	if (arg.len) {
		smtpd_reply(s, "501 5.5.4 Syntax: DATA");
		return false;
	}
	return smtpd_content_permitted(s) && receive(s);
}
