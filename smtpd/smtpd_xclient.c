/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_xclient.h"

#include <string.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/smtp/cmd.h"
#include "lib/sys/sock.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_data.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_peer.h"
#include "smtpd/smtpd_session.h"

/* A value is part of a command line; the longest name is 255. */
enum { VALUE_MAX = 255, PORT_MAX = 5 };

static struct match_list *xclient_hosts, *xforward_hosts;

static struct match_list *
open_list(const char *name, const char *list)
{
	unsigned flags =
	    conf_list_has(conf->parent_domain_matches_subdomains, name)
		? MATCH_PARENT
		: 0;

	return match_list_open(name, list, MATCH_HOST, flags);
}

void
smtpd_xclient_open_tables(void)
{
	xclient_hosts = open_list("smtpd_authorized_xclient_hosts",
				  conf->smtpd_authorized_xclient_hosts);
	xforward_hosts = open_list("smtpd_authorized_xforward_hosts",
				   conf->smtpd_authorized_xforward_hosts);
}

static enum table_status
authorized(struct smtpd *s, struct match_list *hosts, struct why *why)
{
	return match_list_has_host(hosts, buf_cstr(&s->peer.name),
				   buf_cstr(&s->peer.addr), why);
}

void
smtpd_xclient_offer(struct smtpd *s, struct strvec *rows)
{
	struct why why = WHY_INIT;

	if (!(s->ehlo_off & EHLO_XCLIENT) &&
	    authorized(s, xclient_hosts, &why) == TABLE_FOUND)
		strvec_add(rows, "XCLIENT NAME ADDR PROTO HELO REVERSE_NAME "
				 "PORT LOGIN DESTADDR DESTPORT");
	if (!(s->ehlo_off & EHLO_XFORWARD) && s->xforward == TABLE_FOUND)
		strvec_add(rows, "XFORWARD NAME ADDR PROTO HELO SOURCE PORT "
				 "IDENT");
	why_free(&why);
}

/* ---- both commands ---- */

/* Of the host that connected; XCLIENT does not change it. */
void
smtpd_xforward_decide(struct smtpd *s)
{
	struct why why = WHY_INIT;

	s->xforward = authorized(s, xforward_hosts, &why);
	why_free(&why);
}

static bool
may_use(struct smtpd *s, const char *command, enum table_status st)
{
	struct why why = WHY_INIT;

	if (s->mail.active) {
		smtpd_reply(s, "503 5.5.1 Error: MAIL transaction in progress");
		return false;
	}
	if (st == TABLE_RETRY) {
		log_warn("don't know if command %s should be allowed from %s",
			 command, buf_cstr(&s->peer.namaddr));
		why_set_code(&why, 421, "4.3.0", "%s Server local data error",
			     conf->myhostname);
		smtpd_log_reject(s, "reject", &why);
		smtpd_reply_why(s, &why);
	} else if (st == TABLE_ABSENT) {
		smtpd_reply(s, "550 5.7.0 Error: insufficient authorization");
	}
	why_free(&why);
	return st == TABLE_FOUND;
}

/* Value as it came, or decoded when it is xtext. */
static void
decode(struct span raw, struct buf *value)
{
	buf_reset(value);
	if (!xtext_decode(raw, value))
		buf_set(value, raw);
	buf_truncate(value, strlen(buf_cstr(value)));
}

static bool
unavailable(const struct buf *value)
{
	return span_equal_cstr_nocase(buf_span(value), "[UNAVAILABLE]");
}

static bool
bad_value(struct smtpd *s, struct span key, const struct buf *value)
{
	char name[16];
	size_t n = 0;

	for (; n < key.len && n < sizeof(name) - 1; n++)
		name[n] = (char)(key.data[n] >= 'a' && key.data[n] <= 'z'
				     ? key.data[n] - 'a' + 'A'
				     : key.data[n]);
	name[n] = '\0';
	smtpd_reply(s, "501 5.5.4 Bad %s syntax: %s", name, buf_cstr(value));
	return false;
}

/* "1.2.3.4" or "IPv6:2001:db8::1", of a family that is in use. */
static bool
parse_ip(const struct buf *value, struct buf *out)
{
	unsigned families = sock_families(conf->inet_protocols);
	struct span text = buf_span(value);
	bool v6 = span_starts_nocase(text, "ipv6:");
	char shown[SOCK_TEXT_MAX];
	struct sock_addr a;
	const char *ip = buf_cstr(value) + (v6 ? 5 : 0);

	if (!(families & (v6 ? SOCK_IPV6 : SOCK_IPV4)) ||
	    v6 != (strchr(ip, ':') != NULL) || strchr(ip, '%') ||
	    !sock_addr_parse(ip, 0, &a))
		return false;
	sock_addr_format(&a, shown);
	buf_set_cstr(out, shown);
	return true;
}

static bool
set_ip(struct buf *out, const struct buf *value, const char *unknown)
{
	if (!unavailable(value))
		return parse_ip(value, out);
	buf_set_cstr(out, unknown);
	return true;
}

static bool
set_port(struct buf *out, const struct buf *value, const char *unknown)
{
	if (unavailable(value)) {
		buf_set_cstr(out, unknown);
		return true;
	}
	if (value->len > PORT_MAX ||
	    strspn(value->data, "0123456789") != value->len)
		return false;
	buf_set(out, buf_span(value));
	return true;
}

static void
set_text(struct buf *out, const struct buf *value)
{
	if (unavailable(value))
		buf_reset(out);
	else
		buf_set(out, buf_span(value));
	if (out->len)
		utf8_printable(out->data, out->len, '?');
}

/* It may reach message headers on this host and others. */
static void
neuter(struct buf *value)
{
	utf8_printable(value->data, value->len, '?');
	for (size_t i = 0; i < value->len; i++)
		if (strchr(" <>()\\\";@", value->data[i]))
			value->data[i] = '?';
}

/*
 * One command line: each "KEY=value" goes to set(), which says whether it
 * knows the key and likes the value.
 */
enum attribute { ATTRIBUTE_OK, ATTRIBUTE_UNKNOWN, ATTRIBUTE_BAD };

static bool
each_attribute(struct smtpd *s, const char *command, struct span arg,
	       enum attribute (*set)(void *, struct span, struct buf *),
	       void *data)
{
	struct buf value = BUF_INIT;
	struct span key, raw;
	bool ok = true;

	if (arg.len == 0) {
		smtpd_reply(s, "501 5.5.4 Syntax: %s attribute=value...",
			    command);
		return false;
	}
	while (ok && cmd_next_param(&arg, &key, &raw)) {
		enum attribute a;

		if (raw.len == 0) {
			smtpd_reply(s, "501 5.5.4 Error: attribute=value "
				       "expected");
			ok = false;
			break;
		}
		decode(raw, &value);
		a = value.len > VALUE_MAX ? ATTRIBUTE_BAD
					  : set(data, key, &value);
		ok = a == ATTRIBUTE_OK;
		if (a == ATTRIBUTE_UNKNOWN)
			smtpd_reply(s, "501 5.5.4 Bad %s attribute name: %.*s",
				    command, SPAN_ARG(key));
		else if (a == ATTRIBUTE_BAD)
			bad_value(s, key, &value);
	}
	buf_free(&value);
	return ok;
}

/* ---- XCLIENT ---- */

/* What the command set, and so must outlive the new start. */
struct xclient {
	struct smtpd *s;
	struct buf helo, login;
	const char *protocol;
};

static bool
set_name(struct buf *name, enum peer_status *status, const struct buf *value)
{
	if (unavailable(value)) {
		*status = PEER_BAD;
	} else if (span_equal_cstr_nocase(buf_span(value), "[TEMPUNAVAIL]")) {
		*status = PEER_TEMP;
	} else {
		if (!addr_valid_hostname(buf_span(value)))
			return false;
		*status = PEER_OK;
		buf_set(name, buf_span(value));
		return true;
	}
	buf_set_cstr(name, "unknown");
	return true;
}

/* A name that leads back to the client is what its PTR record says. */
static bool
set_client_name(struct smtpd_peer *p, const struct buf *value)
{
	if (!set_name(&p->name, &p->name_status, value))
		return false;
	if (p->name_status == PEER_OK) {
		buf_set(&p->reverse_name, buf_span(&p->name));
		p->reverse_status = PEER_OK;
	}
	return true;
}

/* As HELO itself would. */
static void
set_helo(struct buf *helo, const struct buf *value)
{
	set_text(helo, value);
	if (helo->len)
		neuter(helo);
}

static bool
set_protocol(struct xclient *x, const struct buf *value)
{
	if (span_equal_cstr_nocase(buf_span(value), "SMTP"))
		x->protocol = "SMTP";
	else if (span_equal_cstr_nocase(buf_span(value), "ESMTP"))
		x->protocol = "ESMTP";
	else
		return false;
	return true;
}

static enum attribute
set_xclient(void *data, struct span key, struct buf *value)
{
	struct xclient *x = data;
	struct smtpd_peer *p = &x->s->peer;
	bool ok = true;

	if (span_equal_cstr_nocase(key, "NAME"))
		ok = set_client_name(p, value);
	else if (span_equal_cstr_nocase(key, "REVERSE_NAME"))
		ok = set_name(&p->reverse_name, &p->reverse_status, value);
	else if (span_equal_cstr_nocase(key, "ADDR"))
		ok = set_ip(&p->addr, value, "unknown");
	else if (span_equal_cstr_nocase(key, "PORT"))
		ok = set_port(&p->port, value, "unknown");
	else if (span_equal_cstr_nocase(key, "DESTADDR"))
		ok = set_ip(&p->server_addr, value, "unknown");
	else if (span_equal_cstr_nocase(key, "DESTPORT"))
		ok = set_port(&p->server_port, value, "unknown");
	else if (span_equal_cstr_nocase(key, "HELO"))
		set_helo(&x->helo, value);
	else if (span_equal_cstr_nocase(key, "LOGIN"))
		set_text(&x->login, value);
	else if (span_equal_cstr_nocase(key, "PROTO"))
		ok = set_protocol(x, value);
	else
		return ATTRIBUTE_UNKNOWN;
	return ok ? ATTRIBUTE_OK : ATTRIBUTE_BAD;
}

/* The session starts anew, as that of the other client. */
static void
become(struct smtpd *s, struct xclient *x)
{
	smtpd_mail_reset(s);
	smtpd_peer_derive(&s->peer);
	s->protocol = x->protocol;
	s->ehlo_off = 0;
	buf_set(&s->helo, buf_span(&x->helo));
	buf_reset(&s->sasl.method);
	buf_set(&s->sasl.username, buf_span(&x->login));
	if (x->login.len)
		buf_set_cstr(&s->sasl.method, "XCLIENT");
	s->bare = smtpd_bare_policy(s);
	smtpd_limits_disconnect(s);
	smtpd_milter_end(s);
	if (smtpd_limits_connect(s))
		smtpd_session_greet(s);
}

bool
smtpd_cmd_xclient(struct smtpd *s, struct span arg)
{
	struct xclient x = {.s = s, .protocol = "SMTP"};
	struct why why = WHY_INIT;

	if (may_use(s, "XCLIENT", authorized(s, xclient_hosts, &why)) &&
	    each_attribute(s, "XCLIENT", arg, set_xclient, &x))
		become(s, &x);
	buf_free(&x.helo);
	buf_free(&x.login);
	why_free(&why);
	return false;
}

/* ---- XFORWARD ---- */

static bool
set_forward_name(struct buf *name, const struct buf *value)
{
	if (!unavailable(value) && !addr_valid_hostname(buf_span(value)))
		return false;
	set_text(name, value);
	return true;
}

static bool
set_source(struct smtpd_forward *f, const struct buf *value)
{
	f->local = span_equal_cstr_nocase(buf_span(value), "LOCAL");
	return f->local || span_equal_cstr_nocase(buf_span(value), "REMOTE") ||
	       unavailable(value);
}

static enum attribute
set_xforward(void *data, struct span key, struct buf *value)
{
	struct smtpd_forward *f = data;
	bool ok = true, client = true;

	neuter(value);
	if (span_equal_cstr_nocase(key, "NAME")) {
		ok = set_forward_name(&f->name, value);
	} else if (span_equal_cstr_nocase(key, "ADDR")) {
		ok = set_ip(&f->addr, value, "");
	} else if (span_equal_cstr_nocase(key, "PORT")) {
		ok = set_port(&f->port, value, "");
	} else if (span_equal_cstr_nocase(key, "HELO")) {
		set_text(&f->helo, value);
	} else if (span_equal_cstr_nocase(key, "PROTO")) {
		set_text(&f->proto, value);
	} else {
		client = false;
		if (span_equal_cstr_nocase(key, "IDENT"))
			set_text(&f->ident, value);
		else if (span_equal_cstr_nocase(key, "SOURCE"))
			ok = set_source(f, value);
		else
			return ATTRIBUTE_UNKNOWN;
	}
	if (ok)
		f->active = true;
	if (ok && client)
		f->client = true;
	return ok ? ATTRIBUTE_OK : ATTRIBUTE_BAD;
}

bool
smtpd_cmd_xforward(struct smtpd *s, struct span arg)
{
	if (!may_use(s, "XFORWARD", s->xforward) ||
	    !each_attribute(s, "XFORWARD", arg, set_xforward, &s->forward))
		return false;
	smtpd_reply(s, "250 2.0.0 Ok");
	return true;
}

void
smtpd_forward_log(const struct smtpd *s, struct buf *line)
{
	const struct smtpd_forward *f = &s->forward;

	if (f->ident.len)
		buf_printf(line, ", orig_queue_id=%s", buf_cstr(&f->ident));
	if (!f->client)
		return;
	buf_printf(line, ", orig_client=%s",
		   f->name.len ? buf_cstr(&f->name) : "unknown");
	if (f->addr.len)
		buf_printf(line, "[%s]", buf_cstr(&f->addr));
}
