/* SPDX-License-Identifier: MIT */
/* The argument of MAIL FROM and RCPT TO; its contract is in addr.h. */
#include "lib/addr/addr.h"
#include "lib/addr/token.h"

enum { PATH_TOKENS_MAX = 1000 };

static bool
is_white(char c)
{
	return c == ' ' || c == '\t';
}

/*
 * Length of the first word: to the '>' that closes a leading '<', else to
 * white space; quotes and comments hide both. 0: no end.
 */
static size_t
word_length(struct span s)
{
	bool quoted = false, angle = s.len && s.data[0] == '<';
	size_t i, depth = 0;

	for (i = 0; i < s.len; i++) {
		char c = s.data[i];

		if (c == '\\' && i + 1 < s.len) {
			i++;
		} else if (c == '"' && !depth) {
			quoted = !quoted;
		} else if (quoted) {
			continue;
		} else if (c == '(') {
			depth++;
		} else if (c == ')' && depth) {
			depth--;
		} else if (!depth && angle && c == '>') {
			/* The doubled brackets of some clients. */
			while (i + 1 < s.len && s.data[i + 1] == '>')
				i++;
			return i + 1;
		} else if (!depth && !angle && is_white(c)) {
			return i;
		}
	}
	return quoted || depth || angle ? 0 : i;
}

/* The domain must be one that DNS or a literal could have. */
static bool
domain_is_valid(struct span addr)
{
	struct span domain = addr_domain(addr);

	if (addr_at(addr) < 0)
		return true;
	if (domain.len > 1 && domain.data[domain.len - 1] == '.')
		domain.len--;
	return addr_valid_domain(domain);
}

/* "@a,@b:user@site": the commas are no separators here. */
static struct span
skip_route(struct span s)
{
	long colon;

	s = span_trim(s);
	colon = span_find(s, ':');
	if (s.len && s.data[0] == '@' && colon >= 0)
		return span_from(s, (size_t)colon + 1);
	return s;
}

/* The one address in t; false when there are several. */
static bool
single_address(const struct tokens *t, bool strict, struct buf *out,
	       const char **what)
{
	size_t found = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (t->v[i].kind == TOKEN_ADDRESS && found++ == 0)
			buf_set(out, token_text(t, &t->v[i]));
		else if (strict && t->v[i].kind != TOKEN_ADDRESS) {
			*what = "more than an address in the path";
			return false;
		}
	}
	if (found > 1)
		*what = "more than one address in the path";
	return found <= 1;
}

/* Within brackets, two words in a row are no address, nor are two '@'. */
static bool
adjacent_words(const struct tokens *t)
{
	for (size_t i = 1; i < t->n; i++)
		if ((token_is_word(&t->v[i - 1]) && token_is_word(&t->v[i])) ||
		    (t->v[i - 1].kind == '@' && t->v[i].kind == '@'))
			return true;
	return false;
}

static bool
parse_word(struct span word, bool strict, struct buf *out, const char **what)
{
	struct tokens t = TOKENS_INIT;
	bool ok = false;

	if (word.len && word.data[0] == '<') {
		while (word.len && word.data[0] == '<')
			word = span_from(word, 1);
		while (word.len && word.data[word.len - 1] == '>')
			word.len--;
	}
	word = skip_route(word);
	if (!tokens_split(&t, word, PATH_TOKENS_MAX) || t.unclosed)
		*what = "unclosed quote in the path";
	else if (adjacent_words(&t))
		*what = "words without anything between them in the path";
	else {
		tokens_parse(&t);
		ok = single_address(&t, strict, out, what);
	}
	tokens_free(&t);
	return ok;
}

bool
addr_parse_path(struct span arg, bool strict, struct buf *out,
		struct span *rest, const char **what)
{
	size_t n;
	bool bare;

	buf_reset(out);
	while (arg.len && is_white(arg.data[0]))
		arg = span_from(arg, 1);
	bare = arg.len == 0 || arg.data[0] != '<';
	*what = "no address";
	if (arg.len == 0)
		return false;
	*what = "missing <>";
	if (bare && strict)
		return false;
	n = word_length(arg);
	*what = "unbalanced path";
	if (n == 0 || (n < arg.len && !is_white(arg.data[n])))
		return false;
	if (!parse_word(span_make(arg.data, n), strict, out, what))
		return false;
	*what = "empty local part";
	if (strict && out->len && addr_localpart(buf_span(out)).len == 0)
		return false;
	*what = "bad domain";
	if (!domain_is_valid(buf_span(out)))
		return false;
	*what = NULL;
	arg = span_from(arg, n);
	while (arg.len && is_white(arg.data[0]))
		arg = span_from(arg, 1);
	*rest = arg;
	return true;
}
