/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_auth.h"

#include <stdio.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/sasl/authc.h"
#include "lib/table/match_list.h"
#include "smtp/smtp_session.h"

enum {
	MECHS_MAX = 8192, /* bytes of names */
	/* With CR LF (RFC 5321 section 4.5.3.1.4): a longer first response
	 * waits for a challenge. */
	COMMAND_MAX = 512,
};

static struct {
	bool enabled;
	const char *service; /* also the prefix of parameters */
	struct maps *passwords;
	struct match_list *filter;
	struct authn_policy clear, tls, verified;
} login;

struct credentials {
	struct buf user, password;
};

/* ---- start ---- */

static void
parse_policy(const char *text, struct authn_policy *out)
{
	struct span bad;

	if (!authn_parse_options(span_of(text), out, &bad))
		log_fatal("unknown SASL security options value \"%.*s\" in "
			  "\"%s\"",
			  SPAN_ARG(bad), text);
}

void
smtp_auth_open(bool lmtp)
{
	struct buf reason = BUF_INIT;
	char *name;

	login.enabled = conf->smtp_sasl_auth_enable;
	if (!login.enabled)
		return;
	login.service = lmtp ? "lmtp" : "smtp";
	if (!*conf->smtp_sasl_password_maps)
		log_fatal("specify a password table via the "
			  "`%s_sasl_password_maps' configuration parameter",
			  login.service);
	if (!authc_open(conf->smtp_sasl_type, &reason)) {
		log_warn("%s", buf_cstr(&reason));
		log_fatal("SASL library initialization");
	}
	buf_free(&reason);
	name = mem_sprintf("%s_sasl_password_maps", login.service);
	login.passwords = maps_open(name, conf->smtp_sasl_password_maps,
				    TABLE_FOLD_FIXED | TABLE_UTF8);
	free(name);
	if (*conf->smtp_sasl_mechanism_filter) {
		name = mem_sprintf("%s_sasl_mechanism_filter", login.service);
		login.filter = match_list_open(
		    name, conf->smtp_sasl_mechanism_filter, MATCH_STRING, 0);
		free(name);
	}
	parse_policy(conf->smtp_sasl_security_options, &login.clear);
	parse_policy(conf->smtp_sasl_tls_security_options, &login.tls);
	parse_policy(conf->smtp_sasl_tls_verified_security_options,
		     &login.verified);
}

bool
smtp_auth_may_keep(void)
{
	return !login.enabled || !conf->smtp_sender_dependent_authentication;
}

/* ---- of a session ---- */

/* Without unix: and inet:. */
static struct span
plain_dest(const struct dest *d)
{
	struct span name = span_of(d->name);

	if (d->path || span_starts_nocase(name, "inet:"))
		return span_from(name, 5);
	return name;
}

struct smtp_auth *
smtp_auth_new(const char *queue_id, const char *sender, const struct dest *d)
{
	struct smtp_auth *a;
	struct span dest = plain_dest(d);

	if (!login.enabled)
		return NULL;
	a = mem_alloc(sizeof(*a));
	*a = (struct smtp_auth){
	    .queue_id = mem_strdup(queue_id),
	    .sender = mem_strdup(sender),
	    .dest = mem_strndup(dest.data, dest.len),
	};
	return a;
}

void
smtp_auth_free(struct smtp_auth **ap)
{
	struct smtp_auth *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	free(a->queue_id);
	free(a->sender);
	free(a->dest);
	buf_free(&a->mechs);
	free(a);
}

void
smtp_auth_forget(struct smtp_session *s)
{
	if (!s->auth)
		return;
	buf_reset(&s->auth->mechs);
	s->auth->offered = false;
}

static bool
is_wanted(struct span mech)
{
	struct why why = WHY_INIT;
	bool yes = !login.filter ||
		   match_list_has(login.filter, mech, &why) == TABLE_FOUND;

	why_free(&why);
	return yes;
}

void
smtp_auth_offer(struct smtp_session *s, struct span mechs)
{
	struct smtp_auth *a = s->auth;
	struct span rest = mechs, word;
	bool any = false;

	if (!a)
		return;
	a->offered = true;
	while (span_next_token(&rest, " \t", &word)) {
		any = true;
		if (!is_wanted(word) || a->mechs.len + word.len + 1 > MECHS_MAX)
			continue;
		if (a->mechs.len)
			buf_append_byte(&a->mechs, ' ');
		buf_append_span(&a->mechs, word);
	}
	if (!any)
		log_warn("%s offered null AUTH mechanism list", s->relay);
	else if (a->mechs.len == 0)
		log_warn("%s offered no supported AUTH mechanisms: '%.*s'",
			 s->relay, SPAN_ARG(mechs));
}

/* ---- with what ---- */

static enum table_status
find_password(const struct smtp_session *s, struct buf *value)
{
	const struct smtp_auth *a = s->auth;
	struct why why = WHY_INIT;
	enum table_status st = TABLE_ABSENT;

	if (conf->smtp_sender_dependent_authentication && a->sender[0])
		st = route_addr_find(login.passwords, span_of(a->sender),
				     ADDR_FIND_FULL | ADDR_FIND_NOEXT |
					 ADDR_FIND_AT_DOMAIN,
				     value, NULL, &why);
	if (st == TABLE_ABSENT)
		st = maps_get(login.passwords, span_of(s->host), value, &why);
	if (st == TABLE_ABSENT)
		st = maps_get(login.passwords, span_of(a->dest), value, &why);
	why_free(&why);
	return st;
}

/* "user:password"; without a delimiter the password is empty. */
static void
split(struct span value, struct credentials *c)
{
	struct span delimiter =
	    span_of(conf->smtp_sasl_password_result_delimiter);
	const char *at = delimiter.len ? memmem(value.data, value.len,
						delimiter.data, delimiter.len)
				       : NULL;
	size_t user = at ? (size_t)(at - value.data) : value.len;

	buf_set(&c->user, span_make(value.data, user));
	if (at)
		buf_set(&c->password, span_from(value, user + delimiter.len));
}

static enum table_status
credentials_get(const struct smtp_session *s, struct credentials *c)
{
	struct buf value = BUF_INIT;
	enum table_status st = find_password(s, &value);

	if (st == TABLE_FOUND)
		split(buf_span(&value), c);
	authn_wipe(&value);
	return st;
}

/* ---- the dialogue ---- */

static void
cannot(const struct smtp_session *s, const struct buf *reason, struct why *why)
{
	why_set(why, "4.7.0",
		"SASL authentication failed; cannot authenticate to server "
		"%s: %s",
		s->name, buf_cstr(reason));
}

static void
refused(const struct smtp_session *s, struct why *why)
{
	struct buf text = BUF_INIT;
	char dsn[DSN_CODE_MAX];
	int class = s->reply.code / 100;

	buf_set(&text, buf_span(&s->reply.text));
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\n')
			text.data[i] = '?';
	if (s->reply.dsn[0])
		snprintf(dsn, sizeof(dsn), "%s", s->reply.dsn);
	else
		snprintf(dsn, sizeof(dsn), "%c.0.0", '0' + class);
	why_set_code(why, s->reply.code, dsn,
		     "SASL authentication failed; server %s said: %s", s->name,
		     buf_cstr(&text));
	buf_set_cstr(&why->mta, s->host);
	buf_set(&why->diagnostic, buf_span(&text));
	why->diag_type = "smtp";
	if (class == 5 && conf->smtp_sasl_auth_soft_bounce)
		why_set_class(why, WHY_DEFER);
	buf_free(&text);
}

static void
send_auth(struct smtp_session *s, const struct buf *mech, bool initial,
	  const struct buf *response)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "AUTH %s", buf_cstr(mech));
	if (initial && line.len + 1 + response->len + 2 <= COMMAND_MAX) {
		buf_append_byte(&line, ' ');
		/* RFC 4954 section 4: a response of no bytes is "=". */
		buf_append_cstr(&line,
				response->len ? buf_cstr(response) : "=");
	}
	buf_append_cstr(&line, "\r\n");
	stream_write(&s->stream, buf_span(&line));
	authn_wipe(&line);
}

static bool
next_reply(struct smtp_session *s, struct why *why)
{
	return smtp_session_reply(s, conf->smtp_helo_timeout,
				  s->lmtp ? "performing the LHLO handshake"
					  : "performing the EHLO handshake",
				  why);
}

/* Answer challenges to the end. first: a response that is to be sent yet. */
static bool
talk(struct smtp_session *s, struct authc *c, struct buf *response, bool first,
     struct why *why)
{
	struct buf reason = BUF_INIT;
	bool ok = true;

	while (ok && (ok = next_reply(s, why)) && s->reply.code / 100 == 3) {
		if (!first) {
			authn_wipe(response);
			ok = authc_step(c,
					span_from(buf_span(&s->reply.text), 4),
					response, &reason);
		}
		first = false;
		if (!ok) {
			cannot(s, &reason, why);
			break;
		}
		buf_append_cstr(response, "\r\n");
		stream_write(&s->stream, buf_span(response));
	}
	if (ok && s->reply.code / 100 != 2) {
		refused(s, why);
		ok = false;
	}
	buf_free(&reason);
	return ok;
}

static const struct authn_policy *
policy_of(const struct smtp_session *s)
{
	if (!s->tls.active)
		return &login.clear;
	return s->tls.result.security == TLS_SECURITY_VERIFIED ? &login.verified
							       : &login.tls;
}

static bool
dialogue(struct smtp_session *s, const struct credentials *who, struct why *why)
{
	struct authc_login settings = {
	    .service = login.service,
	    .server = s->host,
	    .user = buf_cstr(&who->user),
	    .password = buf_cstr(&who->password),
	    .authzid = conf->send_cyrus_sasl_authzid,
	    .policy = *policy_of(s),
	};
	struct buf mech = BUF_INIT, response = BUF_INIT, reason = BUF_INIT;
	bool initial = false, ok = false;
	struct authc *c = authc_begin(&settings, buf_cstr(&s->auth->mechs),
				      &mech, &initial, &response, &reason);

	if (!c) {
		cannot(s, &reason, why);
	} else {
		size_t line = sizeof("AUTH ") + mech.len + response.len + 2;

		send_auth(s, &mech, initial, &response);
		ok = talk(s, c, &response, initial && line > COMMAND_MAX, why);
	}
	authc_free(&c);
	buf_free(&mech);
	buf_free(&reason);
	authn_wipe(&response);
	return ok;
}

bool
smtp_auth_login(struct smtp_session *s, struct why *why)
{
	struct credentials who = {BUF_INIT, BUF_INIT};
	struct smtp_auth *a = s->auth;
	bool ok = true;

	if (!a || !a->offered)
		return true;
	switch (credentials_get(s, &who)) {
	case TABLE_ABSENT:
		break;
	case TABLE_RETRY:
		log_warn("%s: %s_sasl_password_maps lookup error", a->queue_id,
			 login.service);
		why_set(why, "4.3.0", "local data error while talking to %s",
			s->name);
		ok = false;
		break;
	case TABLE_FOUND:
		if (a->mechs.len == 0) {
			why_set(why, "4.7.0",
				"SASL authentication failed: server %s "
				"offered no compatible authentication "
				"mechanisms for this type of connection "
				"security",
				s->name);
			ok = false;
			break;
		}
		ok = a->done = dialogue(s, &who, why);
		break;
	}
	buf_free(&who.user);
	authn_wipe(&who.password);
	return ok;
}
