/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/milter/milter_conn.h"
#include "lib/milter/milter_macros.h"
#include "lib/sys/io.h"

enum {
	/* A milter that is busy may say so for a while: so many times its
	 * time limit. */
	PROGRESS_MAX = 10,
	/* Packets that change one message. */
	CHANGES_MAX = 200000,
};

#define TEXT_REJECT "550 5.7.1 Command rejected"
#define TEXT_TEMPFAIL "451 4.7.1 Service unavailable - try again later"
#define TEXT_UNAVAILABLE "550 5.5.0 Service unavailable"
#define TEXT_SETUP "451 4.3.5 Server configuration problem - try again later"
#define TEXT_SHUTDOWN "421 4.7.0 Server closing connection"

enum state {
	NOT_YET,  /* connected */
	READY,
	ACCEPTED, /* the rest of this message */
	ENDED,    /* no more events: verdict and reply are for good */
};

struct one {
	const struct milter_spec *spec;
	struct milter_conn conn;
	enum state state;
	enum milter_verdict verdict; /* of ENDED */
	struct buf reply;
	uint32_t version, protocol;
	struct buf symbols[MILTER_STAGES];
	bool chosen[MILTER_STAGES]; /* symbols are the milter's */
	char skip; /* the event that it does not want until the message ends */
};

struct milters {
	struct one *v;
	size_t n;
	milter_macro_fn macro;
	void *arg;
	const char *process;
	struct buf reply;
	struct buf out; /* packets in the making */
};

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

static bool
send_packets(struct milters *m, struct one *o, int64_t timeout)
{
	return milter_conn_write(&o->conn, buf_span(&m->out),
				 io_monotonic() + timeout);
}

static bool
is_open(const struct one *o)
{
	return o->state == READY || o->state == ACCEPTED;
}

/* A packet without data that nobody answers. */
static void
say(struct milters *m, struct one *o, char event)
{
	if (!is_open(o))
		return;
	buf_reset(&m->out);
	milter_packet_end(&m->out, milter_packet_begin(&m->out, event));
	/* When it is gone, the next event finds out. */
	send_packets(m, o, o->spec->command_timeout);
}

void
milters_free(struct milters *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		say(m, &m->v[i], MILTER_QUIT);
		milter_conn_close(&m->v[i].conn);
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
		struct one *o = &m->v[i];

		say(m, o, MILTER_ABORT);
		o->skip = 0;
		if (o->state == ACCEPTED)
			o->state = READY;
	}
}

/* ---- verdicts ---- */

static void
warn(const struct milters *m, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	if (m->process)
		log_info_as(m->process, "warning: %s", buf_cstr(&text));
	else
		log_warn("%s", buf_cstr(&text));
	buf_free(&text);
}

static enum milter_verdict
refuse(struct milters *m, const char *text)
{
	buf_set_cstr(&m->reply, text);
	return MILTER_REPLY;
}

/* This one gets no more events; what it says from now on is settled. */
static enum milter_verdict
end_with(struct milters *m, struct one *o, enum milter_verdict verdict)
{
	milter_conn_close(&o->conn);
	o->state = ENDED;
	o->verdict = verdict;
	buf_set(&o->reply, buf_span(&m->reply));
	return verdict;
}

static enum milter_verdict
default_action(struct milters *m, struct one *o)
{
	switch (o->spec->action) {
	case MILTER_DEFAULT_ACCEPT:
		return end_with(m, o, MILTER_GO);
	case MILTER_DEFAULT_QUARANTINE:
		return end_with(m, o, MILTER_HOLD);
	case MILTER_DEFAULT_REJECT:
		return end_with(m, o, refuse(m, TEXT_UNAVAILABLE));
	case MILTER_DEFAULT_SHUTDOWN:
		return end_with(m, o, refuse(m, TEXT_SHUTDOWN));
	default:
		return end_with(m, o, refuse(m, TEXT_TEMPFAIL));
	}
}

static enum milter_verdict
cannot_talk(struct milters *m, struct one *o)
{
	warn(m, "milter %s: %s", o->spec->name, buf_cstr(&o->conn.error));
	return default_action(m, o);
}

/* ---- the greeting ---- */

/* What a milter of this version may choose from. */
static uint32_t
offered(int version)
{
	switch (version) {
	case 2:
		return 0x7f;
	case 3:
		return 0x17f;
	case 4:
		return 0x37f;
	default:
		return 0x1fffff;
	}
}

static void
take_options(struct one *o, const struct milter_options *got)
{
	o->version = got->version;
	o->protocol = got->protocol & offered(o->spec->version);
	if (o->spec->no_header_reply)
		o->protocol |= MILTER_NR_HEADER;
	for (size_t i = 0; i < MILTER_STAGES; i++) {
		o->chosen[i] = got->symbols[i].data != NULL;
		buf_set(&o->symbols[i], got->symbols[i]);
	}
	o->state = READY;
}

static bool
negotiate(struct milters *m, struct one *o)
{
	int64_t deadline = io_monotonic() + o->spec->connect_timeout;
	uint32_t version = (uint32_t)o->spec->version;
	struct milter_options got;
	struct span data;
	size_t begun;
	char type;

	buf_reset(&m->out);
	begun = milter_packet_begin(&m->out, MILTER_OPTIONS);
	milter_put_number(&m->out, version);
	milter_put_number(&m->out, MILTER_ACTIONS);
	milter_put_number(&m->out, offered(o->spec->version));
	milter_packet_end(&m->out, begun);
	/* A failing write shows as a failing read. */
	milter_conn_write(&o->conn, buf_span(&m->out), deadline);
	if (!milter_conn_read(&o->conn, MILTER_OPTIONS, deadline, &type,
			      &data)) {
		warn(m, "milter %s: %s", o->spec->name,
		     buf_cstr(&o->conn.error));
		warn(m, "milter %s: read error in initial handshake",
		     o->spec->name);
		return false;
	}
	if (type != MILTER_OPTIONS || !milter_parse_options(data, &got)) {
		warn(m,
		     "milter %s: unexpected reply \"%c\" in initial handshake",
		     o->spec->name, type);
		return false;
	}
	if (got.version > version) {
		warn(m, "milter %s: protocol version %lu is not supported",
		     o->spec->name, (unsigned long)got.version);
		return false;
	}
	take_options(o, &got);
	return true;
}

static bool
start(struct milters *m, struct one *o)
{
	if (!milter_conn_open(&o->conn, o->spec)) {
		warn(m, "connect to Milter service %s: %s", o->spec->name,
		     buf_cstr(&o->conn.error));
		return false;
	}
	return negotiate(m, o);
}

/* ---- one event ---- */

/* Does it want the event, and will it answer? By enum milter_event. */
struct event_rule {
	char event;
	uint32_t no, no_reply;
	uint32_t version; /* that knows it */
};

static const struct event_rule rules[] = {
    {MILTER_CONNECT, MILTER_NO_CONNECT, MILTER_NR_CONNECT, 0},
    {MILTER_HELO, MILTER_NO_HELO, MILTER_NR_HELO, 0},
    {MILTER_MAIL, MILTER_NO_MAIL, MILTER_NR_MAIL, 0},
    {MILTER_RCPT, MILTER_NO_RCPT, MILTER_NR_RCPT, 0},
    {MILTER_DATA, MILTER_NO_DATA, MILTER_NR_DATA, 4},
    {MILTER_UNKNOWN, MILTER_NO_UNKNOWN, MILTER_NR_UNKNOWN, 3},
    {MILTER_HEADER, MILTER_NO_HEADERS, MILTER_NR_HEADER, 0},
    {MILTER_END_HEADERS, MILTER_NO_END_HEADERS, MILTER_NR_END_HEADERS, 0},
    {MILTER_BODY, MILTER_NO_BODY, MILTER_NR_BODY, 0},
    {MILTER_END, 0, 0, 0},
};

static const struct event_rule *
rule_of(char event)
{
	const struct event_rule *r = rules;

	while (r->event != event)
		r++;
	return r;
}

static bool
wants(const struct one *o, const struct event_rule *r)
{
	return o->state == READY && !(o->protocol & r->no) &&
	       o->version >= r->version && o->skip != r->event;
}

/* The packets for an event, macros first, in m->out; the caller puts in the
 * data and ends the packet. */
static size_t
begin_event(struct milters *m, struct one *o, char event)
{
	int stage = milter_macros_stage(event);
	struct span names = {NULL, 0};

	if (stage >= 0 && o->chosen[stage])
		names = span_of(buf_cstr(&o->symbols[stage]));
	buf_reset(&m->out);
	milter_macros_put(&m->out, event, names, m->macro, m->arg);
	return milter_packet_begin(&m->out, event);
}

/* Before there is a message. */
static bool
is_early(char event)
{
	return event == MILTER_CONNECT || event == MILTER_HELO;
}

static enum milter_verdict
take_refusal(struct milters *m, struct one *o, char event, const char *text)
{
	refuse(m, text);
	return is_early(event) ? end_with(m, o, MILTER_REPLY) : MILTER_REPLY;
}

static enum milter_verdict
take_smtp_reply(struct milters *m, struct one *o, char event, struct span text)
{
	struct buf reply = BUF_INIT;
	enum milter_verdict v;

	if (milter_parse_smtp(text, &reply)) {
		v = take_refusal(m, o, event, buf_cstr(&reply));
	} else {
		warn(m, "milter %s: malformed reply: %.*s", o->spec->name,
		     SPAN_ARG(text));
		v = end_with(m, o, refuse(m, TEXT_SETUP));
	}
	buf_free(&reply);
	return v;
}

static enum milter_verdict
take_discard(struct milters *m, struct one *o, char event)
{
	if (is_early(event)) {
		warn(m,
		     "milter %s: DISCARD action is not allowed for connect or "
		     "helo",
		     o->spec->name);
		return MILTER_GO;
	}
	o->state = ACCEPTED;
	return MILTER_DROP;
}

static enum milter_verdict
take_accept(struct milters *m, struct one *o, char event)
{
	if (is_early(event))
		return end_with(m, o, MILTER_GO);
	o->state = ACCEPTED;
	return MILTER_GO;
}

static enum milter_verdict
unexpected(struct milters *m, struct one *o, char event, char type)
{
	warn(m, "milter %s: unexpected filter response %s after event %s",
	     o->spec->name, milter_answer_name(type),
	     milter_event_name(event));
	return default_action(m, o);
}

/* An answer that ends the event. */
static enum milter_verdict
take_answer(struct milters *m, struct one *o, char event,
	    const struct milter_reply *r)
{
	switch (r->type) {
	case MILTER_CONTINUE:
		return MILTER_GO;
	case MILTER_SKIP:
		o->skip = event;
		return MILTER_GO;
	case MILTER_ACCEPT:
		return take_accept(m, o, event);
	case MILTER_DISCARD:
		return take_discard(m, o, event);
	case MILTER_REJECT:
		return take_refusal(m, o, event, TEXT_REJECT);
	case MILTER_TEMPFAIL:
		return take_refusal(m, o, event, TEXT_TEMPFAIL);
	case MILTER_REPLY_CODE:
		return take_smtp_reply(m, o, event, r->text);
	case MILTER_SHUTDOWN:
		return end_with(m, o, refuse(m, TEXT_SHUTDOWN));
	default:
		return unexpected(m, o, event, r->type);
	}
}

/* Is it one that changes the message, and may come now? */
static bool
is_change(char type)
{
	return memchr("+-2behim", type, 8) != NULL;
}

/* Read answers until the event is over. content: at MILTER_END. */
static enum milter_verdict
await_answer(struct milters *m, struct one *o, char event, int64_t timeout,
	     const struct milter_content *content)
{
	int64_t last = io_monotonic() + PROGRESS_MAX * timeout;
	bool hold = false, space = !(o->protocol & MILTER_LEADING_SPACE);

	for (size_t i = 0; i < CHANGES_MAX; i++) {
		int64_t deadline = io_monotonic() + timeout;
		struct milter_reply r;
		enum milter_verdict v;
		struct span data;
		char type;

		if (deadline > last)
			deadline = last;
		if (!milter_conn_read(&o->conn, event, deadline, &type, &data))
			return cannot_talk(m, o);
		if (!milter_parse_reply(type, data, &r))
			return unexpected(m, o, event, type);
		if (type == MILTER_PROGRESS)
			continue;
		if (type == MILTER_QUARANTINE) {
			hold = true;
			if (content)
				content->hold(content->arg);
			continue;
		}
		if (content && is_change(type)) {
			buf_reset(&m->reply);
			if (!content->change(content->arg, &r, space))
				return MILTER_REPLY;
			continue;
		}
		v = take_answer(m, o, event, &r);
		return hold && !content && v == MILTER_GO ? MILTER_HOLD : v;
	}
	return unexpected(m, o, event, MILTER_PROGRESS);
}

/* What begin_event() began is complete: send it, and get the answer. */
static enum milter_verdict
finish_event(struct milters *m, struct one *o, char event, size_t begun,
	     const struct milter_content *content)
{
	const struct event_rule *r = rule_of(event);
	int64_t timeout = o->spec->command_timeout;

	if (event == MILTER_CONNECT)
		timeout = o->spec->connect_timeout;
	else if (strchr("LNBE", event))
		timeout = o->spec->content_timeout;
	milter_packet_end(&m->out, begun);
	if (!send_packets(m, o, timeout)) {
		if (errno == ETIMEDOUT || (o->protocol & r->no_reply)) {
			buf_reset(&o->conn.error);
			buf_printf(&o->conn.error, "can't send %s: %m",
				   milter_event_name(event));
			return cannot_talk(m, o);
		}
	} else if (o->protocol & r->no_reply) {
		return MILTER_GO;
	}
	return await_answer(m, o, event, timeout, content);
}

/* ---- an event for all ---- */

static enum milter_verdict
settled(struct milters *m, const struct one *o)
{
	if (o->state != ENDED)
		return MILTER_GO;
	if (o->verdict == MILTER_REPLY)
		buf_set(&m->reply, buf_span(&o->reply));
	return o->verdict;
}

typedef void (*put_fn)(struct buf *out, const void *data);

/* Of several that want the message held, it is said once. */
static enum milter_verdict
event_for_all(struct milters *m, char event, put_fn put, const void *data)
{
	enum milter_verdict result = MILTER_GO;

	for (size_t i = 0; i < m->n; i++) {
		struct one *o = &m->v[i];
		enum milter_verdict v = settled(m, o);

		if (wants(o, rule_of(event))) {
			size_t begun = begin_event(m, o, event);

			put(&m->out, data);
			v = finish_event(m, o, event, begun, NULL);
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
		if (m->v[i].state == NOT_YET && !start(m, &m->v[i]))
			default_action(m, &m->v[i]);
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
		if (is_open(&m->v[i]) &&
		    (m->v[i].protocol & MILTER_RCPT_REJECTED))
			return true;
	return false;
}

void
milters_rcpt_refused(struct milters *m, const struct strvec *argv)
{
	for (size_t i = 0; i < m->n; i++) {
		struct one *o = &m->v[i];
		size_t begun;

		if (!(o->protocol & MILTER_RCPT_REJECTED) ||
		    !wants(o, rule_of(MILTER_RCPT)))
			continue;
		begun = begin_event(m, o, MILTER_RCPT);
		put_argv(&m->out, argv);
		finish_event(m, o, MILTER_RCPT, begun, NULL);
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
send_headers(struct milters *m, struct one *o, const struct milter_content *c)
{
	bool keep = o->protocol & MILTER_LEADING_SPACE;
	enum milter_verdict v = MILTER_GO;
	struct span header;

	for (size_t i = 0;
	     v == MILTER_GO && wants(o, rule_of(MILTER_HEADER)) &&
	     c->header(c->arg, i, &header);
	     i++) {
		size_t begun = begin_event(m, o, MILTER_HEADER);

		put_header(&m->out, header, keep);
		v = finish_event(m, o, MILTER_HEADER, begun, NULL);
		if (v == MILTER_HOLD) {
			c->hold(c->arg);
			v = MILTER_GO;
		}
	}
	return v;
}

static enum milter_verdict
send_plain(struct milters *m, struct one *o, char event,
	   const struct milter_content *c)
{
	enum milter_verdict v;

	if (!wants(o, rule_of(event)))
		return MILTER_GO;
	v = finish_event(m, o, event, begin_event(m, o, event),
			 event == MILTER_END ? c : NULL);
	if (v == MILTER_HOLD) {
		c->hold(c->arg);
		v = MILTER_GO;
	}
	return v;
}

static enum milter_verdict
send_body(struct milters *m, struct one *o, const struct milter_content *c)
{
	enum milter_verdict v = MILTER_GO;

	while (v == MILTER_GO && wants(o, rule_of(MILTER_BODY))) {
		struct span piece;
		size_t begun;

		if (!c->body(c->arg, MILTER_CHUNK_MAX, &piece)) {
			buf_reset(&m->reply);
			return MILTER_REPLY;
		}
		if (piece.len == 0)
			break;
		begun = begin_event(m, o, MILTER_BODY);
		buf_append_span(&m->out, piece);
		v = finish_event(m, o, MILTER_BODY, begun, NULL);
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
	struct one *o = &m->v[i];
	enum milter_verdict v = settled(m, o);

	if (v == MILTER_HOLD) {
		c->hold(c->arg);
		return MILTER_GO;
	}
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
