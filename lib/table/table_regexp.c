/* SPDX-License-Identifier: MIT */
/* regexp: - POSIX regular expressions of the C library (regexp_table(5)). */
#include <regex.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/rules_regex.h"
#include "lib/table/table_impl.h"

enum { GROUPS_ON_STACK = 16 };

static bool
toggle_flag(const struct rules *r, char letter, unsigned *flags)
{
	(void)r;
	switch (letter) {
	case 'i':
		*flags ^= REG_ICASE;
		return true;
	case 'm':
		*flags ^= REG_NEWLINE;
		return true;
	case 'x':
		*flags ^= REG_EXTENDED;
		return true;
	default:
		return false;
	}
}

static void
free_pattern(void *pattern)
{
	regfree(pattern);
	free(pattern);
}

static void *
compile(const struct rules *r, const char *pattern, unsigned flags, bool groups,
	size_t *n_groups, char **error)
{
	regex_t *re = mem_alloc(sizeof(*re));
	char text[256];
	int rc;

	(void)r;
	rc = regcomp(re, pattern, (int)flags | (groups ? 0 : REG_NOSUB));
	if (rc != 0) {
		regerror(rc, re, text, sizeof(text));
		*error = mem_strdup(text);
		free(re);
		return NULL;
	}
	*n_groups = re->re_nsub;
	return re;
}

static enum rule_match
match(const struct rules *r, const struct rule *rule, struct rule_subject *s)
{
	const regex_t *re = rule->pattern;
	size_t want = rule->n_parts && !rule->negated ? re->re_nsub + 1 : 1;
	regmatch_t m[GROUPS_ON_STACK], *found = m;
	char text[256];
	int rc;

	if (want > GROUPS_ON_STACK)
		found = mem_calloc(want, sizeof(*found));
	rc = regexec(re, s->key.data, want, found, 0);
	s->n_groups = 0;
	if (rc == 0 && want > 1) {
		rules_groups(s, want);
		for (size_t i = 0; i < want; i++)
			s->groups[i] =
			    found[i].rm_so < 0
				? span_make(NULL, 0)
				: span_make(s->key.data + found[i].rm_so,
					    (size_t)(found[i].rm_eo -
						     found[i].rm_so));
	}
	if (found != m)
		free(found);
	if (rc == 0)
		return RULE_MATCH;
	if (rc == REG_NOMATCH)
		return RULE_NO_MATCH;
	regerror(rc, re, text, sizeof(text));
	log_warn("regexp map %s, line %d: %s", r->name, rule->line, text);
	return RULE_ERROR;
}

static bool
parse(struct rules *r, struct span line, struct rule *out)
{
	static const struct regex_engine engine = {
	    .default_flags = REG_EXTENDED | REG_ICASE,
	    .no_delimiter = "skipping",
	    .range = "out-of-range",
	    .flag = toggle_flag,
	    .compile = compile,
	};

	return rules_regex_parse(r, line, out, &engine);
}

static const struct rule_syntax syntax = {
    .name = "regexp",
    .stray_endif = "ignoring ENDIF without matching IF",
    .parse = parse,
    .match = match,
    .free_pattern = free_pattern,
};

static bool
open_regexp(struct table *t)
{
	return rules_table_open(t, &syntax);
}

const struct table_type table_type_regexp = {
    .name = "regexp",
    .pattern = true,
    .open = open_regexp,
    .get = rules_table_get,
    .close = rules_table_close,
};
