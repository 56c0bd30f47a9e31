/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_engine.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "lib/table/match_list.h"
#include "smtpd/postscreen_line.h"

static const char phase[] = "tests after SMTP handshake";
static const char unavailable[] =
    "421 %s Service unavailable - try again later";

static struct match_list *forbidden;
static struct maps *filters;

void
postscreen_engine_open(void)
{
	forbidden = match_list_open("postscreen_forbidden_commands",
				    conf->postscreen_forbidden_commands,
				    MATCH_STRING, 0);
	filters = maps_open("postscreen_command_filter",
			    conf->postscreen_command_filter,
			    TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
	postscreen_ehlo_open();
}

void
postscreen_talk_free(struct screen *s)
{
	struct screen_talk *t = s->talk;

	if (!t)
		return;
	buf_free(&t->in);
	buf_free(&t->helo);
	buf_free(&t->sender);
	buf_free(&t->address);
	free(t);
	s->talk = NULL;
}

/* ---- the end of a session ---- */

static void
end_session(struct screen *s)
{
	postscreen_flush(s);
	postscreen_conclude(s);
	postscreen_client_end(s);
}

static void
end_limit(struct screen *s, const char *what)
{
	log_info("COMMAND %s LIMIT from %s after %s", what, postscreen_who(s),
		 s->talk->where);
	postscreen_reply(s, unavailable, conf->myhostname);
	end_session(s);
}

static void
end_timeout(struct screen *s)
{
	log_info("COMMAND TIME LIMIT from %s after %s", postscreen_who(s),
		 s->talk->where);
	if (s->talk->shaking)
		postscreen_tls_too_slow(s);
	else
		postscreen_reply(s, "421 4.4.2 %s Error: timeout exceeded",
				 conf->myhostname);
	end_session(s);
}

/* ---- deep tests ---- */

/* The fault ends the session with reply; false: it goes on. */
static bool
punish(struct screen *s, enum screen_test which, enum screen_action action,
       const char *reply)
{
	postscreen_fail(s, which, action, "550 5.5.1 Protocol error");
	if (action != ACTION_DROP)
		return false;
	postscreen_reply(s, "%s", reply);
	end_session(s);
	return true;
}

/* A result that counts from before is not looked at again, unless the client
 * is refused anyway; nor is a fault after the test was passed forgiven. */
static bool
is_tested(const struct screen *s, enum screen_test which)
{
	return s->talk->test_all || s->tests.todo & 1U << which;
}

static bool
check_bare_newline(struct screen *s, struct span line)
{
	struct screen_talk *t = s->talk;

	if (!is_tested(s, TEST_BARE_NEWLINE) || t->saw_bare_newline)
		return false;
	t->saw_bare_newline = true;
	log_info("BARE NEWLINE from %s after %s", postscreen_who(s),
		 postscreen_shown(line));
	return punish(s, TEST_BARE_NEWLINE, screen_actions.bare_newline,
		      "521 5.5.1 Protocol error");
}

static bool
check_pipelining(struct screen *s)
{
	struct screen_talk *t = s->talk;

	if (!is_tested(s, TEST_PIPELINING) || t->saw_pipelining ||
	    t->in.len == 0)
		return false;
	t->saw_pipelining = true;
	log_info("COMMAND PIPELINING from %s after %s: %s", postscreen_who(s),
		 t->where, postscreen_shown(buf_span(&t->in)));
	return punish(s, TEST_PIPELINING, screen_actions.pipelining,
		      "521 5.5.1 Protocol error");
}

static bool
is_forbidden(struct span line, struct span verb)
{
	struct why why = WHY_INIT;
	bool found =
	    screen_line_is_header(line) ||
	    (verb.len && match_list_has(forbidden, verb, &why) == TABLE_FOUND);

	why_free(&why);
	return found;
}

static bool
check_non_smtp(struct screen *s, struct span line)
{
	struct screen_talk *t = s->talk;
	struct buf text = BUF_INIT;
	struct span verb, arg;
	bool gone = false;

	if (!is_tested(s, TEST_NON_SMTP) || t->saw_non_smtp)
		return false;
	buf_set(&text, line);
	if (text.len)
		utf8_printable(text.data, text.len, '?');
	screen_line_split(buf_span(&text), &verb, &arg);
	if (is_forbidden(buf_span(&text), verb)) {
		t->saw_non_smtp = true;
		log_info("NON-SMTP COMMAND from %s after %s: %.*s %.*s",
			 postscreen_who(s), t->where, SPAN_ARG(verb),
			 SPAN_ARG(arg));
		gone =
		    punish(s, TEST_NON_SMTP, screen_actions.non_smtp,
			   "521 5.7.0 Error: I can break rules, too. Goodbye.");
	}
	buf_free(&text);
	return gone;
}

/* ---- one command ---- */

/* postscreen_command_filter: line is replaced; a table that fails ends the
 * session. */
static bool
filter_line(struct screen *s, struct buf *line)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st = TABLE_ABSENT;

	if (line->len)
		st = maps_get(filters, buf_span(line), &value, &why);
	if (st == TABLE_FOUND) {
		log_info("%s: replacing command \"%.100s\" with \"%.100s\"",
			 postscreen_who(s), buf_cstr(line), buf_cstr(&value));
		buf_set(line, buf_span(&value));
	} else if (st == TABLE_RETRY) {
		log_warn("%s: postscreen_command_filter lookup error for "
			 "\"%.100s\"",
			 postscreen_who(s), buf_cstr(line));
	}
	buf_free(&value);
	why_free(&why);
	return st != TABLE_RETRY;
}

/* false: the client is gone. */
static bool
run_line(struct screen *s, struct span text)
{
	const struct screen_command *c;
	struct screen_talk *t = s->talk;
	struct span verb, arg;

	screen_line_split(text, &verb, &arg);
	c = screen_command_find(verb);
	if (!c && check_non_smtp(s, text))
		return false;
	t->where = c ? c->name : "UNIMPLEMENTED";
	if (check_pipelining(s))
		return false;
	if (!c)
		postscreen_reply(s, "502 5.5.2 Error: command not recognized");
	else if (!c->fn(s, arg)) {
		end_session(s);
		return false;
	}
	return true;
}

static bool
one_line(struct screen *s, struct span text)
{
	struct buf line = BUF_INIT;
	bool alive;

	if (++s->talk->commands >
	    (unsigned)conf->postscreen_command_count_limit) {
		end_limit(s, "COUNT");
		return false;
	}
	buf_append_span(&line, text);
	if (filter_line(s, &line)) {
		alive = run_line(s, buf_span(&line));
	} else {
		postscreen_reply(s, unavailable, conf->myhostname);
		end_session(s);
		alive = false;
	}
	buf_free(&line);
	return alive;
}

/* ---- input and output ---- */

static void
wait_for_client(struct screen *s)
{
	int64_t left = s->talk->deadline - io_monotonic();
	bool write = s->out.len || postscreen_tls_wants_write(s);
	struct timeval tv;

	/* Not at once: other clients have their turn. */
	if (!write && !s->talk->shaking && postscreen_tls_pending(s)) {
		event_active(s->read, EV_READ, 0);
		return;
	}
	if (left < 1)
		left = 1;
	tv = (struct timeval){(time_t)(left / 1000000), left % 1000000};
	event_add(write ? s->timer : s->read, &tv);
}

static void
start_clock(struct screen *s)
{
	s->talk->deadline = io_monotonic() + postscreen_command_time();
}

/*
 * All complete lines. The text of a line is copied before in is cut, so that
 * what is left there is what was sent ahead. false: the client is gone.
 */
static bool
process(struct screen *s)
{
	struct screen_talk *t = s->talk;
	struct buf copy = BUF_INIT;
	bool alive = true;

	while (alive && !t->starting_tls && s->out.len < CLIENT_OUT_MAX / 4) {
		enum screen_line st;
		struct span line;
		size_t used;
		bool bare;

		st = screen_line_cut(buf_span(&t->in),
				     (size_t)conf->line_length_limit, &line,
				     &used, &bare);
		if (st == SCREEN_LINE_MORE)
			break;
		if (st == SCREEN_LINE_TOO_LONG) {
			end_limit(s, "LENGTH");
			alive = false;
			break;
		}
		buf_set(&copy, line);
		buf_consume(&t->in, used);
		alive = !(bare && check_bare_newline(s, buf_span(&copy))) &&
			one_line(s, buf_span(&copy));
		if (alive)
			start_clock(s);
	}
	buf_free(&copy);
	return alive;
}

/* ---- STARTTLS ---- */

/* Nothing that was said in the clear counts any more (RFC 3207 4.2), but that
 * it was ESMTP. */
static void
forget_clear_text(struct screen_talk *t)
{
	buf_free(&t->in);
	buf_free(&t->helo);
	buf_free(&t->sender);
	t->in_mail = false;
}

static void
shake_hands(struct screen *s)
{
	switch (postscreen_tls_step(s)) {
	case SCREEN_TLS_OK:
		s->talk->shaking = false;
		start_clock(s);
		break;
	case SCREEN_TLS_AGAIN:
		break;
	case SCREEN_TLS_FAILED:
		postscreen_hangup(s, phase);
		return;
	}
	wait_for_client(s);
}

static void
start_tls(struct screen *s)
{
	struct screen_talk *t = s->talk;

	t->starting_tls = false;
	forget_clear_text(t);
	if (!postscreen_tls_begin(s)) {
		postscreen_hangup(s, phase);
		return;
	}
	t->shaking = true;
	t->deadline = io_monotonic() + postscreen_tls_time();
	shake_hands(s);
}

/* ---- input and output, continued ---- */

/* What is left of the input after a full buffer of replies gets its turn as
 * soon as they are written. */
static void
go_on(struct screen *s)
{
	struct screen_talk *t = s->talk;

	do {
		if (!process(s))
			return;
		if (!postscreen_flush(s)) {
			postscreen_hangup(s, phase);
			return;
		}
	} while (s->out.len == 0 && !t->starting_tls &&
		 span_find(buf_span(&t->in), '\n') >= 0);
	if (s->out.len == 0 && t->starting_tls) {
		start_tls(s);
		return;
	}
	if (t->in.len == 0)
		buf_free(&t->in);
	wait_for_client(s);
}

static void
take_input(struct screen *s)
{
	struct screen_talk *t = s->talk;
	ssize_t n =
	    postscreen_recv(s, buf_reserve(&t->in, CLIENT_READ), CLIENT_READ);

	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		wait_for_client(s);
	} else if (n <= 0) {
		postscreen_hangup(s, phase);
	} else {
		t->in.len += (size_t)n;
		t->in.data[t->in.len] = '\0';
		go_on(s);
	}
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct screen *s = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		end_timeout(s);
	else if (s->talk->shaking)
		shake_hands(s);
	else if (s->out.len == 0)
		take_input(s); /* TLS has to write before it can read */
	else
		go_on(s);
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct screen *s = arg;

	(void)fd;
	if (what & EV_TIMEOUT)
		end_timeout(s);
	else if (s->talk->shaking)
		shake_hands(s);
	else
		take_input(s);
}

void
postscreen_engine(struct screen *s)
{
	struct event_base *base = service_event_base();

	s->talk = mem_alloc(sizeof(*s->talk));
	s->talk->where = "CONNECT";
	s->talk->protocol = "SMTP";
	s->talk->test_all = s->enforce;
	s->since = io_monotonic();
	s->read = event_new(base, s->fd, EV_READ, on_readable, s);
	s->timer = event_new(base, s->fd, EV_WRITE, on_writable, s);
	/* Who spoke early, and pays for it, gets no greeting to wait for. */
	if (!s->early || screen_actions.greet == ACTION_IGNORE)
		postscreen_reply(s, "220 %s", conf->smtpd_banner);
	start_clock(s);
	if (postscreen_flush(s))
		wait_for_client(s);
	else
		postscreen_hangup(s, phase);
}
