/* SPDX-License-Identifier: MIT */
#include "lib/conf/expand.h"

#include <ctype.h>

#include "lib/base/num.h"

struct expand {
	expand_lookup_fn lookup;
	void *arg;
	struct buf *out;
	struct buf *error;
	bool scan;
	bool once; /* values are not expanded */
	int depth;
	int steps;
};

enum op { OP_EQ, OP_NE, OP_LT, OP_LE, OP_GT, OP_GE };

static bool expand_run(struct expand *x, struct span text);

static bool
is_name_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

static struct span
skip_space(struct span s)
{
	while (s.len && isspace((unsigned char)s.data[0]))
		s = span_from(s, 1);
	return s;
}

/* "what at: "...seen>>>unseen"", the parse position in whole. */
static bool
error_at(struct expand *x, const char *what, struct span whole,
	 struct span rest)
{
	struct span seen = span_make(whole.data, whole.len - rest.len);

	if (x->error->len == 0)
		buf_printf(x->error, "%s at: \"...%.*s>>>%.*s\"", what,
			   SPAN_ARG(seen), SPAN_ARG(rest));
	return false;
}

static bool
error_text(struct expand *x, const char *what, struct span text)
{
	if (x->error->len == 0)
		buf_printf(x->error, "%s: \"%.*s\"", what, SPAN_ARG(text));
	return false;
}

/*
 * *rest starts with open: set inner to what is between it and the close that
 * belongs to it, and *rest to what follows. false: there is none.
 */
static bool
take_balanced(struct span *rest, char open, char close, struct span *inner)
{
	int level = 0;

	for (size_t i = 0; i < rest->len; i++) {
		if (rest->data[i] == open)
			level++;
		if (rest->data[i] != close || --level > 0)
			continue;
		*inner = span_make(rest->data + 1, i - 1);
		*rest = span_from(*rest, i + 1);
		return true;
	}
	return false;
}

static struct span
take_name(struct span *rest)
{
	size_t n = 0;
	struct span name;

	while (n < rest->len && is_name_byte(rest->data[n]))
		n++;
	name = span_make(rest->data, n);
	*rest = span_from(*rest, n);
	return name;
}

/* Append the value of name. NULL out: only find out whether it is empty. */
static bool
expand_name(struct expand *x, struct span name, struct buf *out)
{
	const char *value;
	struct buf *saved = x->out;
	struct buf copy = BUF_INIT;
	bool ok;

	if (++x->steps > EXPAND_STEPS_MAX || x->depth >= EXPAND_DEPTH_MAX)
		return error_text(x, "unreasonable macro call nesting", name);
	value = x->lookup(x->arg, name);
	if (x->scan || !value || !*value)
		return true;
	if (x->once) {
		if (out->len + strlen(value) > EXPAND_LENGTH_MAX)
			return error_text(x, "expansion is too long", name);
		buf_append_cstr(out, value);
		return true;
	}
	buf_set_cstr(&copy, value);
	x->out = out;
	x->depth++;
	ok = expand_run(x, buf_span(&copy));
	x->depth--;
	x->out = saved;
	buf_free(&copy);
	return ok;
}

/* Expand text into out instead of the result. */
static bool
expand_into(struct expand *x, struct span text, struct buf *out)
{
	struct buf *saved = x->out;
	bool ok;

	if (x->depth >= EXPAND_DEPTH_MAX)
		return error_text(x, "unreasonable macro call nesting", text);
	x->out = out;
	x->depth++;
	ok = expand_run(x, text);
	x->depth--;
	x->out = saved;
	return ok;
}

static bool
is_digits(const struct buf *b)
{
	for (size_t i = 0; i < b->len; i++)
		if (!isdigit((unsigned char)b->data[i]))
			return false;
	return b->len > 0;
}

/* "3", "3.6" or "3.6.1" as one number. */
static bool
parse_level(struct span s, int64_t *out)
{
	int64_t level = 0;

	for (int i = 0; i < 3; i++) {
		long dot = i < 2 ? span_find(s, '.') : -1;
		struct span part = dot < 0 ? s : span_make(s.data, dot);
		int64_t n = 0;

		if ((i == 0 || s.len) && !num_parse(part, 0, 9999, &n))
			return false;
		level = level * 10000 + n;
		if (dot >= 0 && (size_t)dot + 1 == s.len)
			return false;
		s = dot < 0 ? span_make("", 0) : span_from(s, dot + 1);
	}
	*out = level;
	return true;
}

static bool
compare_values(struct expand *x, const struct buf *a, const struct buf *b,
	       bool level, int *order)
{
	int64_t m;
	int64_t n;

	if (level || (is_digits(a) && is_digits(b))) {
		bool (*parse)(struct span, int64_t *) = parse_level;

		if (!level) {
			if (!num_parse(buf_span(a), 0, INT64_MAX, &m))
				return error_text(x, "bad conversion",
						  buf_span(a));
			if (!num_parse(buf_span(b), 0, INT64_MAX, &n))
				return error_text(x, "bad conversion",
						  buf_span(b));
		} else {
			const char *what =
			    "malformed compatibility level syntax";

			if (!parse(buf_span(a), &m))
				return error_text(x, what, buf_span(a));
			if (!parse(buf_span(b), &n))
				return error_text(x, what, buf_span(b));
		}
		*order = m < n ? -1 : m > n;
	} else {
		*order = strcmp(buf_cstr(a), buf_cstr(b));
	}
	return true;
}

static bool
take_operator(struct expand *x, struct span whole, struct span *rest,
	      enum op *op, bool *level)
{
	static const char *const names[] = {"==", "!=", "<", "<=", ">", ">="};
	size_t best = 0;
	struct span suffix;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		if (len > best && rest->len >= len &&
		    memcmp(rest->data, names[i], len) == 0) {
			best = len;
			*op = (enum op)i;
		}
	}
	if (best == 0)
		return error_at(x,
				"\"==\" or \"!=\" or \"<\" or \"<=\" or \">=\" "
				"or \">\" expected",
				whole, *rest);
	*rest = span_from(*rest, best);
	suffix = *rest;
	*level = take_name(rest).len > 0;
	if (*level &&
	    !span_equal_cstr(span_make(suffix.data, suffix.len - rest->len),
			     "level"))
		return error_at(x, "bad operator suffix", whole, suffix);
	return true;
}

static bool
op_holds(enum op op, int order)
{
	switch (op) {
	case OP_EQ:
		return order == 0;
	case OP_NE:
		return order != 0;
	case OP_LT:
		return order < 0;
	case OP_LE:
		return order <= 0;
	case OP_GT:
		return order > 0;
	case OP_GE:
		return order >= 0;
	}
	return false;
}

/* "{a} op {b}" at the start of *rest. */
static bool
take_relation(struct expand *x, struct span whole, struct span *rest,
	      bool *holds)
{
	struct span left;
	struct span right;
	struct buf a = BUF_INIT;
	struct buf b = BUF_INIT;
	enum op op = OP_EQ;
	bool level;
	bool ok = false;
	int order = 0;

	if (!take_balanced(rest, '{', '}', &left))
		return error_at(x, "\"}\" expected", whole, *rest);
	*rest = skip_space(*rest);
	if (!take_operator(x, whole, rest, &op, &level))
		return false;
	if (skip_space(*rest).len == 0 || skip_space(*rest).data[0] != '{')
		return error_at(x, "\"{expression}\" expected", whole, *rest);
	*rest = skip_space(*rest);
	if (!take_balanced(rest, '{', '}', &right))
		return error_at(x, "\"}\" expected", whole, *rest);
	if (!expand_into(x, left, &a) || !expand_into(x, right, &b))
		goto out;
	ok = x->scan || compare_values(x, &a, &b, level, &order);
	*holds = op_holds(op, order);
out:
	buf_free(&a);
	buf_free(&b);
	return ok;
}

/* The text behind ':': "{text}" or everything that is left. */
static bool
take_last_text(struct expand *x, struct span whole, struct span rest,
	       struct span *text)
{
	struct span r = skip_space(rest);

	if (r.len == 0 || r.data[0] != '{') {
		*text = rest;
		return true;
	}
	if (!take_balanced(&r, '{', '}', text))
		return error_at(x, "\"}\" expected", whole, r);
	if (skip_space(r).len)
		return error_at(x, "unexpected input", whole, r);
	return true;
}

/*
 * What follows the name or the relation: the texts for "not empty" (true) and
 * "empty" (false). A text that is left out has data NULL.
 */
static bool
take_choices(struct expand *x, struct span whole, struct span rest,
	     struct span *yes, struct span *no)
{
	struct span r;

	*yes = *no = span_make(NULL, 0);
	if (rest.data[0] == ':')
		return take_last_text(x, whole, span_from(rest, 1), no);
	rest = span_from(rest, 1);
	r = skip_space(rest);
	if (r.len == 0 || r.data[0] != '{') {
		*yes = rest;
		return true;
	}
	if (!take_balanced(&r, '{', '}', yes))
		return error_at(x, "\"}\" expected", whole, r);
	if (skip_space(r).len == 0)
		return true;
	if (skip_space(r).data[0] != ':')
		return error_at(x, "\":\" expected", whole, r);
	return take_last_text(x, whole, span_from(skip_space(r), 1), no);
}

static bool
expand_choice(struct expand *x, bool holds, struct span yes, struct span no)
{
	if (x->scan)
		return (!yes.data || expand_into(x, yes, x->out)) &&
		       (!no.data || expand_into(x, no, x->out));
	if (holds)
		return !yes.data || expand_into(x, yes, x->out);
	return !no.data || expand_into(x, no, x->out);
}

/* The inside of ${...} or $(...). */
static bool
expand_braced(struct expand *x, struct span whole)
{
	struct span rest = skip_space(whole);
	struct span name = span_make("", 0);
	struct span yes;
	struct span no;
	struct buf value = BUF_INIT;
	bool relation = rest.len && rest.data[0] == '{';
	bool holds = false;
	bool ok;

	if (relation) {
		if (!take_relation(x, whole, &rest, &holds))
			return false;
	} else {
		name = take_name(&rest);
	}
	if (skip_space(rest).len == 0) {
		if (!relation)
			return expand_name(x, name, x->out);
		if (holds && !x->scan)
			buf_append_cstr(x->out, "true");
		return true;
	}
	if (!strchr("?:", skip_space(rest).data[0]))
		return error_at(x,
				relation ? "\"?\" or \":\" expected"
					 : "attribute name syntax error",
				whole, rest);
	if (!take_choices(x, whole, skip_space(rest), &yes, &no))
		return false;
	if (!relation) {
		ok = expand_name(x, name, &value);
		holds = value.len > 0;
		buf_free(&value);
		if (!ok)
			return false;
	}
	return expand_choice(x, holds, yes, no);
}

/* *rest starts behind a '$'. */
static bool
expand_dollar(struct expand *x, struct span text, struct span *rest)
{
	struct span inner;
	char c = rest->len ? rest->data[0] : '\0';

	if (c == '$') {
		buf_append_byte(x->out, '$');
		*rest = span_from(*rest, 1);
		return true;
	}
	if (c == '{' || c == '(') {
		if (!take_balanced(rest, c, c == '{' ? '}' : ')', &inner))
			return error_text(x, "truncated macro reference", text);
		if (span_trim(inner).len == 0)
			return error_text(x, "empty macro name", text);
		return expand_braced(x, inner);
	}
	inner = take_name(rest);
	if (inner.len == 0)
		return error_text(x, "empty macro name", text);
	return expand_name(x, inner, x->out);
}

static bool
expand_run(struct expand *x, struct span text)
{
	struct span rest = text;

	while (rest.len) {
		long dollar = span_find(rest, '$');
		size_t plain = dollar < 0 ? rest.len : (size_t)dollar;

		if (x->out->len + plain > EXPAND_LENGTH_MAX)
			return error_text(x, "expansion is too long",
					  span_make(text.data, text.len > 60
								   ? 60
								   : text.len));
		if (!x->scan)
			buf_append(x->out, rest.data, plain);
		if (dollar < 0)
			break;
		rest = span_from(rest, plain + 1);
		if (!expand_dollar(x, text, &rest))
			return false;
	}
	return true;
}

bool
expand_text(struct span text, expand_lookup_fn lookup, void *arg,
	    struct buf *out, struct buf *error)
{
	struct expand x = {
	    .lookup = lookup, .arg = arg, .out = out, .error = error};

	return expand_run(&x, text);
}

bool
expand_once(struct span text, expand_lookup_fn lookup, void *arg,
	    struct buf *out, struct buf *error)
{
	struct expand x = {.lookup = lookup,
			   .arg = arg,
			   .out = out,
			   .error = error,
			   .once = true};

	return expand_run(&x, text);
}

bool
expand_scan(struct span text, expand_lookup_fn lookup, void *arg,
	    struct buf *error)
{
	struct buf unused = BUF_INIT;
	struct expand x = {.lookup = lookup,
			   .arg = arg,
			   .out = &unused,
			   .error = error,
			   .scan = true};
	bool ok = expand_run(&x, text);

	buf_free(&unused);
	return ok;
}
