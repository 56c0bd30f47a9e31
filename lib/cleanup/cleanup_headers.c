/* SPDX-License-Identifier: MIT */
/* The header section: what is added, dropped, rewritten, noted. */
#include <stdlib.h>
#include <time.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum { FLUSH_SIZE = 64 * 1024 };

static bool
has(const struct cleanup *c, enum header_id id)
{
	return c->have & (UINT64_C(1) << id);
}

void
cleanup_flush(struct cleanup *c)
{
	if (c->out.len && !cleanup_is_over(c))
		cleanup_put(c, buf_span(&c->out));
	buf_reset(&c->out);
}

void
cleanup_put(struct cleanup *c, struct span data)
{
	if (c->spool)
		spool_write(c->spool, data);
	else
		queue_write(c->entry, data);
}

int64_t
cleanup_size(const struct cleanup *c)
{
	return c->spool ? spool_size(c->spool) : queue_entry_size(c->entry);
}

/* ---- addresses ---- */

/* rewrite_header_complete() calls this for each address. */
static void
map_address(void *arg, struct buf *addr)
{
	struct cleanup *c = arg;
	bool sender = c->addr_flags & HEADER_ADDR_SENDER;

	if (cleanup_is_over(c))
		return;
	rewrite_address(c->headers, addr);
	if (c->do_maps)
		cleanup_map_address(
		    c, addr, sender ? "header_sender" : "header_recipient",
		    sender);
}

static void
extract_address(void *arg, struct span addr)
{
	struct cleanup *c = arg;
	struct strvec *to =
	    c->addr_flags & HEADER_RESENT ? &c->extract_resent : &c->extract;

	if (addr.len && (conf->extract_recipient_limit == 0 ||
			 to->n < (size_t)conf->extract_recipient_limit))
		strvec_add_span(to, addr);
}

static void
put_address_header(struct cleanup *c, struct span header)
{
	struct span name = header_name(header);

	buf_append_span(&c->out, name);
	buf_append_byte(&c->out, ':');
	rewrite_header_complete(header_body(header), map_address, c, &c->out);
	buf_append_byte(&c->out, '\n');
}

/* ---- what is noted ---- */

static void
note_message_id(struct cleanup *c, const char *what, struct span value)
{
	value = span_trim(value);
	log_info_as("cleanup", "%s: %s=%.*s", c->id, what, SPAN_ARG(value));
}

/* detect_8bit_encoding_header: RFC 2045 section 6.1. */
static void
note_encoding(struct cleanup *c, struct span value)
{
	const char *encoding = NULL;

	value = span_trim(value);
	if (!conf->detect_8bit_encoding_header)
		return;
	if (span_equal_cstr_nocase(value, "8bit") ||
	    span_equal_cstr_nocase(value, "binary"))
		encoding = "8bit";
	else if (span_equal_cstr_nocase(value, "7bit"))
		encoding = "7bit";
	/* What the client said of the whole message in MAIL may be more. */
	if (encoding && (!c->env.encoding || strcmp(c->env.encoding, "8bit"))) {
		free(c->env.encoding);
		c->env.encoding = mem_strdup(encoding);
	}
}

static void
count_hop(struct cleanup *c)
{
	if (++c->hops < conf->hopcount_limit)
		return;
	if (!cleanup_is_over(c))
		cleanup_warn(c, "message rejected: hopcount exceeded");
	cleanup_fail(c, 554, "5.4.0", "Error: too many hops");
}

static void
note_header(struct cleanup *c, const struct header_def *def, struct span header)
{
	struct span body = header_body(header);

	c->have |= UINT64_C(1) << def->id;
	if (def->flags & HEADER_RESENT)
		c->resent = true;
	switch (def->id) {
	case HEADER_RECEIVED:
		count_hop(c);
		break;
	case HEADER_MESSAGE_ID:
		note_message_id(c, "message-id", body);
		break;
	case HEADER_RESENT_MESSAGE_ID:
		note_message_id(c, "resent-message-id", body);
		break;
	case HEADER_CONTENT_TRANSFER_ENCODING:
		note_encoding(c, body);
		break;
	default:
		break;
	}
	if (c->mime)
		mime_primary_header(c->mime, header);
}

static bool
is_dropped(const struct header_def *def, struct span name)
{
	const struct cleanup_tables *t = &cleanup_tables;

	if (t->drop_ids & (UINT64_C(1) << def->id))
		return true;
	for (size_t i = 0; i < t->drop_names.n; i++)
		if (span_equal_cstr_nocase(name, t->drop_names.v[i]))
			return true;
	return false;
}

/* ---- one header ---- */

/* Which table looks at it, by name. */
static enum check_result
check_header(struct cleanup *c, struct span header, struct buf *replacement)
{
	const struct cleanup_tables *t = &cleanup_tables;
	const struct header_def *def = header_find(header_name(header));

	if (def->flags & HEADER_IS_MIME)
		return cleanup_check(c, t->mime_header_checks,
				     "mime_header_checks", "header", header,
				     replacement, &c->out);
	return cleanup_check(c, t->header_checks, "header_checks", "header",
			     header, replacement, &c->out);
}

void
cleanup_header(struct cleanup *c, struct span header)
{
	struct buf replacement = BUF_INIT;
	const struct header_def *def;
	enum check_result result = CHECK_KEEP;

	if (c->do_checks)
		result = check_header(c, header, &replacement);
	if (result == CHECK_DROP || cleanup_is_over(c))
		goto out;
	if (result == CHECK_REPLACE)
		header = buf_span(&replacement);
	if (!c->utf8_header && !utf8_is_ascii(header.data, header.len))
		c->utf8_header = true;
	def = header_find(header_name(header));
	note_header(c, def, header);
	c->addr_flags = def->flags;
	if ((c->env.flags & ENVELOPE_EXTRACT) && (def->flags & HEADER_EXTRACT))
		rewrite_header_scan(header_body(header), extract_address, c);
	if (is_dropped(def, header_name(header)))
		goto out;
	if (c->stage == STAGE_PREPEND && def->id == HEADER_RECEIVED)
		c->own_received = true;
	if ((def->flags & (HEADER_ADDR_SENDER | HEADER_ADDR_RECIPIENT)) &&
	    c->headers != REWRITE_NONE) {
		put_address_header(c, header);
	} else {
		buf_append_span(&c->out, header);
		buf_append_byte(&c->out, '\n');
	}
	if (c->out.len > FLUSH_SIZE)
		cleanup_flush(c);
out:
	buf_free(&replacement);
}

/* ---- missing headers ---- */

/* Postfix's form: a day of one digit has a space in front. */
static void
append_date(int64_t usec, struct buf *out)
{
	time_t t = (time_t)(usec / 1000000);
	char text[100] = "";
	struct tm tm;

	if (localtime_r(&t, &tm))
		strftime(text, sizeof(text), "%a, %e %b %Y %H:%M:%S %z (%Z)",
			 &tm);
	buf_append_cstr(out, text);
}

static void
add_message_id(struct cleanup *c, const char *prefix)
{
	time_t t = (time_t)(io_now() / 1000000);
	char stamp[32] = "";
	struct buf id = BUF_INIT;
	struct tm tm;

	/* Short queue ids are used again, some day. */
	if (!conf->enable_long_queue_ids && gmtime_r(&t, &tm))
		strftime(stamp, sizeof(stamp), "%Y%m%d%H%M%S.", &tm);
	buf_printf(&id, "<%s%s@%s>", stamp, c->id, conf->myhostname);
	buf_printf(&c->out, "%sMessage-Id: %s\n", prefix, buf_cstr(&id));
	note_message_id(c, *prefix ? "resent-message-id" : "message-id",
			buf_span(&id));
	buf_free(&id);
}

/* A display name: quoted when it has special characters. */
static void
append_phrase(const char *name, struct buf *out)
{
	bool quote = name[strcspn(name, "()<>@,;:\\\".[]")] != '\0';

	if (quote)
		buf_append_byte(out, '"');
	for (; *name; name++) {
		if (*name == '"' || *name == '\\')
			buf_append_byte(out, '\\');
		buf_append_byte(out, *name);
	}
	if (quote)
		buf_append_byte(out, '"');
}

static void
add_from(struct cleanup *c, const char *prefix)
{
	const char *name = c->env.full_name;
	struct span sender = span_of(c->env.sender);
	struct buf addr = BUF_INIT;

	if (sender.len)
		addr_quote(sender, &addr);
	else
		buf_append_cstr(&addr, "MAILER-DAEMON");
	buf_printf(&c->out, "%sFrom: ", prefix);
	if (!name || !*name) {
		buf_append_span(&c->out, buf_span(&addr));
	} else if (!strcmp(conf->header_from_format, "obsolete")) {
		buf_printf(&c->out, "%s (", buf_cstr(&addr));
		for (; *name; name++) {
			if (strchr("()\\", *name))
				buf_append_byte(&c->out, '\\');
			buf_append_byte(&c->out, *name);
		}
		buf_append_byte(&c->out, ')');
	} else {
		append_phrase(name, &c->out);
		buf_printf(&c->out, " <%s>", buf_cstr(&addr));
	}
	buf_append_byte(&c->out, '\n');
	buf_free(&addr);
}

static bool
has_recipient_header(const struct cleanup *c)
{
	return has(c, HEADER_TO) || has(c, HEADER_CC) ||
	       has(c, HEADER_RESENT_TO) || has(c, HEADER_RESENT_CC);
}

/* RFC 5322 section 3.6; the Resent- forms when the message was resent. */
static void
add_missing(struct cleanup *c)
{
	const char *prefix = c->resent ? "Resent-" : "";

	if (!has(c, c->resent ? HEADER_RESENT_MESSAGE_ID : HEADER_MESSAGE_ID))
		add_message_id(c, prefix);
	if (!has(c, c->resent ? HEADER_RESENT_DATE : HEADER_DATE)) {
		buf_printf(&c->out, "%sDate: ", prefix);
		append_date(c->env.arrival, &c->out);
		buf_append_byte(&c->out, '\n');
	}
	if (!has(c, c->resent ? HEADER_RESENT_FROM : HEADER_FROM))
		add_from(c, prefix);
	if (!has_recipient_header(c) && *conf->undisclosed_recipients_header)
		buf_printf(&c->out, "%s\n",
			   conf->undisclosed_recipients_header);
}

/* ---- events of the header reader ---- */

static void
on_header(void *arg, struct span header)
{
	struct cleanup *c = arg;

	if (c->stage == STAGE_FIRST_LINE)
		c->stage = STAGE_HEADERS;
	if (!cleanup_is_over(c))
		cleanup_header(c, header);
}

/* "From joe Sun Nov 22 ...": what a mailbox file puts in front. */
static bool
is_mailbox_line(const struct cleanup *c, struct span rest)
{
	return c->stage == STAGE_FIRST_LINE && c->origin == CLEANUP_SMTPD &&
	       (span_equal_cstr_nocase(rest, "From ") ||
		span_equal_cstr_nocase(rest, ">From "));
}

static void
on_end(void *arg, bool empty_line, struct span rest)
{
	struct cleanup *c = arg;
	bool added =
	    c->headers == REWRITE_LOCAL || conf->always_add_missing_headers;

	if (c->stage == STAGE_PREPEND || cleanup_is_over(c))
		return;
	buf_set(&c->rest, rest);
	if (is_mailbox_line(c, rest))
		return;
	c->stage = STAGE_BODY;
	if (added)
		add_missing(c);
	if (!has(c, HEADER_MESSAGE_ID) && (!added || c->resent))
		note_message_id(c, "message-id", span_make("<>", 2));
	c->headers_size = cleanup_size(c) + (int64_t)c->out.len;
	if (empty_line) {
		buf_append_byte(&c->out, '\n');
		c->separated = true;
	}
}

const struct header_events cleanup_header_events = {on_header, on_end};
