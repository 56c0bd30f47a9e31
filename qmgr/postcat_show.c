/* SPDX-License-Identifier: MIT */
#include "qmgr/postcat_show.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

enum { READ_SIZE = 64 * 1024 };

/* The numbers that Postfix gives to its records, for -d. */
enum record {
	REC_ATTR = 'A',
	REC_DONE = 'D',
	REC_END = 'E',
	REC_FULL_NAME = 'F',
	REC_SIZE = 'C',
	REC_CONTENT = 'M',
	REC_LINE = 'N',
	REC_ORIG_TO = 'O',
	REC_RCPT = 'R',
	REC_SENDER = 'S',
	REC_TIME = 'T',
	REC_EXTRACTED = 'X',
	REC_FILTER = 'L',
};

static void
prefix(const struct postcat *p, enum record type, int64_t offset)
{
	if (p->offsets)
		printf("%9" PRId64 " ", offset);
	if (p->types)
		printf("%3d ", (int)type);
}

static void record(const struct postcat *p, enum record type, int64_t offset,
		   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
record(const struct postcat *p, enum record type, int64_t offset,
       const char *fmt, ...)
{
	va_list ap;

	if (!p->envelope)
		return;
	prefix(p, type, offset);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- envelope ---- */

/* Nothing when there is no value. */
static void
attribute(const struct postcat *p, int64_t at, const char *name,
	  const char *value)
{
	if (value)
		record(p, REC_ATTR, at, "named_attribute: %s=%s", name, value);
}

static void
number(const struct postcat *p, int64_t at, const char *name, long value)
{
	if (value)
		record(p, REC_ATTR, at, "named_attribute: %s=%ld", name, value);
}

static void
show_time(const struct postcat *p, int64_t at, int64_t usec)
{
	time_t t = (time_t)(usec / 1000000);
	char text[64] = "";
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(text, sizeof(text), "%a %b %e %H:%M:%S %Y", &tm);
	record(p, REC_TIME, at, "message_arrival_time: %s", text);
	record(p, REC_ATTR, at, "create_time: %s", text);
}

static void
show_client(const struct postcat *p, int64_t at, const struct envelope *env)
{
	attribute(p, at, "encoding", env->encoding);
	attribute(p, at, "log_client_name", env->client_name);
	attribute(p, at, "log_client_address", env->client_addr);
	attribute(p, at, "log_client_port", env->client_port);
	if (env->client_name && env->client_addr)
		record(p, REC_ATTR, at,
		       "named_attribute: log_message_origin=%s[%s]",
		       env->client_name, env->client_addr);
	attribute(p, at, "log_helo_name", env->client_helo);
	attribute(p, at, "log_protocol_name", env->client_proto);
	attribute(p, at, "client_name", env->client_name);
	attribute(p, at, "client_address", env->client_addr);
	attribute(p, at, "client_port", env->client_port);
	attribute(p, at, "helo_name", env->client_helo);
	attribute(p, at, "protocol_name", env->client_proto);
	attribute(p, at, "sasl_method", env->sasl_method);
	attribute(p, at, "sasl_username", env->sasl_username);
	attribute(p, at, "sasl_sender", env->sasl_sender);
}

static void
show_recipient(const struct postcat *p, int64_t at, const struct rcpt *r,
	       bool done)
{
	number(p, at, "notify_flags", r->dsn_notify);
	attribute(p, at, "dsn_orig_rcpt", r->dsn_orcpt);
	if (r->transport)
		record(p, REC_ATTR, at, "named_attribute: transport=%s:%s",
		       r->transport, r->nexthop ? r->nexthop : "");
	if (r->orig_to)
		record(p, REC_ORIG_TO, at, "original_recipient: %s",
		       r->orig_to);
	record(p, done ? REC_DONE : REC_RCPT, at, "%s: %s",
	       done ? "done_recipient" : "recipient", r->address);
}

static void
show_envelope(const struct postcat *p, const struct queue_place *place,
	      const struct envelope *env, const uint8_t *state)
{
	int64_t at = place->content_offset + place->content_length;

	if (!(env->flags & ENVELOPE_MAILDROP))
		record(p, REC_SIZE, place->offset,
		       "message_size: %15" PRId64 " %15" PRId64
		       " %15zu %15u %15" PRId64 " %15d",
		       env->size, place->content_offset, env->n_rcpts,
		       env->flags, place->content_length, 0);
	show_time(p, at, env->arrival);
	attribute(p, at, "rewrite_context", env->rewrite);
	attribute(p, at, "envelope_id", env->dsn_envid);
	number(p, at, "ret_flags", env->dsn_ret);
	if (env->full_name)
		record(p, REC_FULL_NAME, at, "sender_fullname: %s",
		       env->full_name);
	record(p, REC_SENDER, at, "sender: %s", env->sender);
	if (env->filter)
		record(p, REC_FILTER, at, "content_filter: %s", env->filter);
	show_client(p, at, env);
	for (size_t i = 0; i < env->n_rcpts; i++)
		show_recipient(p, at, &env->rcpts[i],
			       state && state[i] == RCPT_DONE);
}

/* ---- content ---- */

struct content {
	const struct postcat *p;
	int64_t offset; /* of the line */
	bool in_body;
	bool after_header; /* a header line came before: it may be continued */
	bool line_start;
	bool print; /* this line */
};

/* "Name:", or what continues one. */
static bool
is_header(const struct content *c, struct span line)
{
	size_t n = 0;

	if (line.len && (*line.data == ' ' || *line.data == '\t'))
		return c->after_header;
	while (n < line.len && line.data[n] > ' ' && line.data[n] < 127 &&
	       line.data[n] != ':')
		n++;
	if (n == 0)
		return false;
	while (n < line.len && (line.data[n] == ' ' || line.data[n] == '\t'))
		n++;
	return n < line.len && line.data[n] == ':';
}

/* A line or the next part of a long one. */
static void
show_piece(struct content *c, struct span piece, bool complete)
{
	if (c->line_start) {
		if (!c->in_body && !is_header(c, piece))
			c->in_body = true;
		c->after_header = !c->in_body;
		c->print = c->in_body ? c->p->body : c->p->header;
		if (c->print) {
			prefix(c->p, REC_LINE, c->offset);
			if (c->p->verbose)
				fputs("regular_text: ", stdout);
		}
	}
	if (c->print) {
		fwrite(piece.data, 1, piece.len, stdout);
		if (complete)
			putchar('\n');
	}
	c->line_start = complete;
	c->offset += (int64_t)piece.len + complete;
}

static void
show_block(struct content *c, struct span block)
{
	while (block.len) {
		long nl = span_find(block, '\n');
		size_t n = nl < 0 ? block.len : (size_t)nl;

		show_piece(c, span_make(block.data, n), nl >= 0);
		block = span_from(block, n + (nl >= 0));
	}
}

static void
show_content(const struct postcat *p, const char *name,
	     const struct queue_place *place)
{
	struct content c = {
	    .p = p, .offset = place->content_offset, .line_start = true};
	int64_t at = place->content_offset, left = place->content_length;
	char *block = mem_alloc(READ_SIZE);

	while (left > 0) {
		size_t n = left < READ_SIZE ? (size_t)left : READ_SIZE;

		if (!io_pread_all(place->fd, block, n, at))
			log_fatal("%s: record read error", name);
		show_block(&c, span_make(block, n));
		at += (int64_t)n;
		left -= (int64_t)n;
	}
	if (!c.line_start && c.print)
		putchar('\n');
	free(block);
}

void
postcat_show(const struct postcat *p, const char *name,
	     const struct queue_place *place, const struct envelope *env,
	     const uint8_t *state)
{
	int64_t end = place->content_offset + place->content_length;

	if (p->envelope)
		printf("*** ENVELOPE RECORDS %s ***\n", name);
	show_envelope(p, place, env, state);
	record(p, REC_CONTENT, place->content_offset,
	       "*** MESSAGE CONTENTS %s ***", name);
	if (p->header || p->body)
		show_content(p, name, place);
	record(p, REC_EXTRACTED, end, "*** HEADER EXTRACTED %s ***", name);
	record(p, REC_END, place->offset + place->length,
	       "*** MESSAGE FILE END %s ***", name);
}
