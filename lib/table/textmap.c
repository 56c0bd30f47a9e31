/* SPDX-License-Identifier: MIT */
#include "lib/table/textmap.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/sys/io.h"

enum {
	QUOTED_MAX = 30,                   /* bytes of text in a warning */
	FILE_VALUE_MAX = 64 * 1024 * 1024, /* bytes of all files of -F */
};

void
textmap_init_file(struct textmap *tm, FILE *fp, const char *name)
{
	*tm = (struct textmap){.fp = fp, .name = mem_strdup(name)};
}

void
textmap_init_text(struct textmap *tm, struct span text, const char *name)
{
	*tm = (struct textmap){.text = text, .name = mem_strdup(name)};
}

void
textmap_free(struct textmap *tm)
{
	free(tm->name);
	free(tm->raw);
	buf_free(&tm->line);
	buf_free(&tm->ahead);
	*tm = (struct textmap){.fp = NULL};
}

/* One physical line without its end; false at the end of the input. */
static bool
read_physical(struct textmap *tm, struct span *line)
{
	if (tm->fp) {
		ssize_t n = getline(&tm->raw, &tm->raw_cap, tm->fp);

		if (n < 0) {
			tm->failed = ferror(tm->fp) != 0;
			return false;
		}
		*line = span_make(tm->raw, (size_t)n);
		if (n > 0 && line->data[n - 1] == '\n')
			line->len--;
	} else {
		long end;

		if (tm->text.len == 0)
			return false;
		end = span_find(tm->text, '\n');
		*line = span_make(tm->text.data,
				  end < 0 ? tm->text.len : (size_t)end);
		tm->text = span_from(tm->text, line->len + (end < 0 ? 0 : 1));
	}
	tm->physical++;
	line->len = strnlen(line->data, line->len);
	return true;
}

static bool
is_blank_or_comment(struct span line)
{
	size_t i = 0;

	while (i < line.len && isspace((unsigned char)line.data[i]))
		i++;
	return i == line.len || line.data[i] == '#';
}

static void
warn_leading_space(const struct textmap *tm, struct span line)
{
	int n = (int)(line.len < QUOTED_MAX ? line.len : QUOTED_MAX);

	log_warn("%s: logical line must not start with whitespace: "
		 "\"%.*s%s\"",
		 tm->name, n, line.data, line.len > QUOTED_MAX ? "..." : "");
}

/* The first line of a logical line. */
static bool
start_logical(struct textmap *tm)
{
	struct span line;

	buf_reset(&tm->line);
	if (tm->have_ahead) {
		tm->have_ahead = false;
		tm->number = tm->ahead_line;
		buf_append_span(&tm->line, buf_span(&tm->ahead));
		return true;
	}
	while (read_physical(tm, &line)) {
		if (is_blank_or_comment(line))
			continue;
		if (isspace((unsigned char)line.data[0])) {
			warn_leading_space(tm, line);
			continue;
		}
		tm->number = tm->physical;
		buf_append_span(&tm->line, line);
		return true;
	}
	return false;
}

bool
textmap_next(struct textmap *tm, struct span *out)
{
	struct span line;

	if (!start_logical(tm))
		return false;
	while (read_physical(tm, &line)) {
		if (is_blank_or_comment(line))
			continue;
		if (!isspace((unsigned char)line.data[0])) {
			buf_set(&tm->ahead, line);
			tm->have_ahead = true;
			tm->ahead_line = tm->physical;
			break;
		}
		if (tm->line.len + line.len > TEXTMAP_LINE_MAX) {
			tm->failed = true;
			errno = EFBIG;
			return false;
		}
		buf_append_span(&tm->line, line);
	}
	*out = buf_span(&tm->line);
	return !tm->failed;
}

/* ---- rules in the table's name ---- */

/* Index of the brace that closes the one at text.data[0], or -1. */
static long
closing_brace(struct span text)
{
	int depth = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] == '{')
			depth++;
		else if (text.data[i] == '}' && --depth == 0)
			return (long)i;
	}
	return -1;
}

static bool
is_separator(char c)
{
	return c == ',' || isspace((unsigned char)c);
}

bool
textmap_next_word(struct span *rest, struct span *word)
{
	int depth = 0;
	size_t i;

	while (rest->len > 0 && is_separator(rest->data[0]))
		*rest = span_from(*rest, 1);
	for (i = 0; i < rest->len; i++) {
		if (rest->data[i] == '{')
			depth++;
		else if (rest->data[i] == '}' && depth > 0)
			depth--;
		else if (depth == 0 && is_separator(rest->data[i]))
			break;
	}
	*word = span_make(rest->data, i);
	*rest = span_from(*rest, i);
	return i > 0;
}

bool
textmap_braces(struct span word, struct span *inner, char **error)
{
	long end;

	*error = NULL;
	if (word.len == 0 || word.data[0] != '{')
		*error = mem_sprintf("no '{' at start of text in \"%.*s\"",
				     SPAN_ARG(word));
	else if ((end = closing_brace(word)) < 0)
		*error = mem_sprintf("missing '}' in \"%.*s\"", SPAN_ARG(word));
	else if ((size_t)end + 1 != word.len)
		*error = mem_sprintf("syntax error after '}' in \"%.*s\"",
				     SPAN_ARG(word));
	else
		*inner = span_trim(span_make(word.data + 1, (size_t)end - 1));
	return !*error;
}

bool
textmap_inline_rules(const char *spec, struct buf *out, char **error)
{
	struct span rest, word, rule;

	if (!textmap_braces(span_of(spec), &rest, error))
		return false;
	while (textmap_next_word(&rest, &word)) {
		if (!textmap_braces(word, &rule, error))
			return false;
		buf_append_span(out, rule);
		buf_append_byte(out, '\n');
	}
	return true;
}

/* ---- key and value ---- */

bool
textmap_is_text(const struct textmap *tm, struct span line)
{
	char *text;

	if (utf8_valid(line.data, line.len))
		return true;
	text = mem_strndup(line.data, line.len);
	utf8_printable(text, line.len, '?');
	log_warn("%s, line %d: non-UTF-8 input \"%s\" -- ignoring this line",
		 tm->name, tm->number, text);
	free(text);
	return false;
}

/* Length of the key, or -1 when a quote is not closed. */
static long
key_length(struct span line)
{
	bool quoted = false;
	size_t i;

	for (i = 0; i < line.len; i++) {
		char c = line.data[i];

		if (c == '\\' && i + 1 < line.len)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && isspace((unsigned char)c))
			break;
	}
	return quoted ? -1 : (long)i;
}

enum textmap_entry
textmap_split(const struct textmap *tm, struct span line, bool check_utf8,
	      struct span *key, struct span *value)
{
	long n;

	if (check_utf8 && !textmap_is_text(tm, line))
		return TEXTMAP_BAD;
	n = key_length(line);
	if (n < 0) {
		log_warn("%s, line %d: unbalanced '\"' in '%.*s' -- ignoring "
			 "this line",
			 tm->name, tm->number, SPAN_ARG(line));
		return TEXTMAP_BAD;
	}
	*key = span_make(line.data, (size_t)n);
	*value = span_trim(span_from(line, (size_t)n));
	if (key->len == 0 || value->len == 0)
		return TEXTMAP_NO_VALUE;
	if (key->data[key->len - 1] == ':')
		log_warn("%s, line %d: record is in \"key: value\" format; is "
			 "this an alias file?",
			 tm->name, tm->number);
	return TEXTMAP_ENTRY;
}

bool
textmap_file_value(struct span names, struct buf *out, char **error)
{
	struct buf content = BUF_INIT;
	struct span name;
	bool any = false;

	*error = NULL;
	while (!*error && span_next_token(&names, ", \t\r\n", &name)) {
		char *path = mem_strndup(name.data, name.len);

		if (any)
			buf_append_byte(&content, '\n');
		any = true;
		if (content.len >= FILE_VALUE_MAX)
			*error =
			    mem_sprintf("open %s: %s", path, strerror(EFBIG));
		else if (!io_read_file(path, FILE_VALUE_MAX - content.len,
				       &content))
			*error =
			    mem_sprintf("open %s: %s", path, strerror(errno));
		free(path);
	}
	if (!*error && !any)
		*error = mem_strdup("empty pathname list");
	if (!*error)
		base64_encode(buf_span(&content), out);
	buf_free(&content);
	return !*error;
}
