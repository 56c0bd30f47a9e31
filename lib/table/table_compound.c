/* SPDX-License-Identifier: MIT */
/*
 * Tables made of others, "type:{type:name, ...}" (DATABASE_README):
 * unionmap: every result, separated by commas; pipemap: each result is the
 * next table's key; and randmap:{value, ...}, one of the values.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/table/table_impl.h"

enum { NESTING_MAX = 10 };

struct compound {
	struct strvec words; /* of randmap */
	struct table **v;    /* of the others */
	size_t n;
};

static void
close_compound(struct table *t)
{
	struct compound *c = t->data;

	for (size_t i = 0; i < c->n; i++)
		table_free(c->v[i]);
	strvec_free(&c->words);
	free(c->v);
	free(c);
	t->data = NULL;
}

/* What is between the braces. false: table_fail() was called. */
static bool
split(struct table *t, const char *what, struct strvec *words)
{
	struct span s = span_of(t->name);

	if (s.len >= 2 && s.data[0] == '{' && s.data[s.len - 1] == '}')
		strvec_split(words, span_make(s.data + 1, s.len - 2),
			     ", \t\r\n", true);
	if (words->n == 0)
		return table_fail(t, "bad syntax: \"%s\"; need \"%s:{%s...}\"",
				  t->spec, t->type->name, what);
	return true;
}

/* The flags that concern the whole: keys are folded, values read, here. */
static unsigned
part_flags(const struct table *t)
{
	return (t->flags | TABLE_QUIET) & ~(unsigned)TABLE_BASE64;
}

static bool
open_part(struct table *t, struct compound *c, const char *spec)
{
	struct table *part;
	bool ok;

	if (!strchr(spec, ':'))
		return table_fail(t,
				  "bad syntax: \"%s\"; need "
				  "\"%s:{type:name...}\"",
				  t->spec, t->type->name);
	part = table_open(spec, part_flags(t));
	c->v[c->n++] = part;
	ok = !table_error(part);
	if (!ok)
		table_fail(t, "%s", table_error(part));
	return ok;
}

static bool
open_tables(struct table *t)
{
	static int depth;
	struct strvec words = STRVEC_INIT;
	struct compound *c = mem_alloc(sizeof(*c));
	bool ok;

	t->data = c;
	ok = split(t, "type:name", &words);
	if (ok && depth >= NESTING_MAX)
		ok =
		    table_fail(t, "%s: too many tables within tables", t->spec);
	c->v = mem_calloc(words.n + 1, sizeof(*c->v));
	depth++;
	for (size_t i = 0; ok && i < words.n; i++)
		ok = open_part(t, c, words.v[i]);
	depth--;
	strvec_free(&words);
	return ok;
}

/* The one table that cannot answer makes the whole answer unknown. */
static enum table_status
get_union(struct table *t, struct span key, struct buf *value, struct why *why)
{
	struct compound *c = t->data;
	enum table_status all = TABLE_ABSENT;
	struct buf one = BUF_INIT;

	for (size_t i = 0; i < c->n && all != TABLE_RETRY; i++) {
		enum table_status st = table_get(c->v[i], key, &one, why);

		if (st == TABLE_ABSENT)
			continue;
		if (st == TABLE_FOUND) {
			if (all == TABLE_FOUND)
				buf_append_byte(value, ',');
			buf_append_span(value, buf_span(&one));
		}
		all = st;
	}
	buf_free(&one);
	return all;
}

static enum table_status
get_pipe(struct table *t, struct span key, struct buf *value, struct why *why)
{
	struct compound *c = t->data;
	enum table_status st = TABLE_FOUND;
	struct buf from = BUF_INIT;

	buf_set(&from, key);
	for (size_t i = 0; i < c->n && st == TABLE_FOUND; i++) {
		st = table_get(c->v[i], buf_span(&from), value, why);
		buf_set(&from, buf_span(value));
	}
	buf_free(&from);
	return st;
}

static bool
open_random(struct table *t)
{
	struct compound *c = mem_alloc(sizeof(*c));

	t->data = c;
	return split(t, "value", &c->words);
}

static enum table_status
get_random(struct table *t, struct span key, struct buf *value, struct why *why)
{
	const struct compound *c = t->data;
	uint32_t n = 0;

	(void)key;
	(void)why;
	if (getrandom(&n, sizeof(n), 0) != (ssize_t)sizeof(n))
		n = (uint32_t)rand();
	buf_set_cstr(value, c->words.v[n % c->words.n]);
	return TABLE_FOUND;
}

const struct table_type table_type_union = {
    .name = "unionmap",
    .open = open_tables,
    .get = get_union,
    .close = close_compound,
};

const struct table_type table_type_pipe = {
    .name = "pipemap",
    .open = open_tables,
    .get = get_pipe,
    .close = close_compound,
};

const struct table_type table_type_random = {
    .name = "randmap",
    .open = open_random,
    .get = get_random,
    .close = close_compound,
};
