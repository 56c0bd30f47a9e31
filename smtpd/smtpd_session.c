/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_session.h"

#include <errno.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/smtp/cmd.h"
#include "lib/sys/io.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_cmdfilter.h"
#include "smtpd/smtpd_data.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_notice.h"
#include "smtpd/smtpd_state.h"
#include "smtpd/smtpd_tls.h"
#include "smtpd/smtpd_upstream.h"
#include "smtpd/smtpd_xclient.h"

enum {
	DRAIN_IDLE_SECONDS = 2,  /* for a client between two messages */
	DRAIN_BUSY_SECONDS = 60, /* for one that is sending */
	ESCAPE_MAX = 200,        /* bytes of input shown in a log line */
	/* For a client that does not read there is no second time limit. */
	LAST_WORD_USEC = 1000000,
};

static struct match_list *forbidden, *noop;

void
smtpd_session_open(void)
{
	forbidden =
	    match_list_open("smtpd_forbidden_commands",
			    conf->smtpd_forbidden_commands, MATCH_STRING, 0);
	noop = match_list_open("smtpd_noop_commands", conf->smtpd_noop_commands,
			       MATCH_STRING, 0);
}

static bool
listed(struct match_list *m, struct span word)
{
	struct why why = WHY_INIT;
	bool found = match_list_has(m, word, &why) == TABLE_FOUND;

	why_free(&why);
	return found;
}

/* ---- waiting ---- */

/*
 * A session that is asked to end goes on while its client is busy: a client
 * between two messages is told to come back.
 */
static int
wait_input(struct stream *st, int64_t deadline)
{
	const struct smtpd *s = st->wait_data;

	for (;;) {
		int64_t now = io_monotonic(), left = 1000000000;

		if (deadline >= 0)
			left = (deadline - now + 999999) / 1000000;
		if (left <= 0)
			return 0;
		if (service_draining()) {
			int most = s->mail.active ? DRAIN_BUSY_SECONDS
						  : DRAIN_IDLE_SECONDS;
			int n = io_wait_readable(st->in_fd,
						 now + (int64_t)most * 1000000);

			if (n < 0 && errno == EINTR)
				continue;
			return n > 0 ? 1 : -1;
		}
		if (service_wait_readable(st->in_fd, (int)left))
			return 1;
	}
}

static void
start_command_clock(struct smtpd *s)
{
	stream_set_timeout(&s->st, conf->smtpd_timeout);
	if (conf->smtpd_per_request_deadline)
		stream_set_deadline(&s->st, conf->smtpd_timeout,
				    conf->smtpd_min_data_rate);
}

/* ---- one command ---- */

static void
log_text(struct smtpd *s, const char *what, struct span text)
{
	struct buf shown = BUF_INIT;

	smtpd_escape(text, ESCAPE_MAX, &shown);
	log_info("%s after %s from %s: %s", what, s->where,
		 buf_cstr(&s->peer.namaddr), buf_cstr(&shown));
	buf_free(&shown);
}

/*
 * Did the client send on where it has to wait? It is logged once a session.
 * false: the session ends.
 */
static bool
check_pipelining(struct smtpd *s)
{
	size_t len;
	const char *p;

	if (s->standalone || s->pipelining || !stream_has_input(&s->st))
		return true;
	p = stream_peek(&s->st, &len);
	if (len == 0) {
		/* Only what is there already: this does not wait. */
		if (stream_fill(&s->st) != STREAM_OK)
			return true;
		p = stream_peek(&s->st, &len);
	}
	s->pipelining = true;
	log_text(s, "improper command pipelining", span_make(p, len));
	if (!conf->smtpd_forbid_unauth_pipelining)
		return true;
	smtpd_reply(s, "554 5.5.0 Error: SMTP protocol synchronization");
	s->hangup = true;
	return false;
}

/* RFC 2920: who was offered PIPELINING may send on after some commands. */
static bool
must_wait_after(const struct smtpd *s, const struct smtpd_command *c)
{
	if (c->flags & CMD_QUIT)
		return false;
	return (c->flags & CMD_ENDS_GROUP) || !strcmp(s->protocol, "SMTP");
}

static bool
looks_like_header(struct span verb)
{
	return verb.len > 1 && verb.data[verb.len - 1] == ':';
}

static void
refuse_non_smtp(struct smtpd *s, struct span line)
{
	struct buf shown = BUF_INIT;

	smtpd_escape(line, ESCAPE_MAX / 2, &shown);
	log_warn("non-SMTP command from %s: %s", buf_cstr(&s->peer.namaddr),
		 buf_cstr(&shown));
	buf_free(&shown);
	smtpd_reply(s, "221 2.7.0 Error: I can break rules, too. Goodbye.");
	s->hangup = true;
}

/* Who was refused at the start may only leave. */
static bool
deny(struct smtpd *s)
{
	if (!s->denied)
		return false;
	smtpd_reply(s, "503 5.7.0 Error: access denied for %s",
		    buf_cstr(&s->peer.namaddr));
	return true;
}

static void
unknown_command(struct smtpd *s, struct span line, struct span verb)
{
	const char *refused;

	s->where = "UNKNOWN";
	s->stats[SMTPD_COMMANDS_MAX - 1].all++;
	if (looks_like_header(verb) || listed(forbidden, verb)) {
		refuse_non_smtp(s, line);
	} else if (deny(s)) {
		return;
	} else if ((refused = smtpd_milter_unknown(s, verb))) {
		smtpd_milter_reply(s, refused);
	} else {
		smtpd_reply(s, "500 5.5.2 Error: command not recognized");
	}
}

static void
run_command(struct smtpd *s, const struct smtpd_command *c, struct span arg)
{
	struct smtpd_stat *stat = &s->stats[c - smtpd_commands];
	/* The line lies in the input buffer, which the command may refill. */
	struct buf copy = BUF_INIT;
	unsigned before;

	stat->all++;
	if (!(c->flags & CMD_CLEAR) && smtpd_tls_missing(s)) {
		smtpd_reply(s, "530 5.7.0 Must issue a STARTTLS command first");
		return;
	}
	s->where = c->name;
	buf_append_span(&copy, arg);
	if ((must_wait_after(s, c) && !check_pipelining(s)) ||
	    (!(c->flags & CMD_QUIT) && deny(s)))
		goto out;
	if ((c->flags & CMD_JUNK) &&
	    s->junk++ > (unsigned)conf->smtpd_junk_command_limit)
		s->errors++;
	before = s->errors;
	/* Refused within smtpd_recipient_overshoot_limit is no failure. */
	if (c->fn(s, buf_span(&copy)) ||
	    (s->errors == before && !s->in_data && s->st.status == STREAM_OK &&
	     !(c->flags & CMD_GREETS)))
		stat->good++;
out:
	buf_free(&copy);
}

static void
dispatch(struct smtpd *s, struct span line)
{
	const struct smtpd_command *c;
	struct span verb, arg;

	if (conf->smtputf8_enable && !utf8_valid(line.data, line.len)) {
		smtpd_reply(s, "500 5.5.2 Error: bad UTF-8 syntax");
		return;
	}
	cmd_split(line, &verb, &arg);
	if (verb.len == 0) {
		smtpd_reply(s, "500 5.5.2 Error: bad syntax");
		return;
	}
	/* Also a command that exists; nothing counts it. */
	if (listed(noop, verb)) {
		smtpd_reply(s, "250 2.0.0 Ok");
		return;
	}
	c = smtpd_command_find(verb);
	if (c)
		run_command(s, c, arg);
	else
		unknown_command(s, line, verb);
}

static void
one_line(struct smtpd *s, struct span line, unsigned flags)
{
	struct buf other = BUF_INIT;

	s->line_bare_lf = flags & LINE_BARE_LF;
	smtpd_chat_heard(s, line);
	if (flags & LINE_CUT)
		log_warn("%s: request longer than %d: %.30s...",
			 buf_cstr(&s->peer.namaddr), conf->line_length_limit,
			 line.data);
	if (s->line_bare_lf && s->bare == BARE_REJECT) {
		smtpd_reply(s, "%d 5.5.2 %s Error: bare <LF> received",
			    conf->smtpd_forbid_bare_newline_reject_code,
			    conf->myhostname);
		smtpd_log_action(s, "reject", span_of("bare <LF> received"));
		s->hangup = true;
		return;
	}
	/* Behind a NUL nothing counts, as in a program whose lines are C
	 * strings: no part of an address may hide there. */
	line.len = strnlen(line.data, line.len);
	if (smtpd_cmdfilter_run(s, &line, &other))
		dispatch(s, line);
	buf_free(&other);
}

/* ---- the session ---- */

static void
lost(struct smtpd *s, const char *how)
{
	if (!strcmp(s->where, "END-OF-MESSAGE"))
		return;
	if (s->in_data && s->mail.content.chunks == CHUNKS_NONE)
		log_info("%s after DATA (%llu bytes) from %s", how,
			 (unsigned long long)s->data_bytes,
			 buf_cstr(&s->peer.namaddr));
	else if (s->mail.content.chunks == CHUNKS_GOOD &&
		 !strcmp(s->where, "BDAT"))
		log_info(
		    "%s after BDAT (%llu bytes) from %s", how,
		    (unsigned long long)(s->data_bytes + s->mail.content.begun),
		    buf_cstr(&s->peer.namaddr));
	else
		log_info("%s after %s from %s", how, s->where,
			 buf_cstr(&s->peer.namaddr));
}

/* The connection has a status: say what can be said, and log it. Returns why
 * the session was broken off, or NULL. */
static const char *
end_by_status(struct smtpd *s, enum stream_status status)
{
	switch (status) {
	case STREAM_OK:
		return NULL;
	case STREAM_TIMEOUT:
		stream_clear(&s->st);
		stream_set_timeout(&s->st, LAST_WORD_USEC);
		smtpd_reply(s, "421 4.4.2 %s Error: timeout exceeded",
			    conf->myhostname);
		lost(s, "timeout");
		return "timeout";
	case STREAM_STOP:
		stream_set_timeout(&s->st, LAST_WORD_USEC);
		smtpd_reply(s, "421 4.3.2 %s Service shutting down",
			    conf->myhostname);
		return "server shutdown";
	default:
		lost(s, "lost connection");
		return "lost connection";
	}
}

static bool
too_many_errors(struct smtpd *s)
{
	if (s->errors < (unsigned)conf->smtpd_hard_error_limit)
		return false;
	smtpd_reply(s, "421 4.7.0 %s Error: too many errors", conf->myhostname);
	log_info("too many errors after %s from %s", s->where,
		 buf_cstr(&s->peer.namaddr));
	return true;
}

static const char *
converse(struct smtpd *s)
{
	enum stream_status status = STREAM_OK;
	const char *reason = NULL;

	while (!s->hangup) {
		struct span line;
		unsigned flags;

		if (too_many_errors(s)) {
			reason = "too many errors";
			break;
		}
		start_command_clock(s);
		status = stream_read_line(
		    &s->st, (size_t)conf->line_length_limit, &line, &flags);
		if (status == STREAM_OK)
			one_line(s, line, flags);
		if (status == STREAM_OK)
			status = s->st.status;
		if (s->in_data && status == STREAM_OK)
			status = STREAM_STOP;
		if (status != STREAM_OK)
			break;
	}
	if (!s->hangup || s->in_data)
		reason = end_by_status(s, status);
	stream_flush(&s->st);
	return reason;
}

void
smtpd_session_greet(struct smtpd *s)
{
	struct why why = WHY_INIT;
	const char *refused = smtpd_milter_connect(s);

	if (refused && !strncmp(refused, "421", 3)) {
		smtpd_reply(s, "421 %s Service unavailable - try again later",
			    conf->myhostname);
		return;
	}
	if (refused && refused[0] == '5') {
		smtpd_reply(s, "554 %s ESMTP not accepting connections",
			    conf->myhostname);
		return;
	}
	s->denied = !s->unrestricted && !smtpd_access_connect(s, &why);
	if (s->denied)
		smtpd_reply_why(s, &why);
	else
		smtpd_reply(s, "220 %s", conf->smtpd_banner);
	why_free(&why);
}

static void
append_stat(struct buf *line, const char *name, const struct smtpd_stat *t)
{
	if (!t->all)
		return;
	buf_printf(line, " %s=%u", name, t->good);
	if (t->good != t->all)
		buf_printf(line, "/%u", t->all);
}

static void
log_disconnect(const struct smtpd *s)
{
	struct smtpd_stat sum = s->stats[SMTPD_COMMANDS_MAX - 1];
	struct buf line = BUF_INIT;

	for (size_t i = 0; smtpd_commands[i].name; i++) {
		char name[16];
		size_t n = 0;

		for (; smtpd_commands[i].name[n]; n++)
			name[n] = (char)(smtpd_commands[i].name[n] | 0x20);
		name[n] = '\0';
		append_stat(&line, name, &s->stats[i]);
		sum.good += s->stats[i].good;
		sum.all += s->stats[i].all;
	}
	append_stat(&line, "unknown", &s->stats[SMTPD_COMMANDS_MAX - 1]);
	if (sum.all)
		append_stat(&line, "commands", &sum);
	else
		buf_append_cstr(&line, " commands=0/0");
	log_info("disconnect from %s%s", buf_cstr(&s->peer.namaddr),
		 buf_cstr(&line));
	buf_free(&line);
}

void
smtpd_session_run(int in_fd, int out_fd, unsigned how)
{
	bool standalone = how & SESSION_STANDALONE;
	struct smtpd s;
	const char *reason;
	bool peer_known;

	smtpd_state_init(&s, in_fd, out_fd);
	s.standalone = standalone;
	s.unrestricted = how & SESSION_UNRESTRICTED;
	s.st.wait_input = standalone ? NULL : wait_input;
	s.st.wait_data = &s;
	start_command_clock(&s);
	peer_known = smtpd_upstream_peer(&s);
	smtpd_chat_begin(&s);
	if (!standalone)
		log_info("connect from %s", buf_cstr(&s.peer.namaddr));
	s.bare = smtpd_bare_policy(&s);
	smtpd_xforward_decide(&s);
	if (!peer_known)
		smtpd_reply(&s, "421 4.3.0 %s Server local error",
			    conf->myhostname);
	else if (smtpd_limits_connect(&s) && smtpd_tls_wrapper(&s) &&
		 (service_takes_over() || check_pipelining(&s)))
		smtpd_session_greet(&s);
	reason = converse(&s);
	smtpd_tls_end(&s);
	smtpd_notice_end(&s, reason);
	smtpd_chat_end(&s);
	smtpd_limits_disconnect(&s);
	if (!standalone)
		log_disconnect(&s);
	smtpd_state_free(&s);
}
