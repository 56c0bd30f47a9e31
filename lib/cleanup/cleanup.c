/* SPDX-License-Identifier: MIT */
#include "lib/cleanup/cleanup.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_cleanup.h"
#include "lib/route/route.h"

struct cleanup_tables cleanup_tables;

static struct queue_writer *writer;

static struct maps *
open_maps(const char *name, const char *value)
{
	unsigned flags = TABLE_FOLD_FIXED | TABLE_FOLD_REGEX;

	return maps_open(name, value,
			 flags | (conf->smtputf8_enable ? TABLE_UTF8 : 0));
}

/* A table that programs use apart from cleaning up, too. */
static struct maps *
open_shared(const char *name, const char *value)
{
	return open_maps(name, conf_cleanup_setting(name, value));
}

static void
read_drop_headers(struct cleanup_tables *t)
{
	struct span rest = span_of(conf->message_drop_headers), name;

	while (span_next_token(&rest, " \t\r\n,", &name)) {
		enum header_id id = header_find(name)->id;

		if (id == HEADER_OTHER || id == HEADER_MIME)
			strvec_add_span(&t->drop_names, name);
		else
			t->drop_ids |= UINT64_C(1) << id;
	}
}

static void
open_milters(struct cleanup_tables *t)
{
	struct buf error = BUF_INIT;

	if (!milter_list_parse(&t->milters, span_of(conf->non_smtpd_milters),
			       &error))
		log_fatal("non_smtpd_milters: %s", buf_cstr(&error));
	buf_free(&error);
}

void
cleanup_open(void)
{
	struct cleanup_tables *t = &cleanup_tables;

	if (t->open)
		return;
	t->open = true;
	route_open();
	writer = queue_writer_new("incoming");
	read_drop_headers(t);
	cleanup_chars_open();
	t->canonical = open_shared("canonical_maps", conf->canonical_maps);
	t->sender_canonical =
	    open_shared("sender_canonical_maps", conf->sender_canonical_maps);
	t->recipient_canonical = open_shared("recipient_canonical_maps",
					     conf->recipient_canonical_maps);
	t->virtual_alias =
	    open_shared("virtual_alias_maps", conf->virtual_alias_maps);
	t->sender_bcc = open_maps("sender_bcc_maps", conf->sender_bcc_maps);
	t->recipient_bcc =
	    open_maps("recipient_bcc_maps", conf->recipient_bcc_maps);
	t->header_checks = open_maps("header_checks", conf->header_checks);
	t->mime_header_checks =
	    open_maps("mime_header_checks", conf->mime_header_checks);
	t->nested_header_checks =
	    open_maps("nested_header_checks", conf->nested_header_checks);
	t->body_checks = open_maps("body_checks", conf->body_checks);
	t->milter_header_checks =
	    maps_open("milter_header_checks", conf->milter_header_checks,
		      TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
	open_milters(t);
}

void
cleanup_hold_back(void)
{
	queue_writer_hold_back(writer);
}

void
cleanup_announce(void)
{
	queue_writer_announce(writer);
}

/* ---- errors ---- */

void
cleanup_fail(struct cleanup *c, int code, const char *dsn, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	if (why_is_set(&c->why))
		return;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	why_set_code(&c->why, code, dsn, "%s", buf_cstr(&text));
	buf_free(&text);
}

bool
cleanup_is_over(const struct cleanup *c)
{
	return c->discard || why_is_set(&c->why);
}

bool
cleanup_failed(const struct cleanup *c)
{
	return why_is_set(&c->why);
}

void
cleanup_warn(const struct cleanup *c, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	log_info_as("cleanup", "warning: %s: %s", c->id, buf_cstr(&text));
	buf_free(&text);
}

void
cleanup_map_problem(struct cleanup *c, const char *parameter, const char *addr)
{
	cleanup_warn(c,
		     "%s map lookup problem for %s -- message not accepted, "
		     "try again later",
		     parameter, addr);
	cleanup_fail(c, 451, "4.3.0", "Error: queue file write error");
}

/* ---- begin ---- */

static struct cleanup *
begin(enum cleanup_origin origin, struct queue_entry *entry)
{
	const char *override = conf->receive_override_options;
	bool outside = origin == CLEANUP_SMTPD || origin == CLEANUP_PICKUP;
	struct cleanup *c;

	if (!entry)
		return NULL;
	c = mem_alloc(sizeof(*c));
	c->origin = origin;
	c->entry = entry;
	memccpy(c->id, queue_entry_id(entry), '\0', sizeof(c->id) - 1);
	c->env = (struct envelope)ENVELOPE_INIT;
	c->env.arrival = queue_entry_arrival(entry);
	c->do_maps = !conf_list_has(override, "no_address_mappings");
	c->do_checks =
	    !conf_list_has(override, "no_header_body_checks") &&
	    (outside ||
	     (origin == CLEANUP_BOUNCE &&
	      conf_list_has(conf->internal_mail_filter_classes, "bounce")));
	/* Mail that the system writes or forwards itself would loop. */
	c->do_bcc = outside && c->do_maps;
	header_reader_init(&c->reader, (size_t)conf->header_size_limit);
	c->headers_size = -1;
	cleanup_own_milters(c);
	return c;
}

struct cleanup *
cleanup_begin(enum cleanup_origin origin, struct why *why)
{
	return begin(origin, queue_begin(writer, why));
}

struct cleanup *
cleanup_begin_as(enum cleanup_origin origin, const char *id, struct why *why)
{
	return begin(origin, queue_begin_as(writer, id, why));
}

const char *
cleanup_id(const struct cleanup *c)
{
	return c->id;
}

struct envelope *
cleanup_envelope(struct cleanup *c)
{
	return &c->env;
}

static char *
copy_or_null(const char *s)
{
	return s ? mem_strdup(s) : NULL;
}

void
cleanup_recipient(struct cleanup *c, struct span address, const char *orig_to,
		  const char *orcpt, int notify)
{
	struct cleanup_rcpt *r;

	if (c->n_in == c->cap_in) {
		c->cap_in = c->cap_in ? c->cap_in * 2 : 4;
		c->in = mem_realloc(c->in, c->cap_in, sizeof(*c->in));
	}
	r = &c->in[c->n_in++];
	r->address = mem_strndup(address.data, address.len);
	r->orig_to = copy_or_null(orig_to);
	r->orcpt = copy_or_null(orcpt);
	r->notify = notify;
}

void
cleanup_prepend_header(struct cleanup *c, struct span lines)
{
	buf_append_span(&c->prepend, lines);
}

/* ---- content ---- */

/* How are addresses in the headers completed? */
static enum rewrite_context
header_context(const struct cleanup *c)
{
	const char *context = c->env.rewrite;

	if (!context)
		context = c->origin == CLEANUP_SMTPD ? "remote" : "local";
	if (strcmp(context, "remote"))
		return REWRITE_LOCAL;
	return *conf->remote_header_rewrite_domain ? REWRITE_REMOTE
						   : REWRITE_NONE;
}

/* What the caller put in front is treated as any header: administrators strip
 * our Received: with header_checks. */
static void
start_content(struct cleanup *c)
{
	struct buf filtered = BUF_INIT;

	c->stage = STAGE_PREPEND;
	c->headers = header_context(c);
	if (!c->env.sender)
		c->env.sender = mem_strdup("");
	if (*conf->content_filter && !c->env.filter &&
	    (c->origin == CLEANUP_SMTPD || c->origin == CLEANUP_PICKUP))
		c->env.filter = mem_strdup(conf->content_filter);
	cleanup_take_envelope(c);
	if (c->do_checks)
		c->mime = cleanup_mime_new(c);
	if (cleanup_chars_filter(c, buf_span(&c->prepend), &filtered))
		buf_set(&c->prepend, buf_span(&filtered));
	buf_free(&filtered);
	header_reader_feed(&c->reader, buf_span(&c->prepend),
			   &cleanup_header_events, c);
	header_reader_finish(&c->reader, &cleanup_header_events, c);
	c->stage = STAGE_FIRST_LINE;
	header_reader_init(&c->reader, (size_t)conf->header_size_limit);
}

/* A notice that is refused would be written again and again; what it has of
 * the message is limited already (bounce_size_limit). */
static void
check_size(struct cleanup *c)
{
	if (conf->message_size_limit > 0 && c->origin != CLEANUP_BOUNCE &&
	    cleanup_size(c) + (int64_t)c->out.len > conf->message_size_limit)
		cleanup_fail(c, 552, "5.3.4", "Error: message file too big");
}

static void
put_body(struct cleanup *c, struct span piece)
{
	if (piece.len == 0 || cleanup_is_over(c))
		return;
	if (!c->separated) {
		/* A line that was no header ended them. */
		c->separated = true;
		buf_append_byte(&c->out, '\n');
	}
	if (c->mime) {
		mime_feed(c->mime, piece);
		return;
	}
	cleanup_flush(c);
	cleanup_put(c, piece);
}

/* What the header reader took of a line that was no header. */
static void
put_rest(struct cleanup *c)
{
	put_body(c, buf_span(&c->rest));
	buf_reset(&c->rest);
}

static bool
in_headers(const struct cleanup *c)
{
	return c->stage == STAGE_FIRST_LINE || c->stage == STAGE_HEADERS;
}

/*
 * Returns how much of piece the reader took. When the first line came from a
 * mailbox file, that becomes a header, and the reader goes on.
 */
static size_t
feed_headers(struct cleanup *c, struct span piece)
{
	static const char name[] = "X-Mailbox-Line: ";
	size_t n =
	    header_reader_feed(&c->reader, piece, &cleanup_header_events, c);

	if (c->stage != STAGE_FIRST_LINE || !c->reader.ended)
		return n;
	c->stage = STAGE_HEADERS;
	header_reader_init(&c->reader, (size_t)conf->header_size_limit);
	header_reader_feed(&c->reader, span_of(name), &cleanup_header_events,
			   c);
	header_reader_feed(&c->reader, buf_span(&c->rest),
			   &cleanup_header_events, c);
	buf_reset(&c->rest);
	return n;
}

static void
take_content(struct cleanup *c, struct span piece)
{
	if (in_headers(c) && !cleanup_is_over(c)) {
		piece = span_from(piece, feed_headers(c, piece));
		if (in_headers(c) && piece.len && !cleanup_is_over(c))
			piece = span_from(piece, feed_headers(c, piece));
		put_rest(c);
	}
	if (c->stage == STAGE_BODY)
		put_body(c, piece);
	if (!cleanup_is_over(c))
		check_size(c);
}

void
cleanup_content(struct cleanup *c, struct span piece)
{
	struct buf filtered = BUF_INIT;

	if (c->stage == STAGE_ENVELOPE)
		start_content(c);
	if (cleanup_chars_filter(c, piece, &filtered))
		piece = buf_span(&filtered);
	take_content(c, piece);
	buf_free(&filtered);
}

/* ---- end ---- */

static void
finish_content(struct cleanup *c)
{
	if (c->stage == STAGE_ENVELOPE)
		start_content(c);
	if (cleanup_is_over(c))
		return;
	if (in_headers(c)) {
		header_reader_finish(&c->reader, &cleanup_header_events, c);
		put_rest(c);
	}
	if (c->mime && !cleanup_is_over(c))
		mime_finish(c->mime);
	cleanup_flush(c);
	check_size(c);
}

/* smtputf8_autodetect_classes, with their names. */
static bool
detects_utf8(const struct cleanup *c)
{
	static const char *const class[] = {
	    [CLEANUP_SMTPD] = "smtpd",
	    [CLEANUP_PICKUP] = "sendmail",
	    [CLEANUP_BOUNCE] = "bounce",
	    [CLEANUP_FORWARD] = "forward",
	};
	const char *list = conf->smtputf8_autodetect_classes;

	return conf->smtputf8_enable && (conf_list_has(list, "all") ||
					 conf_list_has(list, class[c->origin]));
}

static bool
is_ascii(const char *s)
{
	return utf8_is_ascii(s, strlen(s));
}

/* Nobody announced SMTPUTF8, but what became of the message needs it. */
static void
detect_utf8(struct cleanup *c)
{
	bool needed = c->utf8_header || !is_ascii(c->env.sender);

	if (!detects_utf8(c))
		return;
	for (size_t i = 0; i < c->env.n_rcpts && !needed; i++)
		needed = !is_ascii(c->env.rcpts[i].address);
	if (needed)
		c->env.flags |= ENVELOPE_SMTPUTF8;
}

/* Everything but the queue entry. */
static void
free_all(struct cleanup *c)
{
	envelope_free(&c->env);
	why_free(&c->why);
	cleanup_free_recipients(c);
	header_reader_free(&c->reader);
	mime_free(c->mime);
	buf_free(&c->prepend);
	buf_free(&c->out);
	buf_free(&c->rest);
	buf_free(&c->redirect);
	buf_free(&c->last_rcpt);
	strvec_free(&c->extract);
	strvec_free(&c->extract_resent);
	strvec_free(&c->bcc);
	cleanup_free_milters(c);
	free(c);
}

void
cleanup_abort(struct cleanup *c)
{
	if (!c)
		return;
	if (c->entry)
		queue_abort(c->entry);
	free_all(c);
}

bool
cleanup_end(struct cleanup *c, struct why *why)
{
	bool ok = false;

	finish_content(c);
	if (!cleanup_is_over(c))
		cleanup_finish_recipients(c);
	if (!cleanup_is_over(c) && c->milters)
		cleanup_run_milters(c);
	if (!cleanup_is_over(c))
		cleanup_redirect(c);
	if (!cleanup_is_over(c))
		cleanup_route(c);
	if (c->discard) {
		ok = true;
	} else if (why_is_set(&c->why)) {
		why_copy(why, &c->why);
	} else {
		detect_utf8(c);
		ok = queue_commit(c->entry, &c->env, why);
		c->entry = NULL;
	}
	cleanup_abort(c);
	return ok;
}
