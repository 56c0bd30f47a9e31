/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_checks.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/mime/header.h"
#include "lib/table/table.h"

enum {
	CHECKS_BODY = MIME_PRIMARY + 1, /* beside enum mime_owner */
	CHECKS_COUNT,
	TEXT_MAX = 60, /* bytes of a header or line in the log */
};

static struct {
	const char *program;
	struct maps *maps[CHECKS_COUNT];
	char *names[CHECKS_COUNT]; /* of the parameters */
} checks;

static void
open_one(int which, const char *name, const char *value)
{
	checks.names[which] = mem_sprintf("%s_%s", checks.program, name);
	checks.maps[which] =
	    maps_open(checks.names[which], value, TABLE_FOLD_FIXED);
}

void
smtp_checks_open(bool lmtp)
{
	checks.program = lmtp ? "lmtp" : "smtp";
	open_one(MIME_PRIMARY, "header_checks", conf->smtp_header_checks);
	open_one(MIME_PART, "mime_header_checks",
		 conf->smtp_mime_header_checks);
	open_one(MIME_NESTED, "nested_header_checks",
		 conf->smtp_nested_header_checks);
	open_one(CHECKS_BODY, "body_checks", conf->smtp_body_checks);
}

bool
smtp_checks_wanted(void)
{
	for (int i = 0; i < CHECKS_COUNT; i++)
		if (!maps_is_empty(checks.maps[i]))
			return true;
	return false;
}

/* One look-up that found something. */
struct check {
	const char *queue_id, *parameter;
	bool body;
	struct span text;
	struct span arg; /* behind the action's name */
};

static void
log_action(const struct check *k, const char *what)
{
	size_t n = k->text.len < TEXT_MAX ? k->text.len : TEXT_MAX;

	log_info("%s: %s: %s %.*s%s%.*s", k->queue_id, what,
		 k->body ? "body" : "header", (int)n, k->text.data,
		 k->arg.len ? ": " : "", SPAN_ARG(k->arg));
}

static bool
good_text(const struct check *k, const char *action)
{
	if (k->arg.len == 0) {
		log_warn("%s action without text in %s map", action,
			 k->parameter);
		return false;
	}
	if (k->body || header_is_valid(k->arg))
		return true;
	log_warn("bad %s header text \"%.*s\" in %s map -- need "
		 "\"headername: headervalue\"",
		 action, SPAN_ARG(k->arg), k->parameter);
	return false;
}

static void
put(struct span text, struct buf *out)
{
	buf_append_span(out, text);
	buf_append_byte(out, '\n');
}

/* The text goes on as it is. */
static bool
keep(const struct check *k, struct buf *out)
{
	put(k->text, out);
	return true;
}

static bool
run_action(struct check *k, struct span value, struct buf *out)
{
	struct span rest = value, name;

	if (!span_next_token(&rest, " \t\r\n", &name))
		return keep(k, out);
	k->arg = span_trim(rest);
	if (span_equal_cstr_nocase(name, "WARN")) {
		log_action(k, "warning");
	} else if (span_equal_cstr_nocase(name, "INFO")) {
		log_action(k, "info");
	} else if (span_equal_cstr_nocase(name, "IGNORE")) {
		return true;
	} else if (span_equal_cstr_nocase(name, "STRIP")) {
		log_action(k, "strip");
		return true;
	} else if (span_equal_cstr_nocase(name, "REPLACE")) {
		if (good_text(k, "REPLACE")) {
			log_action(k, "replace");
			put(k->arg, out);
			return true;
		}
	} else if (span_equal_cstr_nocase(name, "PREPEND")) {
		if (good_text(k, "PREPEND")) {
			log_action(k, "prepend");
			put(k->arg, out);
		}
	} else if (!span_equal_cstr_nocase(name, "DUNNO") &&
		   !span_equal_cstr_nocase(name, "OK")) {
		log_warn("unsupported command in %s map: %.*s", k->parameter,
			 SPAN_ARG(value));
	}
	return keep(k, out);
}

static bool
check(const char *queue_id, int which, struct span text, struct buf *out)
{
	struct check k = {.queue_id = queue_id,
			  .parameter = checks.names[which],
			  .body = which == CHECKS_BODY,
			  .text = text};
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	bool ok;

	switch (maps_get(checks.maps[which], text, &value, &why)) {
	case TABLE_FOUND:
		ok = run_action(&k, span_trim(buf_span(&value)), out);
		break;
	case TABLE_ABSENT:
		ok = keep(&k, out);
		break;
	default:
		log_warn("%s: smtp %s checks lookup error", queue_id,
			 k.body ? "body" : "header");
		ok = false;
	}
	buf_free(&value);
	why_free(&why);
	return ok;
}

bool
smtp_checks_header(const char *queue_id, enum mime_owner owner,
		   struct span header, struct buf *out)
{
	if (owner == MIME_PRIMARY &&
	    (header_find(header_name(header))->flags & HEADER_IS_MIME))
		owner = MIME_PART;
	return check(queue_id, (int)owner, header, out);
}

bool
smtp_checks_body(const char *queue_id, struct span line, struct buf *out)
{
	return check(queue_id, CHECKS_BODY, line, out);
}
