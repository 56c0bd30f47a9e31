/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "smtp/smtp_connect.h"
#include "smtp/smtp_ehlo.h"
#include "smtp/smtp_tls.h"

void
smtp_session_free(struct smtp_session **sp)
{
	struct smtp_session *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	tls_session_end(&s->stream);
	stream_free(&s->stream);
	smtp_tls_policy_free(&s->tls.policy);
	tls_client_result_free(&s->tls.result);
	free(s->tls.peer);
	free(s->dest.name);
	free(s->dest.host);
	smtp_addr_clear(&s->target);
	reply_free(&s->reply);
	if (s->fd >= 0)
		close(s->fd);
	free(s->host);
	free(s->addr);
	free(s->name);
	free(s->relay);
	free(s->nexthop);
	smtp_auth_free(&s->auth);
	free(s);
}

struct smtp_session *
smtp_session_open(const struct smtp_addr *a, const struct dest *d, bool lmtp,
		  struct why *why)
{
	struct smtp_session *s;
	int fd = smtp_connect(a, conf->smtp_connect_timeout);

	if (fd < 0) {
		int saved = errno;

		if (fd == SMTP_CONNECT_CONFIG)
			why_set(why, "4.4.0", "server configuration error");
		else if (a->port)
			why_set(why, "4.4.1", "connect to %s[%s]:%d: %s",
				a->host, a->text, a->port, strerror(saved));
		else
			why_set(why, "4.4.1", "connect to %s[%s]: %s", a->host,
				a->text, strerror(saved));
		return NULL;
	}
	s = mem_alloc(sizeof(*s));
	s->fd = fd;
	s->lmtp = lmtp;
	s->host = mem_strdup(a->host);
	s->addr = mem_strdup(a->text);
	s->port = a->port;
	s->dest = *d;
	s->dest.name = mem_strdup(d->name);
	s->dest.host = mem_strdup(d->host);
	s->dest.service = NULL;
	smtp_addr_copy(&s->target, a);
	s->tls.policy.why = (struct why)WHY_INIT;
	s->name = mem_sprintf("%s[%s]", a->host, a->text);
	s->relay = a->port ? mem_sprintf("%s:%d", s->name, a->port)
			   : mem_strdup(s->name);
	s->opened = io_monotonic();
	s->reply = (struct reply)REPLY_INIT;
	stream_init(&s->stream, fd, fd);
	return s;
}

/* ---- replies ---- */

void
smtp_session_lost(struct smtp_session *s, const char *phase, struct why *why)
{
	s->dead = true;
	if (s->stream.status == STREAM_TIMEOUT)
		why_set(why, "4.4.2", "conversation with %s timed out while %s",
			s->name, phase);
	else
		why_set(why, "4.4.2", "lost connection with %s while %s",
			s->name, phase);
}

static void
set_time_limit(struct smtp_session *s, int64_t timeout)
{
	if (conf->smtp_per_request_deadline)
		stream_set_deadline(&s->stream, timeout, 0);
	stream_set_timeout(&s->stream, timeout);
}

/* What is no reply cannot be matched with a command: give up the session. */
static void
bad_reply(struct smtp_session *s, const char *phase, struct why *why)
{
	struct buf text = BUF_INIT;

	s->dead = true;
	reply_text(&s->reply, &text);
	log_warn("non-%s response from %s: %s", s->lmtp ? "LMTP" : "ESMTP",
		 s->relay, buf_cstr(&text));
	why_set(why, "4.5.0", "Protocol error: host %s said: %s (while %s)",
		s->name, buf_cstr(&text), phase);
	buf_free(&text);
}

bool
smtp_session_reply(struct smtp_session *s, int64_t timeout, const char *phase,
		   struct why *why)
{
	set_time_limit(s, timeout);
	switch (reply_read(&s->stream, &s->reply)) {
	case REPLY_OK:
		/* RFC 5321 section 3.8: the server closes after it. */
		if (s->reply.code == 421)
			s->dead = true;
		return true;
	case REPLY_IO:
		smtp_session_lost(s, phase, why);
		return false;
	default:
		bad_reply(s, phase, why);
		return false;
	}
}

/* Status code, text, remote host and diagnostic of a reply. */
static void
why_reply(const struct smtp_session *s, const char *lead,
	  const char *format_head, const char *format_tail, struct why *why)
{
	struct buf text = BUF_INIT;
	char dsn[DSN_CODE_MAX];
	int class = s->reply.code / 100;

	reply_text(&s->reply, &text);
	/* A positive reply that cannot be accepted, and 3xx, are errors. */
	if (class == 2 || class == 3)
		snprintf(dsn, sizeof(dsn), "5.5.0");
	else if (s->reply.dsn[0])
		snprintf(dsn, sizeof(dsn), "%s", s->reply.dsn);
	else
		snprintf(dsn, sizeof(dsn), "%c.0.0", '0' + class);
	why_set_code(why, s->reply.code, dsn, "%s%shost %s %s%s", lead,
		     class == 2 ? "Protocol error: " : "", s->name, format_head,
		     buf_cstr(&text));
	buf_append_cstr(&why->text, format_tail);
	buf_set_cstr(&why->mta, s->host);
	buf_set(&why->diagnostic, buf_span(&text));
	why->diag_type = "smtp";
	buf_free(&text);
}

void
smtp_session_said(const struct smtp_session *s, const char *command,
		  struct why *why)
{
	struct buf tail = BUF_INIT;

	buf_printf(&tail, " (in reply to %s command)", command);
	why_reply(s, "", "said: ", buf_cstr(&tail), why);
	buf_free(&tail);
}

void
smtp_session_refused(const struct smtp_session *s, const char *head,
		     const char *what, struct why *why)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "%s: ", what);
	why_reply(s, head, buf_cstr(&text), "", why);
	buf_free(&text);
}

/* ---- greeting ---- */

/* The first word of a line of the last reply. */
static struct span
reply_word(const struct smtp_session *s, size_t line)
{
	struct span rest = reply_line(&s->reply, line), word;

	return span_next_token(&rest, " \t", &word) ? word : span_make(NULL, 0);
}

static bool
refused(struct smtp_session *s, struct why *why)
{
	smtp_session_refused(s, "", "refused to talk to me", why);
	return false;
}

static bool
greeting(struct smtp_session *s, struct why *why)
{
	struct span word;
	int code;

	if (!smtp_session_reply(s, conf->smtp_helo_timeout,
				"receiving the initial server greeting", why))
		return false;
	code = s->reply.code;
	if (code / 100 != 2) {
		refused(s, why);
		/* Another host, or a later try, may be welcome. */
		if (code / 100 == 5 && conf->smtp_skip_5xx_greeting) {
			why_set_class(why, WHY_DEFER);
			why->code = code;
		}
		return false;
	}
	word = reply_word(s, 0);
	if (s->std_port && span_equal_cstr_nocase(word, conf->myhostname))
		log_warn("host %s greeted me with my own hostname %s", s->relay,
			 conf->myhostname);
	return true;
}

static bool
wants_ehlo(const struct smtp_session *s)
{
	struct span rest = buf_span(&s->reply.text), word;

	if (conf->smtp_never_send_ehlo)
		return false;
	if (conf->smtp_always_send_ehlo)
		return true;
	while (span_next_token(&rest, " \t\n", &word))
		if (span_equal_cstr_nocase(word, "ESMTP"))
			return true;
	return false;
}

static bool
hello(struct smtp_session *s, const char *verb, struct why *why)
{
	char phase[64];
	/* In the lmtp client the field holds lmtp_lhlo_name. */
	const char *name = conf->smtp_helo_name;

	snprintf(phase, sizeof(phase), "performing the %s handshake", verb);
	stream_printf(&s->stream, "%s %s\r\n", verb, name);
	return smtp_session_reply(s, conf->smtp_helo_timeout, phase, why);
}

/* EHLO or what the server understands, and what it announces. */
static bool
introduce(struct smtp_session *s, bool ehlo, const char *nexthop,
	  struct why *why)
{
	s->features &= FEATURE_DELAY_DOT;
	if (s->lmtp || ehlo) {
		if (!hello(s, s->lmtp ? "LHLO" : "EHLO", why))
			return false;
		if (s->reply.code / 100 == 2) {
			s->features |= FEATURE_ESMTP;
			smtp_ehlo_parse(s);
		} else if (s->lmtp || s->reply.code == 421) {
			return refused(s, why);
		}
	}
	if (!(s->features & FEATURE_ESMTP) && !s->lmtp) {
		if (!hello(s, "HELO", why))
			return false;
		if (s->reply.code / 100 != 2)
			return refused(s, why);
	}
	if (s->std_port &&
	    span_equal_cstr_nocase(reply_word(s, 0), conf->myhostname)) {
		log_warn("host %s replied to HELO/EHLO with my own hostname %s",
			 s->relay, conf->myhostname);
		why_set(why, "5.4.6", "mail for %s loops back to myself",
			nexthop);
		return false;
	}
	return true;
}

bool
smtp_session_greet(struct smtp_session *s, const char *nexthop,
		   const char *queue_id, int64_t age, struct why *why)
{
	bool ehlo;

	if (!smtp_tls_wrap(s, why) || !greeting(s, why))
		return false;
	ehlo = !smtp_ehlo_pix(s, queue_id, age) && !s->lmtp && wants_ehlo(s);
	if (!introduce(s, ehlo, nexthop, why))
		return false;
	switch (smtp_tls_start(s, why)) {
	case SMTP_TLS_GO_ON:
		break;
	case SMTP_TLS_STARTED:
		/* RFC 3207 section 4.2: what was said in the clear is
		 * forgotten. */
		if (!introduce(s, ehlo, nexthop, why))
			return false;
		break;
	default:
		return false;
	}
	return smtp_auth_login(s, why);
}

/* ---- end ---- */

bool
smtp_session_reset(struct smtp_session *s)
{
	struct why why = WHY_INIT;
	bool ok;

	if (s->dead)
		return false;
	stream_write(&s->stream, span_of("RSET\r\n"));
	ok = smtp_session_reply(s, conf->smtp_rset_timeout, "sending RSET",
				&why) &&
	     s->reply.code / 100 == 2;
	why_free(&why);
	s->needs_reset = !ok;
	return ok;
}

void
smtp_session_quit(struct smtp_session **sp)
{
	struct smtp_session *s = *sp;
	struct why why = WHY_INIT;

	if (s && !s->dead && s->stream.status == STREAM_OK) {
		set_time_limit(s, conf->smtp_quit_timeout);
		stream_write(&s->stream, span_of("QUIT\r\n"));
		if (conf->smtp_skip_quit_response)
			stream_flush(&s->stream);
		else
			smtp_session_reply(s, conf->smtp_quit_timeout,
					   "sending QUIT", &why);
	}
	why_free(&why);
	smtp_session_free(sp);
}
