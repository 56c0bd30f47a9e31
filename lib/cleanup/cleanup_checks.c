/* SPDX-License-Identifier: MIT */
/* header_checks, mime_header_checks, nested_header_checks, body_checks
 * (header_checks(5)). */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"

enum {
	LOG_TEXT_MAX = 200, /* of the header or line in the log */
	BCC_MAX = 1000,
};

/* One look-up that found something. */
struct check {
	struct cleanup *c;
	const char *parameter, *kind;
	bool milter;      /* a header that a milter gave */
	struct span text; /* the header or line */
	struct span arg;  /* behind the action's name */
	struct buf *replacement, *out;
};

void
cleanup_append_context(const struct cleanup *c, bool protocol, struct buf *out)
{
	const struct envelope *e = &c->env;

	if (e->client_name || e->client_addr)
		buf_printf(out, " from %s[%s]",
			   e->client_name ? e->client_name : "unknown",
			   e->client_addr ? e->client_addr : "unknown");
	else
		buf_append_cstr(out, " from local");
	buf_append_cstr(out, "; from=<");
	addr_quote(span_of(e->sender), out);
	buf_append_byte(out, '>');
	if (c->last_rcpt.len) {
		buf_append_cstr(out, " to=<");
		addr_quote(buf_span(&c->last_rcpt), out);
		buf_append_byte(out, '>');
	}
	if (protocol && e->client_proto)
		buf_printf(out, " proto=%s", e->client_proto);
	if (protocol && e->client_helo)
		buf_printf(out, " helo=<%s>", e->client_helo);
}

static void
log_action(const struct check *k, const char *what, const char *dsn,
	   struct span text)
{
	struct buf line = BUF_INIT;
	size_t n = k->text.len < LOG_TEXT_MAX ? k->text.len : LOG_TEXT_MAX;

	buf_printf(&line, "%s: %s%s: %s %.*s", k->c->id,
		   k->milter ? "milter-header-" : "", what, k->kind, (int)n,
		   k->text.data);
	cleanup_append_context(k->c, true, &line);
	if (dsn || text.len) {
		buf_append_cstr(&line, ": ");
		if (dsn)
			buf_printf(&line, "%s ", dsn);
		buf_append_span(&line, text);
	}
	log_info_as("cleanup", "%s", buf_cstr(&line));
	buf_free(&line);
}

static enum check_result
do_reject(const struct check *k)
{
	char dsn[DSN_CODE_MAX];
	struct span text = dsn_split(k->arg, "5.7.1", dsn);

	if (text.len == 0)
		text = span_of("message content rejected");
	log_action(k, "reject", dsn, text);
	cleanup_fail(k->c, dsn[0] == '4' ? 451 : 550, dsn, "%.*s",
		     SPAN_ARG(text));
	return CHECK_DROP;
}

/* WARN, INFO, PASS: only the log. */
static enum check_result
do_warn(const struct check *k)
{
	log_action(k, "warning", NULL, k->arg);
	return CHECK_KEEP;
}

static enum check_result
do_info(const struct check *k)
{
	log_action(k, "info", NULL, k->arg);
	return CHECK_KEEP;
}

static enum check_result
do_pass(const struct check *k)
{
	log_action(k, "pass", NULL, k->arg);
	k->c->do_checks = false;
	return CHECK_KEEP;
}

static enum check_result
do_ignore(const struct check *k)
{
	(void)k;
	return CHECK_DROP;
}

static enum check_result
do_strip(const struct check *k)
{
	log_action(k, "strip", NULL, k->arg);
	return CHECK_DROP;
}

/* "name: value", unless the text is for a body. */
static bool
good_text(const struct check *k, const char *action)
{
	if (k->arg.len == 0) {
		log_info_as("cleanup",
			    "warning: %s action without text in %s map", action,
			    k->parameter);
		return false;
	}
	if (strcmp(k->kind, "header") || header_is_valid(k->arg))
		return true;
	log_info_as("cleanup",
		    "warning: bad %s header text \"%.*s\" in %s map -- need "
		    "\"headername: headervalue\"",
		    action, SPAN_ARG(k->arg), k->parameter);
	return false;
}

static enum check_result
do_replace(const struct check *k)
{
	if (!good_text(k, "REPLACE"))
		return CHECK_KEEP;
	log_action(k, "replace", NULL, k->arg);
	buf_set(k->replacement, k->arg);
	return CHECK_REPLACE;
}

static enum check_result
do_prepend(const struct check *k)
{
	if (!good_text(k, "PREPEND"))
		return CHECK_KEEP;
	log_action(k, "prepend", NULL, k->arg);
	if (k->milter) {
		log_info_as("cleanup",
			    "warning: the milter_header/body_checks prepend "
			    "action is not implemented");
		return CHECK_KEEP;
	}
	buf_append_span(k->out, k->arg);
	buf_append_byte(k->out, '\n');
	return CHECK_KEEP;
}

static enum check_result
do_discard(const struct check *k)
{
	log_action(k, "discard", NULL, k->arg);
	k->c->discard = true;
	return CHECK_DROP;
}

static enum check_result
do_hold(const struct check *k)
{
	if (!(k->c->env.flags & ENVELOPE_HOLD))
		log_action(k, "hold", NULL, k->arg);
	k->c->env.flags |= ENVELOPE_HOLD;
	return CHECK_KEEP;
}

static enum check_result
do_filter(const struct check *k)
{
	if (span_find(k->arg, ':') < 0) {
		log_info_as("cleanup",
			    "warning: bad FILTER command %.*s in %s -- need "
			    "transport:destination",
			    SPAN_ARG(k->arg), k->parameter);
		return CHECK_KEEP;
	}
	log_action(k, "filter", NULL, k->arg);
	free(k->c->env.filter);
	k->c->env.filter = mem_strndup(k->arg.data, k->arg.len);
	return CHECK_KEEP;
}

static enum check_result
do_redirect(const struct check *k)
{
	if (span_find(k->arg, '@') < 0) {
		log_info_as("cleanup",
			    "warning: bad REDIRECT target \"%.*s\" in %s map "
			    "-- need user@domain",
			    SPAN_ARG(k->arg), k->parameter);
		return CHECK_KEEP;
	}
	log_action(k, "redirect", NULL, k->arg);
	buf_set(&k->c->redirect, k->arg);
	return CHECK_KEEP;
}

static enum check_result
do_bcc(const struct check *k)
{
	if (span_find(k->arg, '@') < 0) {
		log_info_as("cleanup",
			    "warning: bad BCC address \"%.*s\" in %s map -- "
			    "need user@domain",
			    SPAN_ARG(k->arg), k->parameter);
		return CHECK_KEEP;
	}
	log_action(k, "bcc", NULL, k->arg);
	if (k->c->bcc.n < BCC_MAX)
		strvec_add_span(&k->c->bcc, k->arg);
	return CHECK_KEEP;
}

static enum check_result
do_nothing(const struct check *k)
{
	(void)k;
	return CHECK_KEEP;
}

static const struct {
	const char *name;
	enum check_result (*run)(const struct check *k);
} actions[] = {
    {"REJECT", do_reject},   {"WARN", do_warn},         {"INFO", do_info},
    {"IGNORE", do_ignore},   {"STRIP", do_strip},       {"REPLACE", do_replace},
    {"PREPEND", do_prepend}, {"DISCARD", do_discard},   {"HOLD", do_hold},
    {"FILTER", do_filter},   {"REDIRECT", do_redirect}, {"BCC", do_bcc},
    {"DUNNO", do_nothing},   {"OK", do_nothing},        {"PASS", do_pass},
};

static enum check_result
run_action(struct check *k, struct span value)
{
	struct span rest = value, name;

	if (!span_next_token(&rest, " \t\r\n", &name))
		return CHECK_KEEP;
	k->arg = span_trim(rest);
	for (size_t i = 0; i < sizeof(actions) / sizeof(*actions); i++)
		if (span_equal_cstr_nocase(name, actions[i].name) &&
		    !(k->milter && actions[i].run == do_pass))
			return actions[i].run(k);
	log_info_as("cleanup", "warning: %s command in %s map: %.*s",
		    k->milter ? "unsupported" : "unknown", k->parameter,
		    SPAN_ARG(value));
	return CHECK_KEEP;
}

static enum check_result
check_text(struct check *k, struct maps *checks)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	enum check_result result = CHECK_KEEP;
	enum table_status st;

	if (maps_is_empty(checks) || cleanup_is_over(k->c))
		return CHECK_KEEP;
	st = maps_get(checks, k->text, &value, &why);
	if (st == TABLE_FOUND) {
		result = run_action(k, span_trim(buf_span(&value)));
	} else if (st == TABLE_RETRY) {
		cleanup_warn(k->c,
			     "%s map lookup problem -- message not accepted, "
			     "try again later",
			     k->parameter);
		cleanup_fail(k->c, 451, "4.3.0",
			     "Error: queue file write error");
	}
	buf_free(&value);
	why_free(&why);
	return result;
}

enum check_result
cleanup_check(struct cleanup *c, struct maps *checks, const char *parameter,
	      const char *kind, struct span text, struct buf *replacement,
	      struct buf *out)
{
	struct check k = {.c = c,
			  .parameter = parameter,
			  .kind = kind,
			  .text = text,
			  .replacement = replacement,
			  .out = out};

	return check_text(&k, checks);
}

enum check_result
cleanup_check_milter(struct cleanup *c, struct span header,
		     struct buf *replacement)
{
	struct check k = {.c = c,
			  .parameter = "milter_header_checks",
			  .kind = "header",
			  .milter = true,
			  .text = header,
			  .replacement = replacement};

	return check_text(&k, cleanup_tables.milter_header_checks);
}

/* ---- the body ---- */

enum { FLUSH_SIZE = 64 * 1024 };

static void
put_line(struct cleanup *c, struct span text, bool line_end)
{
	buf_append_span(&c->out, text);
	if (line_end)
		buf_append_byte(&c->out, '\n');
	if (c->out.len > FLUSH_SIZE)
		cleanup_flush(c);
}

static void
on_part_header(void *arg, enum mime_owner owner, struct span header)
{
	const struct cleanup_tables *t = &cleanup_tables;
	struct cleanup *c = arg;
	struct buf replacement = BUF_INIT;
	enum check_result result = CHECK_KEEP;

	if (!c->do_checks)
		result = CHECK_KEEP;
	else if (header_find(header_name(header))->flags & HEADER_IS_MIME)
		result = cleanup_check(c, t->mime_header_checks,
				       "mime_header_checks", "header", header,
				       &replacement, &c->out);
	else if (owner == MIME_NESTED)
		result = cleanup_check(c, t->nested_header_checks,
				       "nested_header_checks", "header", header,
				       &replacement, &c->out);
	if (result == CHECK_REPLACE)
		put_line(c, buf_span(&replacement), true);
	else if (result == CHECK_KEEP)
		put_line(c, header, true);
	buf_free(&replacement);
}

static void
on_body(void *arg, struct span text, bool line_end, size_t offset)
{
	struct cleanup *c = arg;
	struct buf replacement = BUF_INIT;
	enum check_result result = CHECK_KEEP;

	if (cleanup_is_over(c))
		return;
	if (c->do_checks && (int64_t)offset < conf->body_checks_size_limit)
		result =
		    cleanup_check(c, cleanup_tables.body_checks, "body_checks",
				  "body", text, &replacement, &c->out);
	if (result == CHECK_REPLACE)
		put_line(c, buf_span(&replacement), line_end);
	else if (result == CHECK_KEEP)
		put_line(c, text, line_end);
	buf_free(&replacement);
}

static void
on_error(void *arg, enum mime_error error, struct span text)
{
	static const char *const what[] = {
	    [MIME_TOO_DEEP] = "MIME nesting exceeds safety limit",
	    [MIME_8BIT_HEADER] = "improper use of 8-bit data in message header",
	    [MIME_8BIT_BODY] = "improper use of 8-bit data in message body",
	    [MIME_BAD_DOMAIN] =
		"invalid message/* or multipart/* encoding domain",
	};
	struct cleanup *c = arg;
	struct buf line = BUF_INIT;
	size_t n = text.len < LOG_TEXT_MAX ? text.len : LOG_TEXT_MAX;

	if (cleanup_is_over(c))
		return;
	buf_printf(&line, "%s: reject: mime-error %s: %.*s", c->id, what[error],
		   (int)n, text.data);
	cleanup_append_context(c, false, &line);
	log_info_as("cleanup", "%s", buf_cstr(&line));
	buf_free(&line);
	cleanup_fail(c, 550, "5.6.0", "%s", what[error]);
}

static const struct mime_events events = {on_part_header, on_body, on_error};

struct mime *
cleanup_mime_new(struct cleanup *c)
{
	const struct cleanup_tables *t = &cleanup_tables;
	struct mime_limits limits = {
	    .header_size = (size_t)conf->header_size_limit,
	    .boundary = (size_t)conf->mime_boundary_length_limit,
	    .nesting = conf->mime_nesting_limit,
	    .line = (size_t)conf->line_length_limit,
	    .ignore_structure = conf->disable_mime_input_processing,
	    .strict_headers =
		conf->strict_7bit_headers || conf->strict_8bitmime,
	    .strict_body = conf->strict_8bitmime_body || conf->strict_8bitmime,
	    .strict_domain = conf->strict_mime_encoding_domain,
	};
	bool strict =
	    limits.strict_headers || limits.strict_body || limits.strict_domain;

	if (!strict && maps_is_empty(t->mime_header_checks) &&
	    maps_is_empty(t->nested_header_checks) &&
	    maps_is_empty(t->body_checks))
		return NULL;
	return mime_new(&limits, &events, c);
}
