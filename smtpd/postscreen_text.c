/* SPDX-License-Identifier: MIT */
/* postscreen_reject_footer, its maps, and postscreen_dnsbl_reply_map. */
#include <stdlib.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/expand.h"
#include "lib/dsn/why.h"
#include "lib/table/table.h"
#include "smtpd/postscreen_client.h"

static struct maps *footers, *names;
static const char *footer_text;
static bool allowed[256]; /* postscreen_expansion_filter */

/* A default of another parameter's name is not expanded as the rest is: the
 * text has macros of its own. */
static const char *
follow(const char *value, const char *name, const char *other)
{
	return span_equal_cstr(span_of(value), name) ? other : value;
}

/* One character: itself, or \t, \n, \\ or up to three octal digits. */
static unsigned char
next_byte(const char **p)
{
	static const char letters[] = "abfnrtv", bytes[] = "\a\b\f\n\r\t\v";
	const char *found;
	unsigned value = 0;

	if (**p != '\\' || !(*p)[1])
		return (unsigned char)*(*p)++;
	(*p)++;
	found = strchr(letters, **p);
	if (found) {
		(*p)++;
		return (unsigned char)bytes[found - letters];
	}
	if (**p < '0' || **p > '7')
		return (unsigned char)*(*p)++;
	for (int i = 0; i < 3 && **p >= '0' && **p <= '7'; i++)
		value = value * 8 + (unsigned)(*(*p)++ - '0');
	return (unsigned char)value;
}

void
postscreen_text_open(void)
{
	const char *p =
	    follow(conf->postscreen_expansion_filter, "$smtpd_expansion_filter",
		   conf->smtpd_expansion_filter);

	while (*p)
		allowed[next_byte(&p)] = true;
	footer_text = follow(conf->postscreen_reject_footer,
			     "$smtpd_reject_footer", conf->smtpd_reject_footer);
	footers = maps_open("postscreen_reject_footer_maps",
			    conf->postscreen_reject_footer_maps,
			    TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
	names = maps_open("postscreen_dnsbl_reply_map",
			  conf->postscreen_dnsbl_reply_map,
			  TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
}

bool
postscreen_dnsbl_name(const char *domain, struct buf *out)
{
	struct why why = WHY_INIT;
	enum table_status st = maps_get(names, span_of(domain), out, &why);

	if (st == TABLE_ABSENT)
		buf_set_cstr(out, domain);
	why_free(&why);
	return st != TABLE_RETRY;
}

/* ---- the footer ---- */

/* A table that fails is no reason to say less. */
static void
choose(struct span reply, struct buf *template)
{
	struct why why = WHY_INIT;

	if (maps_get(footers, reply, template, &why) != TABLE_FOUND)
		buf_set_cstr(template, footer_text);
	why_free(&why);
}

static void
local_time(struct buf *out)
{
	char text[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(text, sizeof(text), "%b %e %H:%M:%S", &tm);
	buf_set_cstr(out, text);
}

static const char *
macro(void *arg, struct span name)
{
	static struct buf value;
	const struct screen *s = arg;

	buf_reset(&value);
	if (span_equal_cstr(name, "client_address")) {
		buf_set_cstr(&value, s->addr);
	} else if (span_equal_cstr(name, "client_port")) {
		buf_printf(&value, "%d", s->port);
	} else if (span_equal_cstr(name, "server_name")) {
		buf_set_cstr(&value, conf->myhostname);
	} else if (span_equal_cstr(name, "localtime")) {
		local_time(&value);
	} else {
		log_warn("unknown macro name \"%.*s\" in expansion request",
			 SPAN_ARG(name));
		return NULL;
	}
	for (size_t i = 0; i < value.len; i++) {
		if (!allowed[(unsigned char)value.data[i]])
			value.data[i] = '_';
	}
	return buf_cstr(&value);
}

static long
find_break(struct span text)
{
	for (size_t i = 0; i + 1 < text.len; i++) {
		if (text.data[i] == '\\' && text.data[i + 1] == 'n')
			return (long)i;
	}
	return -1;
}

/* Length of "550 5.1.1 " or "550 " at the start of a reply. */
static size_t
prefix_length(struct span reply)
{
	size_t dsn = dsn_code_length(span_from(reply, 4));

	return dsn && 4 + dsn < reply.len && reply.data[4 + dsn] == ' '
		   ? 4 + dsn + 1
		   : 4;
}

/* text behind line, "\n" in it as a new line that begins with prefix. */
static void
add_lines(struct buf *line, struct span prefix, struct span text, bool joined)
{
	for (;;) {
		long at = find_break(text);

		if (!joined) {
			buf_append_cstr(line, "\r\n");
			buf_append_span(line, prefix);
		}
		joined = false;
		buf_append_span(
		    line, at < 0 ? text : span_make(text.data, (size_t)at));
		if (at < 0)
			return;
		text = span_from(text, (size_t)at + 2);
	}
}

/* "550 " becomes "550-" on all lines but the last. */
static void
mark_lines(struct buf *line)
{
	char *p = line->data, *end = line->data + line->len, *eol;

	while ((eol = memchr(p, '\r', (size_t)(end - p)))) {
		p[3] = '-';
		p = eol + 2;
	}
}

void
postscreen_footer(const struct screen *s, struct buf *line)
{
	struct buf template = BUF_INIT, text = BUF_INIT, prefix = BUF_INIT;
	struct buf error = BUF_INIT;
	struct span footer;
	bool joined;

	choose(buf_span(line), &template);
	if (template.len == 0 || line->len < 4)
		goto out;
	if (!expand_text(buf_span(&template), macro, (void *)(uintptr_t)s,
			 &text, &error)) {
		log_warn("postscreen_reject_footer: %s", buf_cstr(&error));
		goto out;
	}
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '\r' || text.data[i] == '\n')
			text.data[i] = ' ';
	}
	footer = buf_span(&text);
	joined = footer.len >= 2 && !memcmp(footer.data, "\\c", 2);
	if (joined)
		footer = span_from(footer, 2);
	buf_append(&prefix, line->data, prefix_length(buf_span(line)));
	add_lines(line, buf_span(&prefix), footer, joined);
	mark_lines(line);
out:
	buf_free(&template);
	buf_free(&text);
	buf_free(&prefix);
	buf_free(&error);
}
