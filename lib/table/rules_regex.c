/* SPDX-License-Identifier: MIT */
#include "lib/table/rules_regex.h"

#include <ctype.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"

enum { GROUP_MAX = 1000000 };

static bool
is_space(char c)
{
	return isspace((unsigned char)c);
}

static struct span
skip_space(struct span s)
{
	while (s.len > 0 && is_space(s.data[0]))
		s = span_from(s, 1);
	return s;
}

/* ---- the pattern ---- */

struct pattern_text {
	struct span text;
	unsigned flags;
	bool negated;
};

/* Index of the closing delimiter, or -1. A backslash protects. */
static long
find_delimiter(struct span s, char delimiter)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.data[i] == '\\' && i + 1 < s.len)
			i++;
		else if (s.data[i] == delimiter)
			return (long)i;
	}
	return -1;
}

/* "!/pattern/flags"; *rest is what follows. false: logged. */
static bool
parse_pattern(struct rules *r, struct span *rest, struct pattern_text *p,
	      const struct regex_engine *engine)
{
	struct span s = *rest;
	char delimiter;
	long end;

	*p = (struct pattern_text){.flags = engine->default_flags};
	while (s.len > 0 && s.data[0] == '!') {
		p->negated = !p->negated;
		s = skip_space(span_from(s, 1));
	}
	if (s.len == 0) {
		rules_warn(r, "no regexp: skipping this rule");
		return false;
	}
	delimiter = s.data[0];
	s = span_from(s, 1);
	end = find_delimiter(s, delimiter);
	if (end < 0) {
		rules_warn(r,
			   "no closing regexp delimiter \"%c\": %s this "
			   "rule",
			   delimiter, engine->no_delimiter);
		return false;
	}
	p->text = span_make(s.data, (size_t)end);
	s = span_from(s, (size_t)end + 1);
	while (s.len > 0 && !is_space(s.data[0])) {
		if (!engine->flag(r, s.data[0], &p->flags)) {
			rules_warn(r,
				   "unknown regexp option \"%c\": skipping "
				   "this rule",
				   s.data[0]);
			return false;
		}
		s = span_from(s, 1);
	}
	*rest = skip_space(s);
	return true;
}

/* ---- the result ---- */

static void
add_part(struct rule *rule, struct span text, size_t group)
{
	if (text.len == 0 && group == 0)
		return;
	rule->parts =
	    mem_realloc(rule->parts, rule->n_parts + 1, sizeof(*rule->parts));
	rule->parts[rule->n_parts++] = (struct rule_part){text, group};
}

static bool
bad_result(struct rules *r)
{
	rules_warn(r, "bad replacement syntax: skipping this rule");
	return false;
}

/* The name behind '$': "name", "{name}", "(name)". *len is all of it. */
static bool
macro_name(struct span s, struct span all, struct span *name, size_t *len)
{
	size_t n = 0;

	if (s.len > 0 && (s.data[0] == '{' || s.data[0] == '(')) {
		char open = s.data[0], close = open == '{' ? '}' : ')';
		int depth = 0;

		for (n = 0; n < s.len; n++) {
			if (s.data[n] == open)
				depth++;
			else if (s.data[n] == close && --depth == 0)
				break;
		}
		if (n == s.len) {
			log_warn("truncated macro reference: \"%.*s\"",
				 SPAN_ARG(all));
			return false;
		}
		*name = span_make(s.data + 1, n - 1);
		*len = n + 1;
	} else {
		while (n < s.len &&
		       (isalnum((unsigned char)s.data[n]) || s.data[n] == '_'))
			n++;
		*name = span_make(s.data, n);
		*len = n;
	}
	if (name->len == 0) {
		log_warn("empty macro name: \"%.*s\"", SPAN_ARG(all));
		return false;
	}
	return true;
}

static bool
group_index(struct rules *r, struct span name,
	    const struct regex_engine *engine, size_t *group)
{
	int64_t n;

	if (!num_parse(name, 0, GROUP_MAX, &n)) {
		rules_warn(r, "non-numeric replacement index \"%.*s\"",
			   SPAN_ARG(name));
		return false;
	}
	if (n < 1) {
		rules_warn(r, "%s replacement index \"%lld\"", engine->range,
			   (long long)n);
		return false;
	}
	*group = (size_t)n;
	return true;
}

/* Cut the result into parts; *max is the highest group used. */
static bool
parse_result(struct rules *r, struct rule *rule,
	     const struct regex_engine *engine, size_t *max)
{
	struct span all = span_of(rule->result), s = all, name;

	*max = 0;
	while (s.len > 0) {
		long at = span_find(s, '$');
		size_t group, len;

		if (at < 0) {
			add_part(rule, s, 0);
			return true;
		}
		add_part(rule, span_make(s.data, (size_t)at), 0);
		s = span_from(s, (size_t)at + 1);
		if (s.len > 0 && s.data[0] == '$') {
			add_part(rule, span_make(s.data, 1), 0);
			s = span_from(s, 1);
			continue;
		}
		if (!macro_name(s, all, &name, &len))
			return bad_result(r);
		if (rule->negated) {
			rules_warn(r, "$number found in negative match "
				      "replacement text: skipping this rule");
			return false;
		}
		if (r->flags & TABLE_NO_REGSUB) {
			rules_warn(r, "regular expression substitution is not "
				      "allowed: skipping this rule");
			return false;
		}
		if (!group_index(r, name, engine, &group))
			return bad_result(r);
		add_part(rule, span_make(NULL, 0), group);
		*max = group > *max ? group : *max;
		s = span_from(s, len);
	}
	return true;
}

/* ---- a line ---- */

static bool
compile(struct rules *r, const struct pattern_text *p, size_t max_group,
	struct rule *out, const struct regex_engine *engine)
{
	char *text = mem_strndup(p->text.data, p->text.len), *error = NULL;
	size_t groups = 0;

	out->negated = p->negated;
	out->pattern =
	    engine->compile(r, text, p->flags, max_group > 0, &groups, &error);
	free(text);
	if (!out->pattern) {
		rules_warn(r, "%s", error);
		free(error);
		return false;
	}
	if (max_group > groups) {
		rules_warn(r,
			   "out of range replacement index \"%zu\": "
			   "skipping this rule",
			   max_group);
		return false;
	}
	return true;
}

static bool
parse_result_rule(struct rules *r, struct span line, struct rule *out,
		  const struct regex_engine *engine)
{
	struct pattern_text p;
	size_t max;

	out->kind = RULE_RESULT;
	if (!parse_pattern(r, &line, &p, engine))
		return false;
	out->negated = p.negated;
	if (line.len == 0)
		rules_warn(r, "no replacement text: using empty string");
	out->result = mem_strndup(line.data, line.len);
	return parse_result(r, out, engine, &max) &&
	       compile(r, &p, max, out, engine);
}

static bool
parse_if(struct rules *r, struct span line, struct rule *out,
	 const struct regex_engine *engine)
{
	struct pattern_text p;

	out->kind = RULE_IF;
	if (!parse_pattern(r, &line, &p, engine))
		return false;
	if (line.len > 0) {
		rules_warn(r,
			   "ignoring extra text after IF statement: "
			   "\"%.*s\"",
			   SPAN_ARG(line));
		rules_warn(r, "do not prepend whitespace to statements "
			      "between IF and ENDIF");
	}
	return compile(r, &p, 0, out, engine);
}

bool
rules_regex_parse(struct rules *r, struct span line, struct rule *out,
		  const struct regex_engine *engine)
{
	struct span rest;

	if (line.len > 0 && !isalnum((unsigned char)line.data[0]))
		return parse_result_rule(r, line, out, engine);
	if (rules_word(line, "if", &rest))
		return parse_if(r, rest, out, engine);
	if (rules_word(line, "endif", &rest)) {
		out->kind = RULE_ENDIF;
		out->extra_text = rest.len > 0;
		return true;
	}
	rules_warn(r, "ignoring unrecognized request");
	return false;
}
