/* SPDX-License-Identifier: MIT */
/*
 * socketmap:inet:host:port:name, socketmap:unix:path:name - netstrings ask
 * and answer (socketmap_table(5)).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/table/table_impl.h"
#include "lib/table/table_peer.h"

enum {
	REPLY_LIMIT = 100000, /* bytes of a reply */
	LENGTH_DIGITS = 8,
};

struct socketmap {
	struct table_peer *peer;
	char *map; /* the name that is asked for */
};

static bool
open_socketmap(struct table *t)
{
	struct span spec = span_of(t->name);
	long first = span_find(spec, ':'), last = span_rfind(spec, ':');
	struct span kind = span_make(spec.data, first < 0 ? 0 : (size_t)first);
	bool is_unix = span_equal_cstr(kind, "unix");
	struct socketmap *m;
	struct table_peer *peer;
	struct span endpoint;
	char *error = NULL;

	if (first < 0 || last <= first)
		return table_fail(t,
				  "open %s: need inet:host:port:name or "
				  "unix:path:name",
				  t->spec);
	if (!is_unix && !span_equal_cstr(kind, "inet"))
		return table_fail(t, "open %s: invalid transport name: %.*s",
				  t->spec, SPAN_ARG(kind));
	endpoint = span_make(spec.data + first + 1, (size_t)(last - first) - 1);
	peer = table_peer_open(is_unix, endpoint, &error);
	if (!peer) {
		table_fail(t, "open %s: %s", t->spec, error);
		free(error);
		return false;
	}
	m = mem_alloc(sizeof(*m));
	m->peer = peer;
	m->map = mem_strdup(spec.data + last + 1);
	t->data = m;
	return true;
}

static void
close_socketmap(struct table *t)
{
	struct socketmap *m = t->data;

	table_peer_free(m->peer);
	free(m->map);
	free(m);
	t->data = NULL;
}

enum parse {
	PARSE_MORE,
	PARSE_DONE,
	PARSE_BAD,
	PARSE_TOO_LONG,
};

/* "12:some content," */
static enum parse
parse_netstring(struct span in, struct span *content)
{
	long colon = span_find(in, ':');
	int64_t len;

	for (size_t i = 0; i < in.len && (colon < 0 || i < (size_t)colon); i++)
		if (in.data[i] < '0' || in.data[i] > '9')
			return PARSE_BAD;
	if (colon > LENGTH_DIGITS || (colon < 0 && in.len > LENGTH_DIGITS))
		return PARSE_TOO_LONG;
	if (colon < 0)
		return PARSE_MORE;
	if (!num_parse(span_make(in.data, (size_t)colon), 0, INT32_MAX, &len))
		return PARSE_BAD;
	if (len > REPLY_LIMIT)
		return PARSE_TOO_LONG;
	in = span_from(in, (size_t)colon + 1);
	if (in.len <= (size_t)len)
		return PARSE_MORE;
	if (in.data[len] != ',')
		return PARSE_BAD;
	*content = span_make(in.data, (size_t)len);
	return PARSE_DONE;
}

enum outcome {
	GOT_REPLY,
	GOT_GARBAGE, /* logged */
	GOT_NOTHING, /* errno, 0 at the end */
};

static enum outcome
read_reply(struct table *t, struct table_peer *p, struct span *content)
{
	for (;;) {
		enum parse st = parse_netstring(buf_span(&p->in), content);

		if (st == PARSE_DONE)
			return GOT_REPLY;
		if (st != PARSE_MORE) {
			log_warn("table %s lookup error: input %s", t->spec,
				 st == PARSE_BAD ? "format error"
						 : "exceeds size limit");
			table_peer_disconnect(p);
			return GOT_GARBAGE;
		}
		if (!table_peer_read(p))
			return GOT_NOTHING;
	}
}

static bool
ask(struct table *t, struct span key, struct span *content)
{
	const struct socketmap *m = t->data;
	struct buf question = BUF_INIT;
	enum outcome got = GOT_NOTHING;

	buf_printf(&question, "%zu:%s ", strlen(m->map) + 1 + key.len, m->map);
	buf_append_span(&question, key);
	buf_append_byte(&question, ',');
	for (int i = 0; i < TABLE_PEER_TRIES && got == GOT_NOTHING; i++) {
		if (!table_peer_ask(m->peer, buf_span(&question))) {
			log_warn("connect to %s: %m", m->peer->name);
			break;
		}
		got = read_reply(t, m->peer, content);
	}
	if (got == GOT_NOTHING)
		log_warn("table %s lookup error: %s", t->spec,
			 errno ? strerror(errno) : "unexpected disconnect");
	buf_free(&question);
	return got == GOT_REPLY;
}

static enum table_status
take_reply(const struct table *t, struct span reply, struct buf *value,
	   struct why *why)
{
	static const struct {
		const char *word, *what;
	} errors[] = {
	    {"TEMP", "temporary"},
	    {"TIMEOUT", "timeout"},
	    {"PERM", "permanent"},
	};
	long space = span_find(reply, ' ');
	struct span word =
	    span_make(reply.data, space < 0 ? reply.len : (size_t)space);
	struct span text =
	    span_from(reply, space < 0 ? reply.len : (size_t)space + 1);
	const char *what = "unknown";

	if (span_equal_cstr(word, "NOTFOUND"))
		return TABLE_ABSENT;
	/* "OK" that forgot its data has none. */
	if (span_equal_cstr(word, "OK")) {
		buf_set(value, text);
		return space < 0 ? TABLE_ABSENT : TABLE_FOUND;
	}
	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		if (span_equal_cstr(word, errors[i].word))
			what = errors[i].what;
	log_warn("%s socketmap server %s error%s%.*s", t->spec, what,
		 text.len ? ": " : "", SPAN_ARG(text));
	return table_retry(why);
}

static enum table_status
get_socketmap(struct table *t, struct span key, struct buf *value,
	      struct why *why)
{
	const struct socketmap *m = t->data;
	enum table_status status;
	struct span reply;

	if (!ask(t, key, &reply))
		return table_retry(why);
	status = take_reply(t, reply, value, why);
	buf_reset(&m->peer->in);
	return status;
}

const struct table_type table_type_socketmap = {
    .name = "socketmap",
    .pattern = true,
    .open = open_socketmap,
    .get = get_socketmap,
    .close = close_socketmap,
};
