/* SPDX-License-Identifier: MIT */
/* Messages and their milters (MILTER_README): the session's, or those of
 * non_smtpd_milters in a session that is made up. */
#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"

static const char local_name[] = "localhost", local_addr[] = "127.0.0.1";

/* ---- macros ---- */

/* What Postfix's cleanup does not know of a session. */
static bool
is_of_session_only(struct span name)
{
	static const char *const names[] = {
	    "client_connections", "client_resolve", "mail_addr", "mail_host",
	    "mail_mailer",        "rcpt_addr",      "rcpt_host", "rcpt_mailer",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (span_equal_cstr(name, names[i]))
			return true;
	return false;
}

static const char *
session_macro(void *arg, struct span name)
{
	struct cleanup *c = arg;

	return is_of_session_only(name) ? NULL : c->macro(c->macro_arg, name);
}

/* The made-up session. */
struct local {
	struct cleanup *c;
	struct buf sender, rcpt; /* data NULL: not known yet */
};

static const char *
local_macro(void *arg, struct span name)
{
	struct local *l = arg;
	const struct {
		const char *name, *value;
	} values[] = {
	    {"i", l->c->id},
	    {"j", conf->myhostname},
	    {"v", conf->milter_macro_v},
	    {"_", "localhost [127.0.0.1]"},
	    {"daemon_name", conf->milter_macro_daemon_name},
	    {"daemon_addr", local_addr},
	    {"daemon_port", "0"},
	    {"client_name", local_name},
	    {"client_port", "0"},
	    {"client_ptr", local_name},
	    {"client_addr", local_addr},
	    {"mail_addr", l->sender.data},
	    {"rcpt_addr", l->rcpt.data},
	};

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		if (span_equal_cstr(name, values[i].name))
			return values[i].value;
	return NULL;
}

/* ---- verdicts ---- */

void
cleanup_log_milter(const struct cleanup *c, const char *what, const char *where,
		   bool show_rcpt, const char *text)
{
	const struct envelope *e = &c->env;
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s: milter-%s: %s from %s[%s]: %s; from=<", c->id,
		   what, where, e->client_name ? e->client_name : local_name,
		   e->client_addr ? e->client_addr : local_addr, text);
	addr_quote(span_of(e->sender), &line);
	buf_append_byte(&line, '>');
	if (show_rcpt && c->last_rcpt.len) {
		buf_append_cstr(&line, " to=<");
		addr_quote(buf_span(&c->last_rcpt), &line);
		buf_append_byte(&line, '>');
	}
	if (e->client_proto)
		buf_printf(&line, " proto=%s", e->client_proto);
	if (e->client_helo)
		buf_printf(&line, " helo=<%s>", e->client_helo);
	log_info_as("cleanup", "%s", buf_cstr(&line));
	buf_free(&line);
}

static const char *
text_of(const char *reply)
{
	return reply + (reply[0] && reply[3] ? 4 : 3);
}

/* The reply of a milter as a reason. Its first line is for notices; an SMTP
 * client gets all of it as it is. */
static void
fail_with_reply(struct cleanup *c, const char *reply)
{
	int code =
	    (reply[0] - '0') * 100 + (reply[1] - '0') * 10 + (reply[2] - '0');
	char dsn[DSN_CODE_MAX];
	struct span text = span_of(text_of(reply));

	text = dsn_split(text, reply[0] == '4' ? "4.7.1" : "5.7.1", dsn);
	text.len = strcspn(text.data, "\r\n");
	cleanup_fail(c, code, dsn, "%.*s", SPAN_ARG(text));
}

/* true: go on. */
static bool
apply(struct cleanup *c, enum milter_verdict v, const char *where,
      bool show_rcpt)
{
	const char *reply = milters_reply(c->milters);

	switch (v) {
	case MILTER_HOLD:
		cleanup_log_milter(c, "hold", where, show_rcpt,
				   "milter triggers HOLD action");
		c->env.flags |= ENVELOPE_HOLD;
		break;
	case MILTER_DROP:
		cleanup_log_milter(c, "discard", where, show_rcpt,
				   "milter triggers DISCARD action");
		c->discard = true;
		break;
	case MILTER_REPLY:
		/* Empty: something else failed, and has said why. */
		if (!*reply)
			break;
		cleanup_log_milter(c, "reject", where, show_rcpt,
				   text_of(reply));
		fail_with_reply(c, reply);
		break;
	case MILTER_GO:
		break;
	}
	return !cleanup_is_over(c);
}

/* ---- whose milters ---- */

void
cleanup_use_milters(struct cleanup *c, struct milters *m, milter_macro_fn macro,
		    void *arg)
{
	c->milters = m;
	c->macro = macro;
	c->macro_arg = arg;
	milters_clear_reply(m);
	if (!c->spool)
		c->spool = spool_new();
}

void
cleanup_own_milters(struct cleanup *c)
{
	bool wanted =
	    c->origin == CLEANUP_PICKUP ||
	    (c->origin == CLEANUP_BOUNCE &&
	     conf_list_has(conf->internal_mail_filter_classes, "bounce"));

	if (!wanted || cleanup_tables.milters.n == 0 ||
	    conf_list_has(conf->receive_override_options, "no_milters"))
		return;
	c->own_milters = true;
	cleanup_use_milters(c, milters_new(&cleanup_tables.milters, NULL, NULL),
			    NULL, NULL);
}

void
cleanup_free_milters(struct cleanup *c)
{
	if (c->own_milters)
		milters_free(c->milters);
	c->milters = NULL;
	spool_free(c->spool);
	c->spool = NULL;
	strvec_free(&c->rewritten);
}

/* ---- the made-up session ---- */

static bool
one_rcpt(struct local *l, const char *addr)
{
	struct cleanup *c = l->c;
	struct strvec argv = STRVEC_INIT;
	enum milter_verdict v;

	buf_reset(&l->rcpt);
	addr_quote(span_of(addr), &l->rcpt);
	strvec_add(&argv, buf_cstr(&l->rcpt));
	buf_set_cstr(&c->last_rcpt, addr);
	v = milters_rcpt(c->milters, &argv);
	strvec_free(&argv);
	if (v == MILTER_REPLY) {
		const char *reply = milters_reply(c->milters);

		/* There is nobody to whom one recipient could be refused. */
		cleanup_log_milter(c, "reject", "RCPT", true, text_of(reply));
		cleanup_warn(c, "milter configuration error: can't reject "
				"recipient in non-smtpd(8) submission");
		cleanup_warn(c, "message not accepted, try again later");
		cleanup_fail(c, 451, "4.3.5", "Server configuration error");
		return false;
	}
	return apply(c, v, "RCPT", true);
}

static bool
make_up_session(struct local *l)
{
	struct cleanup *c = l->c;
	struct milters *m = c->milters;
	struct strvec argv = STRVEC_INIT;
	struct sock_addr addr;
	bool go;

	sock_addr_parse(local_addr, 0, &addr);
	go = apply(c, milters_connect(m, span_of(local_name), &addr), "CONNECT",
		   false) &&
	     apply(c, milters_helo(m, span_of(local_name)), "EHLO", false);
	if (go) {
		buf_reserve(&l->sender, 1);
		addr_quote(span_of(c->env.sender), &l->sender);
		strvec_add(&argv, buf_cstr(&l->sender));
		go = apply(c, milters_mail(m, &argv), "MAIL", false);
	}
	strvec_free(&argv);
	for (size_t i = 0; i < c->rewritten.n && go; i++)
		go = one_rcpt(l, c->rewritten.v[i]);
	return go && apply(c, milters_data(m), "DATA", true);
}

/* ---- the message ---- */

static void
filter(struct cleanup *c)
{
	struct milter_pass *pass = milter_pass_new(c);
	size_t n = milters_count(c->milters);

	for (size_t i = 0; i < n && !cleanup_is_over(c); i++) {
		struct milter_content content;

		milter_pass_begin(pass, &content);
		apply(c, milters_content(c->milters, i, &content),
		      "END-OF-MESSAGE", true);
	}
	if (!cleanup_is_over(c))
		milter_pass_store(pass);
	milter_pass_free(pass);
	/* Nobody is left to get it. */
	if (c->env.n_rcpts == 0 && !cleanup_is_over(c))
		c->discard = true;
}

void
cleanup_run_milters(struct cleanup *c)
{
	struct local l = {.c = c};

	if (c->own_milters) {
		milters_speak_as(c->milters, "cleanup", local_macro, &l);
		if (make_up_session(&l))
			filter(c);
		buf_free(&l.sender);
		buf_free(&l.rcpt);
		return;
	}
	milters_speak_as(c->milters, "cleanup", session_macro, c);
	filter(c);
	milters_speak_as(c->milters, NULL, c->macro, c->macro_arg);
}
