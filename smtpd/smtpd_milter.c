/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_milter.h"

#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/milter/milter.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_route.h"

static struct milter_list configured;
static struct maps *milter_maps;

struct smtpd_milter {
	struct milters *milters;
	struct milter_list own; /* from smtpd_milter_maps */
	struct buf value;       /* of the last macro */
	/* macros of the transaction; data NULL: not known yet */
	struct buf mail_addr, mail_host, mail_mailer;
	struct buf rcpt_addr, rcpt_host, rcpt_mailer;
};

void
smtpd_milter_open(void)
{
	struct buf error = BUF_INIT;

	if (!milter_list_parse(&configured, span_of(conf->smtpd_milters),
			       &error))
		log_fatal("smtpd_milters: %s", buf_cstr(&error));
	buf_free(&error);
	milter_maps =
	    maps_open("smtpd_milter_maps", conf->smtpd_milter_maps, 0);
}

/* ---- macros ---- */

static const char *
known(const struct buf *b)
{
	return b->len ? buf_cstr(b) : NULL;
}

static const char *
client_resolve(const struct smtpd *s)
{
	if (s->peer.name_status == PEER_OK)
		return "OK";
	if (s->peer.name_status == PEER_TEMP)
		return "TEMP";
	return s->peer.reverse_status == PEER_OK ? "FORGED" : "FAIL";
}

/* Of the client and this server. */
static const char *
session_macro(const struct smtpd *s, struct span name, struct buf *value)
{
	const struct smtpd_peer *p = &s->peer;

	if (span_equal_cstr(name, "j"))
		return conf->myhostname;
	if (span_equal_cstr(name, "v"))
		return conf->milter_macro_v;
	if (span_equal_cstr(name, "daemon_name"))
		return conf->milter_macro_daemon_name;
	if (span_equal_cstr(name, "daemon_addr"))
		return known(&p->server_addr);
	if (span_equal_cstr(name, "daemon_port"))
		return known(&p->server_port);
	if (span_equal_cstr(name, "client_addr"))
		return known(&p->addr);
	if (span_equal_cstr(name, "client_name"))
		return known(&p->name);
	if (span_equal_cstr(name, "client_port"))
		return known(&p->port);
	if (span_equal_cstr(name, "client_ptr"))
		return known(&p->reverse_name);
	if (span_equal_cstr(name, "client_connections"))
		return "0";
	if (span_equal_cstr(name, "client_resolve"))
		return client_resolve(s);
	if (span_equal_cstr(name, "_")) {
		buf_printf(value, "%s [%s]", buf_cstr(&p->name),
			   buf_cstr(&p->addr));
		return buf_cstr(value);
	}
	return NULL;
}

static const char *
tls_macro(const struct smtpd *s, struct span name, struct buf *value)
{
	const struct smtpd_tls *t = &s->tls;

	if (!t->active)
		return NULL;
	if (span_equal_cstr(name, "tls_version"))
		return known(&t->protocol);
	if (span_equal_cstr(name, "cipher"))
		return known(&t->cipher);
	if (span_equal_cstr(name, "cipher_bits")) {
		buf_printf(value, "%d", t->cipher_bits);
		return buf_cstr(value);
	}
	if (span_equal_cstr(name, "cert_subject"))
		return known(&t->subject);
	if (span_equal_cstr(name, "cert_issuer"))
		return known(&t->issuer);
	return NULL;
}

static const char *
mail_macro(const struct smtpd *s, struct span name)
{
	const struct smtpd_milter *m = s->milter;

	if (span_equal_cstr(name, "i"))
		return known(&s->mail.queue_id);
	if (span_equal_cstr(name, "auth_type"))
		return known(&s->sasl.method);
	if (span_equal_cstr(name, "auth_authen"))
		return known(&s->sasl.username);
	if (span_equal_cstr(name, "auth_author"))
		return known(&s->sasl.sender);
	if (span_equal_cstr(name, "mail_addr"))
		return m->mail_addr.data;
	if (span_equal_cstr(name, "mail_host"))
		return m->mail_host.data;
	if (span_equal_cstr(name, "mail_mailer"))
		return m->mail_mailer.data;
	if (span_equal_cstr(name, "rcpt_addr"))
		return m->rcpt_addr.data;
	if (span_equal_cstr(name, "rcpt_host"))
		return m->rcpt_host.data;
	if (span_equal_cstr(name, "rcpt_mailer"))
		return m->rcpt_mailer.data;
	return NULL;
}

static const char *
macro(void *arg, struct span name)
{
	struct smtpd *s = arg;
	struct buf *value = &s->milter->value;
	const char *found;

	buf_reset(value);
	found = session_macro(s, name, value);
	if (!found)
		found = tls_macro(s, name, value);
	return found ? found : mail_macro(s, name);
}

/* Empty is a value, too. */
static void
set_macro(struct buf *b, struct span text)
{
	buf_reset(b);
	buf_append_byte(b, '\0');
	buf_set(b, text);
}

/* An address as routing completes it, in lower case, and the way that mail to
 * it would take. */
static void
set_address(struct smtpd *s, struct span internal, struct buf *addr,
	    struct buf *host, struct buf *mailer)
{
	struct route route = ROUTE_INIT;
	struct why why = WHY_INIT;
	struct buf quoted = BUF_INIT;

	if (route_resolve(buf_span(&s->mail.sender), internal, &route, &why)) {
		set_macro(host, buf_span(&route.nexthop));
		set_macro(mailer, buf_span(&route.transport));
		if (internal.len)
			internal = buf_span(&route.recipient);
	} else {
		buf_free(host);
		buf_free(mailer);
	}
	addr_quote(internal, &quoted);
	for (size_t i = 0; i < quoted.len; i++)
		if (quoted.data[i] >= 'A' && quoted.data[i] <= 'Z')
			quoted.data[i] = (char)(quoted.data[i] - 'A' + 'a');
	set_macro(addr, buf_span(&quoted));
	buf_free(&quoted);
	why_free(&why);
	route_free(&route);
}

static void
set_rcpt(struct smtpd *s, struct span internal)
{
	struct smtpd_milter *m = s->milter;

	set_address(s, internal, &m->rcpt_addr, &m->rcpt_host, &m->rcpt_mailer);
}

static void
forget_macros(struct smtpd_milter *m)
{
	buf_free(&m->mail_addr);
	buf_free(&m->mail_host);
	buf_free(&m->mail_mailer);
	buf_free(&m->rcpt_addr);
	buf_free(&m->rcpt_host);
	buf_free(&m->rcpt_mailer);
}

/* ---- verdicts ---- */

static const char *
verdict(struct smtpd *s, enum milter_verdict v)
{
	const char *reply;

	switch (v) {
	case MILTER_HOLD:
		smtpd_log_action(s, "milter-hold",
				 span_of("milter triggers HOLD action"));
		s->mail.hold = true;
		return NULL;
	case MILTER_DROP:
		smtpd_log_action(s, "milter-discard",
				 span_of("milter triggers DISCARD action"));
		s->mail.discard = true;
		return NULL;
	case MILTER_REPLY:
		reply = milters_reply(s->milter->milters);
		smtpd_log_action(s, "milter-reject", span_of(reply));
		return reply;
	default:
		return NULL;
	}
}

void
smtpd_milter_reply(struct smtpd *s, const char *reply)
{
	struct span rest = span_of(reply), line;

	while (span_next_token(&rest, "\r\n", &line)) {
		if (rest.len && line.len > 3)
			smtpd_reply(s, "%.3s-%.*s", line.data,
				    (int)line.len - 4, line.data + 4);
		else
			smtpd_reply(s, "%.*s", SPAN_ARG(line));
	}
}

/* ---- events ---- */

/* smtpd_milter_maps: true when it says which milters, or none, to use. */
static enum table_status
look_up(struct smtpd *s, struct milter_list *list, struct buf *error)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st =
	    maps_get(milter_maps, buf_span(&s->peer.addr), &value, &why);

	if (st == TABLE_RETRY)
		buf_append_span(error, buf_span(&why.text));
	else if (st == TABLE_FOUND &&
		 !span_equal_cstr_nocase(span_trim(buf_span(&value)),
					 "DISABLE") &&
		 !milter_list_parse(list, buf_span(&value), error))
		st = TABLE_RETRY;
	buf_free(&value);
	why_free(&why);
	return st;
}

static bool
choose_list(struct smtpd *s, struct milter_list *own,
	    const struct milter_list **list)
{
	struct buf error = BUF_INIT;
	enum table_status st = TABLE_ABSENT;

	*list = &configured;
	if (!maps_is_empty(milter_maps))
		st = look_up(s, own, &error);
	if (st == TABLE_FOUND)
		*list = own;
	if (st == TABLE_RETRY)
		log_warn("smtpd_milter_maps: %s: %s", buf_cstr(&s->peer.addr),
			 buf_cstr(&error));
	buf_free(&error);
	return st != TABLE_RETRY;
}

const char *
smtpd_milter_connect(struct smtpd *s)
{
	struct milter_list own = {NULL, 0};
	const struct milter_list *list;
	struct smtpd_milter *m;
	struct sock_addr addr;
	struct buf host = BUF_INIT;
	const char *reply;
	int port;

	if (s->standalone ||
	    conf_list_has(conf->receive_override_options, "no_milters"))
		return NULL;
	if (!choose_list(s, &own, &list))
		return "421 4.3.5 Server configuration problem - try again "
		       "later";
	if (list->n == 0)
		return NULL;
	m = s->milter = mem_alloc(sizeof(*m));
	m->own = own;
	m->milters = milters_new(list == &own ? &m->own : list, macro, s);
	if (s->peer.name_status == PEER_OK)
		buf_set(&host, buf_span(&s->peer.name));
	else
		buf_printf(&host, "[%s]", buf_cstr(&s->peer.addr));
	port = (int)strtol(buf_cstr(&s->peer.port), NULL, 10);
	reply =
	    verdict(s, milters_connect(
			   m->milters, buf_span(&host),
			   sock_addr_parse(buf_cstr(&s->peer.addr), port, &addr)
			       ? &addr
			       : NULL));
	buf_free(&host);
	return reply;
}

const char *
smtpd_milter_helo(struct smtpd *s)
{
	if (!s->milter)
		return NULL;
	return verdict(s, milters_helo(s->milter->milters, buf_span(&s->helo)));
}

static void
split_args(struct strvec *argv, struct span path, struct span params)
{
	struct span word;

	strvec_add_span(argv, path);
	while (span_next_token(&params, " \t", &word))
		strvec_add_span(argv, word);
}

const char *
smtpd_milter_mail(struct smtpd *s, struct span path, struct span params)
{
	struct smtpd_milter *m = s->milter;
	struct strvec argv = STRVEC_INIT;
	enum milter_verdict v;

	if (!m)
		return NULL;
	set_address(s, buf_span(&s->mail.sender), &m->mail_addr, &m->mail_host,
		    &m->mail_mailer);
	split_args(&argv, path, params);
	v = milters_mail(m->milters, &argv);
	strvec_free(&argv);
	return verdict(s, v);
}

const char *
smtpd_milter_rcpt(struct smtpd *s, struct span path, struct span params)
{
	struct smtpd_milter *m = s->milter;
	struct strvec argv = STRVEC_INIT;
	enum milter_verdict v;

	if (!m)
		return NULL;
	set_rcpt(s, buf_span(&s->recipient));
	split_args(&argv, path, params);
	v = milters_rcpt(m->milters, &argv);
	strvec_free(&argv);
	return verdict(s, v);
}

void
smtpd_milter_rcpt_refused(struct smtpd *s, struct span path, struct span params,
			  const struct why *why)
{
	struct smtpd_milter *m = s->milter;
	struct span text = buf_span(&why->text);
	struct strvec argv = STRVEC_INIT;

	if (!m || !milters_want_refused(m->milters))
		return;
	/* "<user@example.com>: what is wrong" */
	for (size_t i = 0; i + 2 < text.len && text.data[0] == '<'; i++)
		if (!memcmp(text.data + i, ">: ", 3)) {
			text = span_from(text, i + 3);
			break;
		}
	set_macro(&m->rcpt_addr, text);
	set_macro(&m->rcpt_host, span_of(why->dsn));
	set_macro(&m->rcpt_mailer, span_of("error"));
	split_args(&argv, path, params);
	milters_rcpt_refused(m->milters, &argv);
	strvec_free(&argv);
}

const char *
smtpd_milter_data(struct smtpd *s)
{
	if (!s->milter)
		return NULL;
	set_rcpt(s, span_of(s->mail.rcpts[0].address));
	return verdict(s, milters_data(s->milter->milters));
}

const char *
smtpd_milter_unknown(struct smtpd *s, struct span verb)
{
	if (!s->milter)
		return NULL;
	return verdict(s, milters_unknown(s->milter->milters, verb));
}

void
smtpd_milter_content(struct smtpd *s)
{
	if (s->milter)
		cleanup_use_milters(s->mail.cleanup, s->milter->milters, macro,
				    s);
}

const char *
smtpd_milter_content_reply(struct smtpd *s)
{
	const char *reply = s->milter ? milters_reply(s->milter->milters) : "";

	return *reply ? reply : NULL;
}

void
smtpd_milter_abort(struct smtpd *s)
{
	if (!s->milter)
		return;
	milters_abort(s->milter->milters);
	forget_macros(s->milter);
}

void
smtpd_milter_end(struct smtpd *s)
{
	struct smtpd_milter *m = s->milter;

	if (!m)
		return;
	milters_free(m->milters);
	milter_list_free(&m->own);
	forget_macros(m);
	buf_free(&m->value);
	free(m);
	s->milter = NULL;
}
