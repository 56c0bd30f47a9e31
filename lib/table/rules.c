/* SPDX-License-Identifier: MIT */
#include "lib/table/rules.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/table_impl.h"

enum { IF_DEPTH_MAX = 1000 };

void
rules_warn(const struct rules *r, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	log_warn("%s map %s, line %d: %s", r->syntax->name, r->name, r->line,
		 buf_cstr(&text));
	buf_free(&text);
}

bool
rules_word(struct span line, const char *word, struct span *rest)
{
	size_t n = strlen(word);

	if (line.len < n || strncasecmp(line.data, word, n) != 0 ||
	    (line.len > n && isalnum((unsigned char)line.data[n])))
		return false;
	*rest = span_trim(span_from(line, n));
	return true;
}

static void
free_rule(const struct rule_syntax *syntax, struct rule *rule)
{
	if (rule->pattern)
		syntax->free_pattern(rule->pattern);
	free(rule->result);
	free(rule->parts);
}

static void
add_rule(struct rules *r, const struct rule *rule)
{
	if (r->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->v = mem_realloc(r->v, r->cap, sizeof(*r->v));
	}
	r->v[r->n++] = *rule;
}

/* Rules that follow an IF without ENDIF stay inside it. */
static void
end_open_ifs(struct rules *r, const size_t *open, size_t depth)
{
	while (depth > 0) {
		struct rule *rule = &r->v[open[--depth]];

		r->line = rule->line;
		rules_warn(r, "IF has no matching ENDIF");
		rule->behind = r->n;
	}
}

struct rules *
rules_read(const struct rule_syntax *syntax, struct textmap *tm, unsigned flags)
{
	struct rules *r = mem_alloc(sizeof(*r));
	size_t open[IF_DEPTH_MAX], depth = 0;
	struct span line;

	r->syntax = syntax;
	r->flags = flags;
	r->name = mem_strdup(tm->name);
	while (textmap_next(tm, &line)) {
		struct rule rule = {.line = tm->number};

		r->line = tm->number;
		line = span_trim(line);
		if (!syntax->parse(r, line, &rule)) {
			free_rule(syntax, &rule);
			continue;
		}
		if (rule.kind == RULE_ENDIF && depth == 0) {
			rules_warn(r, "%s", syntax->stray_endif);
			continue;
		}
		if (rule.kind == RULE_IF && depth == IF_DEPTH_MAX) {
			rules_warn(r, "IF is nested too deeply");
			free_rule(syntax, &rule);
			continue;
		}
		if (rule.extra_text)
			rules_warn(r, "ignoring extra text after ENDIF");
		if (rule.kind == RULE_ENDIF)
			r->v[open[--depth]].behind = r->n;
		if (rule.kind == RULE_IF)
			open[depth++] = r->n;
		add_rule(r, &rule);
	}
	end_open_ifs(r, open, depth);
	return r;
}

void
rules_free(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		free_rule(r->syntax, &r->v[i]);
	free(r->v);
	free(r->name);
	free(r->subject.groups);
	buf_free(&r->key);
	free(r);
}

void
rules_groups(struct rule_subject *s, size_t n)
{
	if (n > s->cap_groups) {
		s->groups = mem_realloc(s->groups, n, sizeof(*s->groups));
		s->cap_groups = n;
	}
	s->n_groups = n;
}

static void
append_result(const struct rules *r, const struct rule *rule, struct buf *value)
{
	for (size_t i = 0; i < rule->n_parts; i++) {
		const struct rule_part *p = &rule->parts[i];

		if (p->group == 0)
			buf_append_span(value, p->text);
		else if (p->group < r->subject.n_groups &&
			 r->subject.groups[p->group].data)
			buf_append_span(value, r->subject.groups[p->group]);
	}
	buf_append(value, "", 0);
}

static enum rule_match
match_rule(struct rules *r, const struct rule *rule)
{
	enum rule_match m = r->syntax->match(r, rule, &r->subject);

	if (!rule->negated || m == RULE_NEVER || m == RULE_ERROR)
		return m;
	r->subject.n_groups = 0;
	return m == RULE_MATCH ? RULE_NO_MATCH : RULE_MATCH;
}

enum rule_match
rules_find(struct rules *r, struct span key, struct buf *value)
{
	buf_set(&r->key, key);
	r->subject.key = span_make(buf_cstr(&r->key), key.len);
	if (r->syntax->prepare && !r->syntax->prepare(&r->subject))
		return RULE_NO_MATCH;
	for (size_t i = 0; i < r->n; i++) {
		const struct rule *rule = &r->v[i];
		enum rule_match m;

		if (rule->kind == RULE_ENDIF)
			continue;
		m = match_rule(r, rule);
		if (m == RULE_ERROR)
			return m;
		if (rule->kind == RULE_IF) {
			if (m != RULE_MATCH)
				i = rule->behind;
		} else if (m == RULE_MATCH) {
			append_result(r, rule, value);
			return RULE_MATCH;
		}
	}
	return RULE_NO_MATCH;
}

/* ---- as a table ---- */

static bool
open_inline(struct table *t, const struct rule_syntax *syntax)
{
	struct buf text = BUF_INIT;
	struct textmap tm;
	char *error;

	if (!textmap_inline_rules(t->name, &text, &error)) {
		table_fail(t, "%s map: %s", syntax->name, error);
		free(error);
		buf_free(&text);
		return false;
	}
	textmap_init_text(&tm, buf_span(&text), t->name);
	t->data = rules_read(syntax, &tm, t->flags);
	textmap_free(&tm);
	buf_free(&text);
	return true;
}

bool
rules_table_open(struct table *t, const struct rule_syntax *syntax)
{
	struct textmap tm;
	FILE *fp;

	if (t->name[0] == '{')
		return open_inline(t, syntax);
	fp = fopen(t->name, "re");
	if (!fp)
		return table_fail(t, "open %s: %s", t->name, strerror(errno));
	table_watch(t, fcntl(fileno(fp), F_DUPFD_CLOEXEC, 0), t->name);
	textmap_init_file(&tm, fp, t->name);
	t->data = rules_read(syntax, &tm, t->flags);
	if (tm.failed)
		table_fail(t, "%s map %s: read error: %s", syntax->name,
			   t->name, strerror(errno));
	textmap_free(&tm);
	fclose(fp);
	return !t->error;
}

enum table_status
rules_table_get(struct table *t, struct span key, struct buf *value,
		struct why *why)
{
	switch (rules_find(t->data, key, value)) {
	case RULE_MATCH:
		return TABLE_FOUND;
	case RULE_ERROR:
		return table_retry(why);
	default:
		return TABLE_ABSENT;
	}
}

void
rules_table_close(struct table *t)
{
	rules_free(t->data);
	t->data = NULL;
}
