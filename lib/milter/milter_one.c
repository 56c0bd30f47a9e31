/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_one.h"

#include <errno.h>

#include "lib/base/log.h"
#include "lib/milter/milter_macros.h"
#include "lib/sys/io.h"

enum {
	/* A milter that is busy may say so for a while: so many times its
	 * time limit. */
	PROGRESS_MAX = 10,
	/* Packets that change one message, and those after a change that
	 * could not be made. */
	CHANGES_MAX = 200000,
	CHANGES_MAX_FAILED = 1000,
	PENDING_MAX = 64 * 1024, /* bytes that wait for company */
};

#define TEXT_REJECT "550 5.7.1 Command rejected"
#define TEXT_TEMPFAIL "451 4.7.1 Service unavailable - try again later"
#define TEXT_UNAVAILABLE "550 5.5.0 Service unavailable"
#define TEXT_SETUP "451 4.3.5 Server configuration problem - try again later"
#define TEXT_SHUTDOWN "421 4.7.0 Server closing connection"

void
milter_one_queue(struct milters *m, struct milter_one *o)
{
	buf_append_span(&o->pending, buf_span(&m->out));
	buf_reset(&m->out);
}

/* One write for all that has come together. */
static bool
send_all(struct milter_one *o, int64_t timeout)
{
	bool ok = milter_conn_write(&o->conn, buf_span(&o->pending),
				    io_monotonic() + timeout);

	buf_reset(&o->pending);
	return ok;
}

bool
milter_one_is_open(const struct milter_one *o)
{
	return o->state == MILTER_READY || o->state == MILTER_ACCEPTED;
}

void
milter_one_say(struct milters *m, struct milter_one *o, char event)
{
	if (!milter_one_is_open(o))
		return;
	buf_reset(&m->out);
	milter_packet_end(&m->out, milter_packet_begin(&m->out, event));
	/* When it is gone, the next event finds out. */
	milter_one_queue(m, o);
	send_all(o, o->spec->command_timeout);
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
end_with(struct milters *m, struct milter_one *o, enum milter_verdict verdict)
{
	milter_conn_close(&o->conn);
	buf_free(&o->pending);
	o->state = MILTER_ENDED;
	o->verdict = verdict;
	buf_set(&o->reply, buf_span(&m->reply));
	return verdict;
}

enum milter_verdict
milter_one_fail(struct milters *m, struct milter_one *o)
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
cannot_talk(struct milters *m, struct milter_one *o)
{
	warn(m, "milter %s: %s", o->spec->name, buf_cstr(&o->conn.error));
	return milter_one_fail(m, o);
}

enum milter_verdict
milter_one_settled(struct milters *m, const struct milter_one *o)
{
	if (o->state != MILTER_ENDED)
		return MILTER_GO;
	if (o->verdict == MILTER_REPLY)
		buf_set(&m->reply, buf_span(&o->reply));
	return o->verdict;
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
take_options(struct milter_one *o, const struct milter_options *got)
{
	o->version = got->version;
	o->protocol = got->protocol & offered(o->spec->version);
	if (o->spec->no_header_reply)
		o->protocol |= MILTER_NR_HEADER;
	for (size_t i = 0; i < MILTER_STAGES; i++) {
		o->chosen[i] = got->symbols[i].data != NULL;
		buf_set(&o->symbols[i], got->symbols[i]);
	}
	o->state = MILTER_READY;
}

static bool
agree(struct milters *m, struct milter_one *o, const struct milter_options *got)
{
	if (got->version > (uint32_t)o->spec->version) {
		warn(m,
		     "milter %s: protocol version %lu conflict with MTA "
		     "protocol version %d",
		     o->spec->name, (unsigned long)got->version,
		     o->spec->version);
		return false;
	}
	if (got->actions & ~(uint32_t)MILTER_ACTIONS) {
		warn(m,
		     "milter %s: request mask 0x%lx conflict with MTA request "
		     "mask 0x%x",
		     o->spec->name, (unsigned long)got->actions,
		     (unsigned)MILTER_ACTIONS);
		return false;
	}
	if (got->version < 2)
		warn(m, "milter %s: unexpected protocol version %lu",
		     o->spec->name, (unsigned long)got->version);
	if (got->unknown_stages)
		warn(m, "milter %s: ignoring unknown macro type %lu",
		     o->spec->name, (unsigned long)got->unknown_stage);
	take_options(o, got);
	return true;
}

static bool
negotiate(struct milters *m, struct milter_one *o)
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
	if (type != MILTER_OPTIONS) {
		warn(m,
		     "milter %s: unexpected reply \"%c\" in initial handshake",
		     o->spec->name, type);
		return false;
	}
	if (!milter_parse_options(data, &got)) {
		warn(m, "milter %s: input packet too short for network long",
		     o->spec->name);
		warn(m, "milter %s: read error in initial handshake",
		     o->spec->name);
		return false;
	}
	return agree(m, o, &got);
}

bool
milter_one_start(struct milters *m, struct milter_one *o)
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

bool
milter_one_may_send(const struct milter_one *o, char event)
{
	return o->state == MILTER_READY &&
	       o->version >= rule_of(event)->version && o->skip != event;
}

bool
milter_one_wants(const struct milter_one *o, char event)
{
	return milter_one_may_send(o, event) &&
	       !(o->protocol & rule_of(event)->no);
}

/* The packets for an event, macros first, in m->out; the caller puts in the
 * data and ends the packet. */
size_t
milter_one_begin(struct milters *m, struct milter_one *o, char event)
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
take_refusal(struct milters *m, struct milter_one *o, char event,
	     const char *text)
{
	refuse(m, text);
	return is_early(event) ? end_with(m, o, MILTER_REPLY) : MILTER_REPLY;
}

static enum milter_verdict
take_smtp_reply(struct milters *m, struct milter_one *o, char event,
		struct span text)
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
take_discard(struct milters *m, struct milter_one *o, char event)
{
	if (is_early(event)) {
		warn(m,
		     "milter %s: DISCARD action is not allowed for connect or "
		     "helo",
		     o->spec->name);
		return MILTER_GO;
	}
	o->state = MILTER_ACCEPTED;
	return MILTER_DROP;
}

static enum milter_verdict
take_accept(struct milters *m, struct milter_one *o, char event)
{
	if (is_early(event))
		return end_with(m, o, MILTER_GO);
	o->state = MILTER_ACCEPTED;
	return MILTER_GO;
}

static enum milter_verdict
unexpected(struct milters *m, struct milter_one *o, char event, char type)
{
	warn(m, "milter %s: unexpected filter response %s after event %s",
	     o->spec->name, milter_answer_name(type), milter_event_name(event));
	return milter_one_fail(m, o);
}

/* An answer that ends the event. */
static enum milter_verdict
take_answer(struct milters *m, struct milter_one *o, char event,
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
await_answer(struct milters *m, struct milter_one *o, char event,
	     int64_t timeout, const struct milter_content *content)
{
	int64_t last = io_monotonic() + PROGRESS_MAX * timeout;
	bool hold = false, space = !(o->protocol & MILTER_LEADING_SPACE);
	size_t failed = 0;

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
			/* What fails is said when the milter is done. */
			if (failed || !content->change(content->arg, &r, space))
				failed++;
			if (failed <= CHANGES_MAX_FAILED)
				continue;
			milter_one_fail(m, o);
			buf_reset(&m->reply);
			return MILTER_REPLY;
		}
		v = take_answer(m, o, event, &r);
		if (failed) {
			buf_reset(&m->reply);
			return MILTER_REPLY;
		}
		return hold && !content && v == MILTER_GO ? MILTER_HOLD : v;
	}
	return unexpected(m, o, event, MILTER_PROGRESS);
}

/* What milter_one_begin() began is complete: send it, and get the answer. */
enum milter_verdict
milter_one_finish(struct milters *m, struct milter_one *o, char event,
		  size_t begun, const struct milter_content *content)
{
	const struct event_rule *r = rule_of(event);
	int64_t timeout = o->spec->command_timeout;

	if (event == MILTER_CONNECT)
		timeout = o->spec->connect_timeout;
	else if (strchr("LNBE", event))
		timeout = o->spec->content_timeout;
	milter_packet_end(&m->out, begun);
	milter_one_queue(m, o);
	if ((o->protocol & r->no_reply) && o->pending.len < PENDING_MAX)
		return MILTER_GO;
	/* That it has gone shows when the answer does not come. */
	if (!send_all(o, timeout) &&
	    (errno == ETIMEDOUT || (o->protocol & r->no_reply))) {
		buf_reset(&o->conn.error);
		buf_printf(&o->conn.error, "can't send %s: %m",
			   milter_event_name(event));
		return cannot_talk(m, o);
	}
	if (o->protocol & r->no_reply)
		return MILTER_GO;
	return await_answer(m, o, event, timeout, content);
}
