/* SPDX-License-Identifier: MIT */
/* postscreen_reject_footer, its maps, and postscreen_dnsbl_reply_map. */
#include <stdlib.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/expand.h"
#include "lib/dsn/why.h"
#include "lib/smtp/footer.h"
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

void
postscreen_footer(const struct screen *s, struct buf *line)
{
	struct buf template = BUF_INIT, text = BUF_INIT, error = BUF_INIT;

	choose(buf_span(line), &template);
	if (template.len == 0)
		goto out;
	if (expand_text(buf_span(&template), macro, (void *)(uintptr_t)s, &text,
			&error))
		footer_add(line, &text);
	else
		log_warn("postscreen_reject_footer: %s", buf_cstr(&error));
out:
	buf_free(&template);
	buf_free(&text);
	buf_free(&error);
}
