/* SPDX-License-Identifier: MIT */
/* The commands of the built-in engine. */
#include <stdio.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/strvec.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_engine.h"
#include "smtpd/postscreen_line.h"

static void
reset_mail(struct screen *s)
{
	s->talk->in_mail = false;
	buf_free(&s->talk->sender);
}

static bool
take_helo(struct screen *s, struct span arg, const char *name)
{
	struct span word;

	if (!span_next_token(&arg, " \t", &word)) {
		postscreen_reply(s, "501 Syntax: %s hostname", name);
		return false;
	}
	reset_mail(s);
	buf_set(&s->talk->helo, word);
	utf8_printable(s->talk->helo.data, s->talk->helo.len, '?');
	return true;
}

static bool
cmd_helo(struct screen *s, struct span arg)
{
	if (take_helo(s, arg, "HELO"))
		postscreen_reply(s, "250 %s", conf->myhostname);
	return true;
}

static bool
cmd_ehlo(struct screen *s, struct span arg)
{
	struct strvec lines = STRVEC_INIT;
	char size[40] = "SIZE";
	unsigned off;

	if (!take_helo(s, arg, "EHLO"))
		return true;
	/* As in Postfix: who said EHLO once stays ESMTP. */
	s->talk->protocol = "ESMTP";
	off = s->talk->ehlo_off = postscreen_ehlo_off(s);
	if (conf->message_size_limit > 0)
		snprintf(size, sizeof(size), "SIZE %lld",
			 (long long)conf->message_size_limit);
	const struct {
		const char *text;
		bool on;
	} offers[] = {
	    {size, !(off & SCREEN_EHLO_SIZE)},
	    {"VRFY", !(off & SCREEN_EHLO_VRFY) && !conf->disable_vrfy_command},
	    {"ETRN", !(off & SCREEN_EHLO_ETRN)},
	    {"STARTTLS", !(off & SCREEN_EHLO_STARTTLS) &&
			     postscreen_tls_wanted() && !s->tls},
	    {"ENHANCEDSTATUSCODES", !(off & SCREEN_EHLO_ENHANCED)},
	    {"8BITMIME", !(off & SCREEN_EHLO_8BITMIME)},
	    {"DSN", !(off & SCREEN_EHLO_DSN)},
	    {"SMTPUTF8",
	     !(off & SCREEN_EHLO_SMTPUTF8) && conf->smtputf8_enable},
	    {"CHUNKING", !(off & SCREEN_EHLO_CHUNKING)},
	};
	strvec_add(&lines, conf->myhostname);
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
		if (offers[i].on)
			strvec_add(&lines, offers[i].text);
	}
	for (size_t i = 0; i < lines.n; i++)
		postscreen_reply(s, "250%c%s", i + 1 < lines.n ? '-' : ' ',
				 lines.v[i]);
	strvec_free(&lines);
	return true;
}

static bool
needs_tls(struct screen *s)
{
	if (!postscreen_tls_missing(s))
		return false;
	postscreen_reply(s, "530 5.7.0 Must issue a STARTTLS command first");
	return true;
}

static bool
needs_helo(struct screen *s)
{
	if (!conf->postscreen_helo_required || s->talk->helo.len)
		return false;
	postscreen_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
	return true;
}

static bool
cmd_mail(struct screen *s, struct span arg)
{
	if (needs_tls(s) || needs_helo(s))
		return true;
	if (s->talk->in_mail) {
		postscreen_reply(s, "503 5.5.1 Error: nested MAIL command");
	} else if (!screen_line_address(arg, "FROM", &s->talk->sender)) {
		postscreen_reply(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
	} else {
		s->talk->in_mail = true;
		postscreen_reply(s, "250 2.1.0 Ok");
	}
	return true;
}

static void
log_refusal(struct screen *s, const char *reply)
{
	struct screen_talk *t = s->talk;
	struct buf line = BUF_INIT;

	buf_printf(&line, "NOQUEUE: reject: RCPT from %s: %s; from=<",
		   postscreen_who(s), reply);
	addr_quote(buf_span(&t->sender), &line);
	buf_append_cstr(&line, ">, to=<");
	addr_quote(buf_span(&t->address), &line);
	buf_printf(&line, ">, proto=%s, helo=<%s>", t->protocol,
		   buf_cstr(&t->helo));
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}

/* A client that comes to its recipients has shown how it talks. What it does
 * wrong afterwards still counts against it. */
static void
pass_deep_tests(struct screen *s)
{
	const struct {
		enum screen_test test;
		int64_t ttl;
		bool seen;
	} deep[] = {
	    {TEST_PIPELINING, conf->postscreen_pipelining_ttl,
	     s->talk->saw_pipelining},
	    {TEST_NON_SMTP, conf->postscreen_non_smtp_command_ttl,
	     s->talk->saw_non_smtp},
	    {TEST_BARE_NEWLINE, conf->postscreen_bare_newline_ttl,
	     s->talk->saw_bare_newline},
	};

	for (size_t i = 0; i < sizeof(deep) / sizeof(deep[0]); i++) {
		if (!deep[i].seen &&
		    (screen_actions.enabled & 1U << deep[i].test))
			screen_test_pass(&s->tests, deep[i].test,
					 io_now() / 1000000 +
					     deep[i].ttl / 1000000);
	}
}

static bool
cmd_rcpt(struct screen *s, struct span arg)
{
	struct buf reply = BUF_INIT;

	pass_deep_tests(s);
	if (needs_tls(s))
		return true;
	if (!s->talk->in_mail) {
		postscreen_reply(s, "503 5.5.1 Error: need MAIL command");
	} else if (!screen_line_address(arg, "TO", &s->talk->address)) {
		postscreen_reply(s, "501 5.5.4 Syntax: RCPT TO:<address>");
	} else {
		postscreen_reply_text(s->reason, &reply);
		log_refusal(s, buf_cstr(&reply));
		postscreen_reply(s, "%s", s->reason);
	}
	buf_free(&s->talk->address);
	buf_free(&reply);
	return true;
}

static bool
cmd_data(struct screen *s, struct span arg)
{
	(void)arg;
	if (needs_tls(s))
		return true;
	log_info("DATA without valid RCPT from %s", postscreen_who(s));
	if (s->talk->in_mail)
		postscreen_reply(s, "554 5.5.1 Error: no valid recipients");
	else
		postscreen_reply(s, "503 5.5.1 Error: need RCPT command");
	return false;
}

/* Content follows at once: nothing that comes next is a command. */
static bool
cmd_bdat(struct screen *s, struct span arg)
{
	if (needs_tls(s))
		return true;
	log_info("BDAT without valid RCPT from %s", postscreen_who(s));
	if (s->talk->ehlo_off & SCREEN_EHLO_CHUNKING)
		postscreen_reply(s, "502 5.5.1 Error: command not implemented");
	else if (arg.len == 0)
		postscreen_reply(s, "501 5.5.4 Syntax: BDAT count [LAST]");
	else if (s->talk->in_mail)
		postscreen_reply(s, "554 5.5.1 Error: no valid recipients");
	else
		postscreen_reply(s, "554 5.5.1 Error: need MAIL command");
	return false;
}

static bool
cmd_rset(struct screen *s, struct span arg)
{
	(void)arg;
	if (needs_tls(s))
		return true;
	reset_mail(s);
	postscreen_reply(s, "250 2.0.0 Ok");
	return true;
}

static bool
cmd_noop(struct screen *s, struct span arg)
{
	(void)arg;
	postscreen_reply(s, "250 2.0.0 Ok");
	return true;
}

static bool
cmd_vrfy(struct screen *s, struct span arg)
{
	if (needs_tls(s))
		return true;
	if (conf->postscreen_disable_vrfy_command)
		postscreen_reply(s, "502 5.5.1 VRFY command is disabled");
	else if (arg.len == 0)
		postscreen_reply(s, "501 5.5.4 Syntax: VRFY address");
	else
		postscreen_reply(s, "%s", s->reason);
	return true;
}

static bool
cmd_etrn(struct screen *s, struct span arg)
{
	if (needs_tls(s) || needs_helo(s))
		return true;
	postscreen_reply(s, "%s",
			 arg.len ? "458 Unable to queue messages"
				 : "500 Syntax: ETRN domain");
	return true;
}

static bool
cmd_starttls(struct screen *s, struct span arg)
{
	if (arg.len) {
		/* Postfix says so. */
		postscreen_reply(s, "501 Syntax: EHLO hostname");
	} else if (s->tls) {
		postscreen_reply(s, "554 5.5.1 Error: TLS already active");
	} else if (!postscreen_tls_wanted() ||
		   (s->talk->ehlo_off & SCREEN_EHLO_STARTTLS)) {
		postscreen_reply(s, "502 5.5.1 Error: command not implemented");
	} else if (!postscreen_tls_available(s)) {
		postscreen_reply(
		    s, "454 4.7.0 TLS not available due to local problem");
	} else {
		postscreen_reply(s, "220 2.0.0 Ready to start TLS");
		s->talk->starting_tls = true;
	}
	return true;
}

static bool
cmd_quit(struct screen *s, struct span arg)
{
	(void)arg;
	postscreen_reply(s, "221 2.0.0 Bye");
	return false;
}

const struct screen_command *
screen_command_find(struct span verb)
{
	static const struct screen_command commands[] = {
	    {"EHLO", cmd_ehlo}, {"HELO", cmd_helo}, {"MAIL", cmd_mail},
	    {"RCPT", cmd_rcpt}, {"DATA", cmd_data}, {"BDAT", cmd_bdat},
	    {"RSET", cmd_rset}, {"NOOP", cmd_noop}, {"VRFY", cmd_vrfy},
	    {"ETRN", cmd_etrn}, {"QUIT", cmd_quit}, {"STARTTLS", cmd_starttls},
	};

	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (span_equal_cstr_nocase(verb, commands[i].name))
			return &commands[i];
	}
	return NULL;
}
