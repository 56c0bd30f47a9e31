/* SPDX-License-Identifier: MIT */
/* message_reject_characters and message_strip_characters. */
#include "lib/base/log.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"

enum { LOG_TEXT_MAX = 200 };

static bool rejected[256], stripped[256];
static bool active;

/* One to three octal digits; returns their number. */
static size_t
octal(const char *s, unsigned *value)
{
	size_t n = 0;

	for (*value = 0; n < 3 && s[n] >= '0' && s[n] <= '7'; n++)
		*value = *value * 8 + (unsigned)(s[n] - '0');
	return n;
}

/* The bytes of text, with the escapes of C. */
static void
read_set(const char *text, bool set[256])
{
	static const char names[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
	unsigned value;
	size_t n;

	for (; *text; text++) {
		const char *name;

		value = (unsigned char)*text;
		if (*text == '\\' && text[1]) {
			text++;
			name = strchr(names, *text);
			n = octal(text, &value);
			if (n)
				text += n - 1;
			else if (name)
				value = (unsigned char)values[name - names];
			else
				value = (unsigned char)*text;
		}
		set[value & 255] = active = true;
	}
	/* Lines are looked at without their ends. */
	set['\n'] = false;
}

void
cleanup_chars_open(void)
{
	memset(rejected, 0, sizeof(rejected));
	memset(stripped, 0, sizeof(stripped));
	active = false;
	read_set(conf->message_reject_characters, rejected);
	read_set(conf->message_strip_characters, stripped);
}

/* text[at] must not be: show its line, as far as it is known. */
static void
reject(struct cleanup *c, struct span text, size_t at)
{
	struct buf line = BUF_INIT;
	size_t from = at, to = at;

	while (from > 0 && text.data[from - 1] != '\n')
		from--;
	while (to < text.len && text.data[to] != '\n')
		to++;
	if (to - from > LOG_TEXT_MAX)
		to = from + LOG_TEXT_MAX;
	buf_printf(&line, "%s: reject: content ", c->id);
	buf_append_span(&line, span_make(text.data + from, to - from));
	cleanup_append_context(c, true, &line);
	buf_append_cstr(&line, ": 5.7.1 disallowed character");
	for (size_t i = 0; i < line.len; i++)
		if (line.data[i] == '\0')
			line.data[i] = '?';
	log_info_as("cleanup", "%s", buf_cstr(&line));
	buf_free(&line);
	cleanup_fail(c, 550, "5.7.1", "disallowed character");
}

bool
cleanup_chars_filter(struct cleanup *c, struct span text, struct buf *out)
{
	if (!active ||
	    (c->origin != CLEANUP_SMTPD && c->origin != CLEANUP_PICKUP))
		return false;
	buf_reset(out);
	for (size_t i = 0; i < text.len && !cleanup_is_over(c); i++) {
		unsigned char byte = (unsigned char)text.data[i];

		if (rejected[byte])
			reject(c, text, i);
		else if (!stripped[byte])
			buf_append_byte(out, text.data[i]);
	}
	return true;
}
