/* SPDX-License-Identifier: MIT */
#include "lib/addr/alias.h"

#include "lib/addr/token.h"

static const char include_mark[] = ":include:";

enum { INCLUDE_LEN = sizeof(include_mark) - 1 };

/* The mark at the front of s, or 0: what belongs to the word behind it. */
static size_t
mark_length(struct span s)
{
	if (s.len && s.data[0] == '|')
		return 1;
	return span_starts_nocase(s, include_mark) ? INCLUDE_LEN : 0;
}

/*
 * Write the mark at s and its word as one quoted string: to the address
 * parser ":include:" would be a group and |"a b" two words. Returns how much
 * of s was used.
 */
static size_t
join_mark(struct span s, size_t mark, struct buf *out)
{
	size_t i = mark;

	while (mark == 1 && i < s.len &&
	       (s.data[i] == ' ' || s.data[i] == '\t'))
		i++;
	buf_append_byte(out, '"');
	buf_append(out, s.data, mark);
	if (i < s.len && s.data[i] == '"')
		return i + 1; /* the string goes on to its own quote */
	for (; i < s.len && !strchr(" \t\r\n,;\"()<>", s.data[i]); i++) {
		if (s.data[i] == '\\') {
			/* One at the very end would hide our quote. */
			if (i + 1 == s.len)
				continue;
			buf_append_byte(out, s.data[i++]);
		}
		buf_append_byte(out, s.data[i]);
	}
	buf_append_byte(out, '"');
	return i;
}

static void
join_marks(struct span text, struct buf *out)
{
	bool start = true, quoted = false;
	size_t i = 0;

	while (i < text.len) {
		size_t mark = start ? mark_length(span_from(text, i)) : 0;
		char c = text.data[i++];

		start = false;
		if (mark) {
			i += join_mark(span_from(text, i - 1), mark, out) - 1;
			quoted = out->data[out->len - 1] != '"';
			continue;
		}
		buf_append_byte(out, c);
		if (c == '\\' && i < text.len)
			buf_append_byte(out, text.data[i++]);
		else if (c == '"')
			quoted = !quoted;
		else
			start = !quoted && strchr(" \t\r\n,;", c) != NULL;
	}
}

bool
alias_parse(struct span text, struct strvec *out)
{
	struct tokens t = TOKENS_INIT;
	struct buf safe = BUF_INIT;
	bool ok;

	join_marks(text, &safe);
	ok = tokens_split(&t, buf_span(&safe), ALIAS_LINE_ITEMS_MAX * 4);
	tokens_parse(&t);
	for (size_t i = 0; i < t.n; i++)
		if (t.v[i].kind == TOKEN_ADDRESS)
			strvec_add_span(out, token_text(&t, &t.v[i]));
	tokens_free(&t);
	buf_free(&safe);
	return ok;
}

enum alias_kind
alias_classify(const char *item, const char **arg)
{
	*arg = item;
	switch (*item) {
	case '|':
		*arg = item + 1;
		return ALIAS_COMMAND;
	case '/':
		return ALIAS_FILE;
	case '~':
		return ALIAS_HOME;
	default:
		if (span_starts_nocase(span_of(item), include_mark)) {
			*arg = item + INCLUDE_LEN;
			return ALIAS_INCLUDE;
		}
		return ALIAS_ADDRESS;
	}
}

bool
alias_next_line(struct span *rest, size_t max, struct span *line)
{
	while (rest->len) {
		long nl = span_find(*rest, '\n');
		size_t n = nl < 0 ? rest->len : (size_t)nl;
		size_t skip = n + (nl >= 0);

		if (n > max)
			n = skip = max;
		*line = span_make(rest->data, n);
		*rest = span_from(*rest, skip);
		if (n && line->data[0] != '#' && span_trim(*line).len)
			return true;
	}
	return false;
}
