/* SPDX-License-Identifier: MIT */
#include "lib/queue/showq_proto.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/htab.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum {
	READ_SIZE = 16 * 1024,
	TEXT_MAX = 256 * 1024, /* one name or value */
};

#define PROTOCOL "mail_queue_list_protocol"

/* ---- to write ---- */

static void
put_text(struct buf *out, const char *s)
{
	buf_append(out, s, strlen(s) + 1);
}

static void
put_pair(struct buf *out, const char *name, const char *value)
{
	put_text(out, name);
	put_text(out, value);
}

static void
put_number(struct buf *out, const char *name, int64_t value)
{
	put_text(out, name);
	buf_printf(out, "%" PRId64, value);
	buf_append_byte(out, '\0');
}

static void
put_address(struct buf *out, const char *name, const char *address)
{
	put_text(out, name);
	if (*address)
		addr_quote(span_of(address), out);
	else
		buf_append_cstr(out, conf->empty_address_recipient);
	buf_append_byte(out, '\0');
}

void
showq_put_greeting(struct buf *out)
{
	put_pair(out, "protocol", PROTOCOL);
	put_text(out, "");
}

void
showq_put_end(struct buf *out)
{
	put_text(out, "");
}

static void
put_recipients(struct buf *out, const struct queue_listing *l)
{
	struct htab *seen = NULL;
	static char there;

	if (l->env->n_rcpts > 1)
		seen = htab_new();
	for (size_t i = 0; i < l->env->n_rcpts; i++) {
		const char *to = l->env->rcpts[i].address;
		const struct why *why = l->last ? &l->last[i] : NULL;

		if (l->state && l->state[i] == RCPT_DONE)
			continue;
		if (seen && htab_get(seen, span_of(to)))
			continue;
		if (seen &&
		    (conf->duplicate_filter_limit <= 0 ||
		     htab_count(seen) < (size_t)conf->duplicate_filter_limit))
			htab_put(seen, span_of(to), &there);
		put_address(out, "recipient", to);
		put_pair(out, "reason",
			 why && why_is_set(why) ? buf_cstr(&why->text) : "");
	}
	if (seen)
		htab_free(seen, NULL);
}

void
showq_put_message(struct buf *out, const struct queue_listing *l, bool active)
{
	put_pair(out, "queue_name", active ? "active" : l->queue_name);
	put_pair(out, "queue_id", l->id);
	put_number(out, "time", l->env->arrival / 1000000);
	put_number(out, "size", l->env->size);
	put_number(out, "forced_expire", l->expire);
	put_address(out, "sender", l->env->sender);
	put_recipients(out, l);
	put_text(out, "");
}

/* ---- to read ---- */

/* More bytes behind what is there; false: none will come. */
static bool
fill(struct showq_reader *r)
{
	ssize_t n;

	if (r->fd < 0 || r->data.len - r->at > TEXT_MAX)
		return false;
	if (r->at) {
		buf_consume(&r->data, r->at);
		r->at = 0;
	}
	if (io_wait_readable(r->fd, io_monotonic() + r->timeout * 1000000LL) <=
	    0)
		return false;
	n = read(r->fd, buf_reserve(&r->data, READ_SIZE), READ_SIZE);
	if (n <= 0)
		return false;
	r->data.len += (size_t)n;
	r->data.data[r->data.len] = '\0';
	return true;
}

/* The next text; it points into the reader until the next call. */
static bool
next_text(struct showq_reader *r, struct span *s)
{
	size_t looked = 0;

	for (;;) {
		const char *p = buf_cstr(&r->data) + r->at;
		size_t len = r->data.len - r->at;
		const char *nul = len > looked
				      ? memchr(p + looked, '\0', len - looked)
				      : NULL;

		if (nul) {
			*s = span_make(p, (size_t)(nul - p));
			r->at += s->len + 1;
			return true;
		}
		looked = len;
		if (!fill(r))
			return false;
	}
}

static bool
read_greeting(struct showq_reader *r)
{
	struct span s;

	if (r->greeted)
		return true;
	r->greeted = true;
	return next_text(r, &s) && span_equal_cstr(s, "protocol") &&
	       next_text(r, &s) && span_equal_cstr(s, PROTOCOL) &&
	       next_text(r, &s) && s.len == 0;
}

static void
message_reset(struct showq_message *m)
{
	buf_reset(&m->queue_name);
	buf_reset(&m->id);
	buf_reset(&m->sender);
	strvec_reset(&m->recipients);
	strvec_reset(&m->reasons);
	m->time = m->size = 0;
	m->expire = false;
}

void
showq_message_free(struct showq_message *m)
{
	buf_free(&m->queue_name);
	buf_free(&m->id);
	buf_free(&m->sender);
	strvec_free(&m->recipients);
	strvec_free(&m->reasons);
}

/* One attribute into m; unknown ones are for later versions. */
static bool
take_attribute(struct showq_message *m, const char *name, struct span value)
{
	int64_t n;

	if (strcmp(name, "queue_name") == 0) {
		buf_set(&m->queue_name, value);
	} else if (strcmp(name, "queue_id") == 0) {
		buf_set(&m->id, value);
	} else if (strcmp(name, "sender") == 0) {
		buf_set(&m->sender, value);
	} else if (strcmp(name, "time") == 0) {
		return num_parse(value, 0, INT64_MAX, &m->time);
	} else if (strcmp(name, "size") == 0) {
		return num_parse(value, 0, INT64_MAX, &m->size);
	} else if (strcmp(name, "forced_expire") == 0) {
		if (!num_parse(value, 0, 1, &n))
			return false;
		m->expire = n == 1;
	} else if (strcmp(name, "recipient") == 0) {
		strvec_add_span(&m->recipients, value);
	} else if (strcmp(name, "reason") == 0) {
		strvec_add_span(&m->reasons, value);
		return m->reasons.n == m->recipients.n;
	}
	return true;
}

enum showq_status
showq_next(struct showq_reader *r, struct showq_message *m)
{
	struct span s;
	char name[32];

	message_reset(m);
	if (!read_greeting(r) || !next_text(r, &s))
		return SHOWQ_ERROR;
	if (s.len == 0)
		return SHOWQ_END;
	while (s.len) {
		if (s.len >= sizeof(name))
			return SHOWQ_ERROR;
		memcpy(name, s.data, s.len);
		name[s.len] = '\0';
		if (!next_text(r, &s) || !take_attribute(m, name, s) ||
		    !next_text(r, &s))
			return SHOWQ_ERROR;
	}
	return m->reasons.n == m->recipients.n && m->id.len ? SHOWQ_MESSAGE
							    : SHOWQ_ERROR;
}
