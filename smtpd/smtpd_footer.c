/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_footer.h"

#include "lib/conf/conf.h"
#include "lib/table/table.h"
#include "smtpd/smtpd_text.h"

static struct maps *maps;

void
smtpd_footer_open(void)
{
	maps = maps_open("smtpd_reject_footer_maps",
			 conf->smtpd_reject_footer_maps,
			 TABLE_FOLD_FIXED | TABLE_FOLD_REGEX);
}

/* A table that fails is no reason to say less. */
static void
choose(struct span reply, struct buf *template)
{
	struct why why = WHY_INIT;

	if (!maps || maps_get(maps, reply, template, &why) != TABLE_FOUND)
		buf_set_cstr(template, conf->smtpd_reject_footer);
	why_free(&why);
}

/* Length of "550 5.1.1 " or "550 " at the start of a reply. */
static size_t
prefix_length(struct span reply)
{
	size_t dsn = dsn_code_length(span_from(reply, 4));

	if (dsn && 4 + dsn < reply.len && reply.data[4 + dsn] == ' ')
		return 4 + dsn + 1;
	return 4;
}

static long
find_break(struct span text)
{
	for (size_t i = 0; i + 1 < text.len; i++)
		if (text.data[i] == '\\' && text.data[i + 1] == 'n')
			return (long)i;
	return -1;
}

/* Append text to line, a "\n" in it as a new line that begins with prefix. */
static void
add_lines(struct buf *line, struct span prefix, struct span text, bool joined)
{
	for (;;) {
		long at = find_break(text);
		struct span one =
		    at < 0 ? text : span_make(text.data, (size_t)at);

		if (!joined) {
			buf_append_cstr(line, "\r\n");
			buf_append_span(line, prefix);
		}
		joined = false;
		buf_append_span(line, one);
		if (at < 0)
			return;
		text = span_from(text, (size_t)at + 2);
	}
}

/* "550 " becomes "550-" on all lines but the last. */
static void
mark_lines(struct buf *line)
{
	char *p = line->data, *end = line->data + line->len;

	for (;;) {
		char *eol = memchr(p, '\r', (size_t)(end - p));

		if (!eol)
			return;
		p[3] = '-';
		p = eol + 2;
	}
}

void
smtpd_footer_add(struct smtpd *s, struct buf *line)
{
	struct buf template = BUF_INIT, text = BUF_INIT, prefix = BUF_INIT;
	struct span footer;
	unsigned unknown;
	bool joined;

	choose(buf_span(line), &template);
	if (template.len == 0 || line->len < 4 ||
	    !smtpd_text_expand(s, NULL, template.data, &text, &unknown))
		goto out;
	/* No macro may begin a line of its own. */
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] == '\r' || text.data[i] == '\n')
			text.data[i] = ' ';
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
}
