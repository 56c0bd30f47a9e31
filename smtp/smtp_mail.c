/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_mail.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "smtp/smtp_command.h"
#include "smtp/smtp_content.h"

/*
 * Bytes of commands whose replies were not read yet. The replies must fit
 * into the socket buffers, or both sides would wait for the other to read.
 */
enum { PIPELINE_WINDOW = 8192 };

static const char phase_mail[] = "sending MAIL FROM";
static const char phase_rcpt[] = "sending RCPT TO";
static const char phase_data[] = "sending DATA command";
static const char phase_body[] = "sending message body";
static const char phase_end[] =
    "sending end of data -- message may be sent more than once";
static const char end_of_data[] = "end of DATA";

/* The commands in the order in which they are sent. */
enum step {
	STEP_XFORWARD,
	STEP_MAIL,
	STEP_RCPT,
	STEP_DATA,
};

struct command {
	enum step step;
	size_t rcpt;  /* index in req->rcpts */
	size_t bytes; /* once it was sent */
};

struct transaction {
	struct smtp_session *s;
	struct agent_request *req;
	const struct smtp_mail_options *opt;
	struct why *last;
	struct command *commands;
	size_t n_commands;
	bool *accepted; /* per recipient */
	size_t n_accepted;
	bool mail_failed;
	bool data_ok; /* 354: content must follow */
	bool over;    /* the session cannot go on */
};

/* ---- results ---- */

/* A recipient failed; a deferral counts only when nobody else is asked. */
static void
rcpt_failed(struct transaction *t, size_t i, const struct why *why)
{
	if (why_class(why) == WHY_BOUNCE || t->opt->final)
		agent_rcpt_done(t->req, i, why);
	else if (why != t->last)
		why_copy(t->last, why);
}

static void
log_not_final(struct transaction *t, const struct why *why)
{
	if (!t->opt->final && why_class(why) != WHY_BOUNCE)
		log_info("%s: %s", t->req->queue_id, buf_cstr(&why->text));
}

static void
end_batch(struct agent_request *req)
{
	agent_flush(req);
	req->hold = false;
}

/* All that are not done, for the same reason; with accepted_only those that
 * the server had accepted. */
static void
all_failed(struct transaction *t, bool accepted_only, const struct why *why)
{
	log_not_final(t, why);
	t->req->hold = true;
	for (size_t i = 0; i < t->req->n_rcpts; i++) {
		if (t->req->rcpts[i].done || (accepted_only && !t->accepted[i]))
			continue;
		rcpt_failed(t, i, why);
	}
	end_batch(t->req);
	if (!t->opt->final)
		why_copy(t->last, why);
}

/* In a session that was kept, it is the session's fault: try another one. */
static void
session_failed(struct transaction *t, const struct why *why)
{
	t->over = true;
	if (t->opt->reused) {
		log_info("%s: %s", t->req->queue_id, buf_cstr(&why->text));
		why_copy(t->last, why);
	} else {
		all_failed(t, false, why);
	}
}

static void
rcpt_sent(struct transaction *t, size_t i)
{
	struct why why = WHY_INIT;
	struct buf text = BUF_INIT;

	reply_text(&t->s->reply, &text);
	why_set_code(&why, t->s->reply.code,
		     t->s->reply.dsn[0] ? t->s->reply.dsn : "2.0.0", "%s",
		     buf_cstr(&text));
	buf_set_cstr(&why.mta, t->s->host);
	buf_set(&why.diagnostic, buf_span(&text));
	why.diag_type = "smtp";
	t->req->rcpts[i].dsn_passed = t->s->features & FEATURE_DSN;
	agent_rcpt_done(t->req, i, &why);
	why_free(&why);
	buf_free(&text);
}

/* ---- commands ---- */

/* Of verify(8): the session ends the transaction with RSET, by
 * smtp_address_verify_target before or after DATA was answered. */
static bool
is_probe(const struct transaction *t)
{
	return t->req->flags & DELIVER_PROBE;
}

static bool
probe_with_data(void)
{
	return !strcmp(conf->smtp_address_verify_target, "data");
}

static void
plan(struct transaction *t)
{
	struct agent_request *req = t->req;
	int xforward = smtp_command_xforward_count(t->s, req);

	t->commands = mem_calloc(req->n_rcpts + 2 + (size_t)xforward,
				 sizeof(*t->commands));
	t->accepted = mem_calloc(req->n_rcpts, sizeof(*t->accepted));
	for (int i = 0; i < xforward; i++)
		t->commands[t->n_commands++] =
		    (struct command){STEP_XFORWARD, (size_t)i, 0};
	t->commands[t->n_commands++].step = STEP_MAIL;
	for (size_t i = 0; i < req->n_rcpts; i++)
		if (!req->rcpts[i].done)
			t->commands[t->n_commands++] =
			    (struct command){STEP_RCPT, i, 0};
	if (!is_probe(t) || probe_with_data())
		t->commands[t->n_commands++].step = STEP_DATA;
}

static size_t
send_command(struct transaction *t, struct command *c)
{
	struct buf line = BUF_INIT;

	switch (c->step) {
	case STEP_XFORWARD:
		smtp_command_xforward(t->req, (int)c->rcpt, &line);
		break;
	case STEP_MAIL:
		smtp_command_mail(t->s, t->req, &line);
		break;
	case STEP_RCPT:
		smtp_command_rcpt(t->s, &t->req->rcpts[c->rcpt], &line);
		break;
	case STEP_DATA:
		buf_append_cstr(&line, "DATA");
		break;
	}
	buf_append_cstr(&line, "\r\n");
	stream_write(&t->s->stream, buf_span(&line));
	c->bytes = line.len;
	buf_free(&line);
	return c->bytes;
}

static void
on_mail_reply(struct transaction *t)
{
	struct why why = WHY_INIT;

	if (t->s->reply.code / 100 == 2)
		return;
	t->mail_failed = true;
	smtp_session_said(t->s, "MAIL FROM", &why);
	if (t->opt->reused && why_class(&why) == WHY_DEFER) {
		/* The server has enough of this session. */
		t->over = true;
		t->s->dead = true;
		why_copy(t->last, &why);
	} else {
		all_failed(t, false, &why);
	}
	why_free(&why);
}

static void
on_rcpt_reply(struct transaction *t, size_t i)
{
	struct why why = WHY_INIT;

	if (t->mail_failed)
		return;
	if (t->s->reply.code / 100 == 2) {
		if (is_probe(t) && !probe_with_data()) {
			t->s->needs_reset = true;
			rcpt_sent(t, i);
			return;
		}
		t->accepted[i] = true;
		t->n_accepted++;
		return;
	}
	smtp_session_said(t->s, "RCPT TO", &why);
	log_not_final(t, &why);
	rcpt_failed(t, i, &why);
	why_free(&why);
}

static void
on_data_reply(struct transaction *t)
{
	struct why why = WHY_INIT;

	if (t->s->reply.code / 100 == 3 && is_probe(t)) {
		/* No content may follow: only hanging up is safe. */
		for (size_t i = 0; i < t->req->n_rcpts; i++)
			if (t->accepted[i] && !t->req->rcpts[i].done)
				rcpt_sent(t, i);
		t->s->dead = true;
		return;
	}
	if (t->s->reply.code / 100 == 3) {
		t->data_ok = true;
		return;
	}
	t->s->needs_reset = true;
	if (!t->n_accepted)
		return;
	smtp_session_said(t->s, "DATA", &why);
	all_failed(t, true, &why);
	t->n_accepted = 0;
	why_free(&why);
}

static bool
read_command_reply(struct transaction *t, const struct command *c)
{
	struct why why = WHY_INIT;
	const char *phase = c->step == STEP_RCPT   ? phase_rcpt
			    : c->step == STEP_DATA ? phase_data
						   : phase_mail;
	int64_t limit = c->step == STEP_RCPT   ? conf->smtp_rcpt_timeout
			: c->step == STEP_DATA ? conf->smtp_data_init_timeout
			: c->step == STEP_XFORWARD ? conf->smtp_xforward_timeout
						   : conf->smtp_mail_timeout;

	if (!smtp_session_reply(t->s, limit, phase, &why)) {
		if (t->opt->reused && c->step <= STEP_MAIL) {
			t->over = true;
			why_copy(t->last, &why);
		} else {
			session_failed(t, &why);
		}
		why_free(&why);
		return false;
	}
	if (c->step == STEP_XFORWARD)
		smtp_command_xforward_reply(t->s);
	else if (c->step == STEP_MAIL)
		on_mail_reply(t);
	else if (c->step == STEP_RCPT)
		on_rcpt_reply(t, c->rcpt);
	else
		on_data_reply(t);
	return !t->over;
}

/* Nothing is to be gained by sending this one. Only what was not pipelined
 * can still be left out. */
static bool
is_pointless(const struct transaction *t, const struct command *c)
{
	return (c->step >= STEP_RCPT && t->mail_failed) ||
	       (c->step == STEP_DATA && t->n_accepted == 0);
}

static void
run_commands(struct transaction *t)
{
	bool pipeline = t->s->features & FEATURE_PIPELINING;
	size_t sent = 0, got = 0, window = 0;

	while (got < t->n_commands) {
		while (
		    sent < t->n_commands &&
		    (sent == got || (pipeline && window < PIPELINE_WINDOW))) {
			if (sent == got &&
			    is_pointless(t, &t->commands[sent])) {
				t->s->needs_reset = true;
				return;
			}
			window += send_command(t, &t->commands[sent++]);
		}
		if (!read_command_reply(t, &t->commands[got]))
			return;
		window -= t->commands[got++].bytes;
	}
}

/* ---- content ---- */

/* LMTP says about each accepted recipient what became of it. */
static void
end_replies(struct transaction *t)
{
	struct why why = WHY_INIT;
	bool have = false, said = false;

	/* In SMTP there is one reply for all. */
	t->req->hold = !t->s->lmtp;
	for (size_t i = 0; i < t->req->n_rcpts; i++) {
		if (!t->accepted[i] || t->req->rcpts[i].done)
			continue;
		if (!have || t->s->lmtp) {
			said = false;
			if (!smtp_session_reply(t->s,
						conf->smtp_data_done_timeout,
						phase_end, &why)) {
				/* In another session it might be delivered
				 * twice: later, then, also after a reuse. */
				t->over = true;
				all_failed(t, false, &why);
				break;
			}
			have = true;
			if (t->s->reply.code / 100 != 2)
				smtp_session_said(t->s, end_of_data, &why);
		}
		if (t->s->reply.code / 100 == 2) {
			rcpt_sent(t, i);
			continue;
		}
		if (!said)
			log_not_final(t, &why);
		said = true;
		rcpt_failed(t, i, &why);
	}
	end_batch(t->req);
	why_free(&why);
}

/* The server hung up in the middle: did it say why? A positive reply cannot
 * be about what it has not read. */
static void
content_refused(struct transaction *t, struct why *why)
{
	bool hung_up = t->s->stream.status == STREAM_ERROR;
	struct why none = WHY_INIT;

	smtp_session_lost(t->s, phase_body, why);
	if (hung_up) {
		stream_clear(&t->s->stream);
		if (smtp_session_reply(t->s, conf->smtp_data_done_timeout,
				       phase_body, &none) &&
		    t->s->reply.code / 100 >= 4) {
			smtp_session_said(t->s, end_of_data, why);
			t->over = true;
			all_failed(t, true, why);
		}
	}
	t->s->dead = true;
	why_free(&none);
	if (!t->over)
		session_failed(t, why);
}

static void
send_content(struct transaction *t)
{
	struct why why = WHY_INIT;

	stream_set_timeout(&t->s->stream, conf->smtp_data_xfer_timeout);
	if (conf->smtp_per_request_deadline)
		stream_set_deadline(&t->s->stream, conf->smtp_data_xfer_timeout,
				    conf->smtp_min_data_rate);
	if (t->n_accepted == 0) {
		/* Pipelined DATA that found no recipient. */
		stream_write(&t->s->stream, span_of(".\r\n"));
		if (!smtp_session_reply(t->s, conf->smtp_data_done_timeout,
					phase_end, &why))
			t->over = true;
	} else if (!smtp_content_send(t->s, t->req, t->opt, &why)) {
		/* The message cannot be read: the server must not see an end
		 * of data. */
		t->s->dead = true;
		session_failed(t, &why);
	} else if (t->s->stream.status != STREAM_OK) {
		content_refused(t, &why);
	} else {
		end_replies(t);
	}
	why_free(&why);
}

void
smtp_mail_send(struct smtp_session *s, struct agent_request *req,
	       const struct smtp_mail_options *opt, struct why *last)
{
	struct transaction t = {.s = s, .req = req, .opt = opt, .last = last};

	plan(&t);
	s->needs_reset = false;
	run_commands(&t);
	if (!t.over && t.data_ok)
		send_content(&t);
	if (t.over)
		s->dead = true;
	free(t.commands);
	free(t.accepted);
}
