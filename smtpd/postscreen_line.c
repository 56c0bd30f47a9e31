/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_line.h"

#include "lib/addr/addr.h"

enum screen_line
screen_line_cut(struct span in, size_t max, struct span *line, size_t *used,
		bool *bare)
{
	long lf = span_find(in, '\n'), nul;

	*line = in;
	*used = in.len;
	*bare = false;
	if (lf < 0)
		return in.len > max ? SCREEN_LINE_TOO_LONG : SCREEN_LINE_MORE;
	*used = (size_t)lf + 1;
	line->len = (size_t)lf;
	*bare = lf == 0 || in.data[lf - 1] != '\r';
	if (!*bare)
		line->len--;
	if (line->len > max)
		return SCREEN_LINE_TOO_LONG;
	nul = span_find(*line, '\0');
	if (nul >= 0)
		line->len = (size_t)nul;
	return SCREEN_LINE_COMPLETE;
}

static bool
is_white(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
trim(struct span s)
{
	while (s.len && is_white(s.data[0]))
		s = span_from(s, 1);
	while (s.len && is_white(s.data[s.len - 1]))
		s.len--;
	return s;
}

void
screen_line_split(struct span line, struct span *verb, struct span *arg)
{
	size_t n = 0;

	line = trim(line);
	while (n < line.len && !is_white(line.data[n]))
		n++;
	*verb = span_make(line.data, n);
	*arg = trim(span_from(line, n));
}

/* Up to the '>', or else to white space; quotes hide both. */
static struct span
first_path(struct span s)
{
	bool angle = s.len && s.data[0] == '<', quoted = false;

	if (angle)
		s = span_from(s, 1);
	for (size_t i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\' && i + 1 < s.len)
			i++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (angle ? c == '>' : is_white(c)))
			return span_make(s.data, i);
	}
	return s;
}

bool
screen_line_address(struct span arg, const char *word, struct buf *out)
{
	size_t n = strlen(word);
	struct span path;

	buf_reset(out);
	arg = trim(arg);
	if (arg.len <= n || !span_starts_nocase(arg, word) ||
	    arg.data[n] != ':')
		return false;
	path = first_path(trim(span_from(arg, n + 1)));
	/* A source route says nothing. */
	if (path.len && path.data[0] == '@') {
		long colon = span_find(path, ':');

		if (colon >= 0)
			path = span_from(path, (size_t)colon + 1);
	}
	addr_unquote(path, out);
	return true;
}

bool
screen_line_is_header(struct span line)
{
	size_t n = 0;

	line = trim(line);
	while (n < line.len && line.data[n] != ':' && line.data[n] != ' ' &&
	       line.data[n] != '\t')
		n++;
	while (n < line.len && (line.data[n] == ' ' || line.data[n] == '\t'))
		n++;
	return n < line.len && line.data[n] == ':';
}
