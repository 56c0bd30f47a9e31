/* SPDX-License-Identifier: MIT */
/* cidr: - networks (cidr_table(5)). */
#include <ctype.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/table/cidr.h"
#include "lib/table/rules.h"
#include "lib/table/table_impl.h"

static bool
parse_pattern(struct rules *r, struct span text, struct rule *out)
{
	struct cidr *net = mem_alloc(sizeof(*net));
	char *error;

	if (cidr_parse(text, net, &error)) {
		out->pattern = net;
		return true;
	}
	rules_warn(r, "%s: skipping this rule", error);
	free(error);
	free(net);
	return false;
}

static struct span
take_negation(struct span s, bool *negated)
{
	while (s.len > 0 && s.data[0] == '!') {
		*negated = !*negated;
		s = span_trim(span_from(s, 1));
	}
	return s;
}

static bool
parse(struct rules *r, struct span line, struct rule *out)
{
	struct span rest;
	size_t n = 0;

	if (rules_word(line, "endif", &rest)) {
		out->kind = RULE_ENDIF;
		if (rest.len > 0)
			rules_warn(r, "garbage after ENDIF: skipping this "
				      "rule");
		return rest.len == 0;
	}
	if (rules_word(line, "if", &rest)) {
		out->kind = RULE_IF;
		rest = take_negation(rest, &out->negated);
		if (rest.len > 0)
			return parse_pattern(r, rest, out);
		rules_warn(r, "no address pattern: skipping this rule");
		return false;
	}
	out->kind = RULE_RESULT;
	line = take_negation(line, &out->negated);
	while (n < line.len && !isspace((unsigned char)line.data[n]))
		n++;
	rest = span_trim(span_from(line, n));
	if (n == 0) {
		rules_warn(r, "no address pattern: skipping this rule");
		return false;
	}
	if (!parse_pattern(r, span_make(line.data, n), out))
		return false;
	if (rest.len == 0) {
		rules_warn(r, "no lookup result: skipping this rule");
		return false;
	}
	out->result = mem_strndup(rest.data, rest.len);
	out->parts = mem_alloc(sizeof(*out->parts));
	out->parts[0].text = span_make(out->result, rest.len);
	out->n_parts = 1;
	return true;
}

static bool
prepare(struct rule_subject *s)
{
	static struct cidr addr;

	s->parsed = &addr;
	return cidr_parse_address(s->key, &addr);
}

static enum rule_match
match(const struct rules *r, const struct rule *rule, struct rule_subject *s)
{
	const struct cidr *net = rule->pattern, *addr = s->parsed;

	(void)r;
	if (net->family != addr->family)
		return RULE_NEVER;
	return cidr_contains(net, addr) ? RULE_MATCH : RULE_NO_MATCH;
}

static const struct rule_syntax syntax = {
    .name = "cidr",
    .stray_endif = "ENDIF without IF: skipping this rule",
    .parse = parse,
    .prepare = prepare,
    .match = match,
    .free_pattern = free,
};

static bool
open_cidr(struct table *t)
{
	return rules_table_open(t, &syntax);
}

const struct table_type table_type_cidr = {
    .name = "cidr",
    .pattern = true,
    .open = open_cidr,
    .get = rules_table_get,
    .close = rules_table_close,
};
