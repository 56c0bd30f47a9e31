/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/milter/milter_one.h"

/* ---- the session's end of it ---- */

struct milters *
milters_new(const struct milter_list *list, milter_macro_fn macro, void *arg)
{
	struct milters *m = mem_alloc(sizeof(*m));

	m->v = mem_calloc(list->n ? list->n : 1, sizeof(*m->v));
	m->n = list->n;
	m->macro = macro;
	m->arg = arg;
	for (size_t i = 0; i < m->n; i++) {
		m->v[i].spec = &list->v[i];
		m->v[i].conn.fd = -1;
	}
	return m;
}

void
milters_speak_as(struct milters *m, const char *process, milter_macro_fn macro,
		 void *arg)
{
	m->process = process;
	m->macro = macro;
	m->arg = arg;
}

const char *
milters_reply(const struct milters *m)
{
	return buf_cstr(&m->reply);
}

void
milters_clear_reply(struct milters *m)
{
	buf_reset(&m->reply);
}

size_t
milters_count(const struct milters *m)
{
	return m->n;
}

void
milters_free(struct milters *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		milter_one_say(m, &m->v[i], MILTER_QUIT);
		milter_conn_close(&m->v[i].conn);
		buf_free(&m->v[i].pending);
		buf_free(&m->v[i].reply);
		for (size_t k = 0; k < MILTER_STAGES; k++)
			buf_free(&m->v[i].symbols[k]);
	}
	free(m->v);
	buf_free(&m->reply);
	buf_free(&m->out);
	free(m);
}

void
milters_abort(struct milters *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct milter_one *o = &m->v[i];

		milter_one_say(m, o, MILTER_ABORT);
		o->skip = 0;
		if (o->state == MILTER_ACCEPTED)
			o->state = MILTER_READY;
		/* A session may idle from here on. */
		buf_free(&o->pending);
		milter_conn_rest(&o->conn);
	}
	buf_free(&m->out);
}

/* ---- an event for all ---- */

typedef void (*put_fn)(struct buf *out, const void *data);

/* Of several that want the message held, it is said once. */
static enum milter_verdict
event_for_all(struct milters *m, char event, put_fn put, const void *data)
{
	enum milter_verdict result = MILTER_GO;

	for (size_t i = 0; i < m->n; i++) {
		struct milter_one *o = &m->v[i];
		enum milter_verdict v = milter_one_settled(m, o);

		if (milter_one_wants(o, event)) {
			size_t begun = milter_one_begin(m, o, event);

			put(&m->out, data);
			v = milter_one_finish(m, o, event, begun, NULL);
		} else if (milter_one_may_send(o, event)) {
			/* Macros last longer than their event. */
			buf_truncate(&m->out, milter_one_begin(m, o, event));
			milter_one_queue(m, o);
		}
		if (v == MILTER_REPLY || v == MILTER_DROP)
			return v;
		if (v == MILTER_HOLD)
			result = v;
	}
	return result;
}

static void
put_nothing(struct buf *out, const void *data)
{
	(void)out;
	(void)data;
}

static void
put_text(struct buf *out, const void *data)
{
	milter_put_string(out, *(const struct span *)data);
}

static void
put_argv(struct buf *out, const void *data)
{
	const struct strvec *argv = data;

	for (size_t i = 0; i < argv->n; i++)
		milter_put_string(out, span_of(argv->v[i]));
}

struct peer {
	struct span host;
	const struct sock_addr *addr;
};

static void
put_peer(struct buf *out, const void *data)
{
	const struct peer *p = data;
	char text[SOCK_TEXT_MAX];
	int port;

	milter_put_string(out, p->host);
	if (!p->addr) {
		buf_append_byte(out, 'U');
		return;
	}
	sock_addr_format(p->addr, text);
	port = sock_addr_port(p->addr);
	buf_append_byte(out, strchr(text, ':') ? '6' : '4');
	buf_append_byte(out, (char)(port >> 8));
	buf_append_byte(out, (char)port);
	milter_put_string(out, span_of(text));
}

enum milter_verdict
milters_connect(struct milters *m, struct span host,
		const struct sock_addr *addr)
{
	struct peer p = {host, addr};

	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].state == MILTER_NOT_YET &&
		    !milter_one_start(m, &m->v[i]))
			milter_one_fail(m, &m->v[i]);
	return event_for_all(m, MILTER_CONNECT, put_peer, &p);
}

enum milter_verdict
milters_helo(struct milters *m, struct span name)
{
	return event_for_all(m, MILTER_HELO, put_text, &name);
}

enum milter_verdict
milters_mail(struct milters *m, const struct strvec *argv)
{
	return event_for_all(m, MILTER_MAIL, put_argv, argv);
}

enum milter_verdict
milters_rcpt(struct milters *m, const struct strvec *argv)
{
	return event_for_all(m, MILTER_RCPT, put_argv, argv);
}

bool
milters_want_refused(const struct milters *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (milter_one_is_open(&m->v[i]) &&
		    (m->v[i].protocol & MILTER_RCPT_REJECTED))
			return true;
	return false;
}

void
milters_rcpt_refused(struct milters *m, const struct strvec *argv)
{
	for (size_t i = 0; i < m->n; i++) {
		struct milter_one *o = &m->v[i];
		size_t begun;

		if (!(o->protocol & MILTER_RCPT_REJECTED) ||
		    !milter_one_wants(o, MILTER_RCPT))
			continue;
		begun = milter_one_begin(m, o, MILTER_RCPT);
		put_argv(&m->out, argv);
		milter_one_finish(m, o, MILTER_RCPT, begun, NULL);
	}
}

enum milter_verdict
milters_data(struct milters *m)
{
	return event_for_all(m, MILTER_DATA, put_nothing, NULL);
}

enum milter_verdict
milters_unknown(struct milters *m, struct span verb)
{
	return event_for_all(m, MILTER_UNKNOWN, put_text, &verb);
}

/* ---- content ---- */

/* Name and value; a value without the space that most have in front, unless
 * the milter wants it. */
static void
put_header(struct buf *out, struct span header, bool keep_space)
{
	long colon = span_find(header, ':');
	struct span name = header, value = {"", 0};

	if (colon >= 0) {
		name = span_make(header.data, (size_t)colon);
		value = span_from(header, (size_t)colon + 1);
	}
	if (!keep_space && value.len && value.data[0] == ' ')
		value = span_from(value, 1);
	milter_put_string(out, name);
	milter_put_string(out, value);
}

static enum milter_verdict
send_headers(struct milters *m, struct milter_one *o,
	     const struct milter_content *c)
{
	bool keep = o->protocol & MILTER_LEADING_SPACE;
	enum milter_verdict v = MILTER_GO;
	struct span header;

	for (size_t i = 0;
	     v == MILTER_GO && milter_one_wants(o, MILTER_HEADER) &&
	     c->header(c->arg, i, &header);
	     i++) {
		size_t begun = milter_one_begin(m, o, MILTER_HEADER);

		put_header(&m->out, header, keep);
		v = milter_one_finish(m, o, MILTER_HEADER, begun, NULL);
		if (v == MILTER_HOLD) {
			c->hold(c->arg);
			v = MILTER_GO;
		}
	}
	return v;
}

static enum milter_verdict
send_plain(struct milters *m, struct milter_one *o, char event,
	   const struct milter_content *c)
{
	enum milter_verdict v;

	if (!milter_one_wants(o, event))
		return MILTER_GO;
	v = milter_one_finish(m, o, event, milter_one_begin(m, o, event),
			      event == MILTER_END ? c : NULL);
	if (v == MILTER_HOLD) {
		c->hold(c->arg);
		v = MILTER_GO;
	}
	return v;
}

static enum milter_verdict
send_body(struct milters *m, struct milter_one *o,
	  const struct milter_content *c)
{
	enum milter_verdict v = MILTER_GO;

	while (v == MILTER_GO && milter_one_wants(o, MILTER_BODY)) {
		struct span piece;
		size_t begun;

		if (!c->body(c->arg, MILTER_CHUNK_MAX, &piece)) {
			buf_reset(&m->reply);
			return MILTER_REPLY;
		}
		if (piece.len == 0)
			break;
		begun = milter_one_begin(m, o, MILTER_BODY);
		buf_append_span(&m->out, piece);
		v = milter_one_finish(m, o, MILTER_BODY, begun, NULL);
		if (v == MILTER_HOLD) {
			c->hold(c->arg);
			v = MILTER_GO;
		}
	}
	return v;
}

enum milter_verdict
milters_content(struct milters *m, size_t i, const struct milter_content *c)
{
	struct milter_one *o = &m->v[i];
	enum milter_verdict v = milter_one_settled(m, o);

	/* That was said at an earlier event. */
	if (v == MILTER_HOLD)
		return MILTER_GO;
	if (v == MILTER_GO)
		v = send_headers(m, o, c);
	if (v == MILTER_GO)
		v = send_plain(m, o, MILTER_END_HEADERS, c);
	if (v == MILTER_GO)
		v = send_body(m, o, c);
	if (v == MILTER_GO)
		v = send_plain(m, o, MILTER_END, c);
	/* By default: the milter broke down in the midst of it. */
	if (v == MILTER_HOLD) {
		c->hold(c->arg);
		v = MILTER_GO;
	}
	return v;
}
