/* SPDX-License-Identifier: MIT */
/* pcre: - Perl compatible regular expressions, PCRE2 (pcre_table(5)). */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/rules_regex.h"
#include "lib/table/table_impl.h"

struct pattern {
	pcre2_code *code;
	pcre2_match_data *data;
};

static bool
toggle_flag(const struct rules *r, char letter, unsigned *flags)
{
	switch (letter) {
	case 'i':
		*flags ^= PCRE2_CASELESS;
		return true;
	case 'm':
		*flags ^= PCRE2_MULTILINE;
		return true;
	case 's':
		*flags ^= PCRE2_DOTALL;
		return true;
	case 'x':
		*flags ^= PCRE2_EXTENDED;
		return true;
	case 'A':
		*flags ^= PCRE2_ANCHORED;
		return true;
	case 'E':
		*flags ^= PCRE2_DOLLAR_ENDONLY;
		return true;
	case 'U':
		*flags ^= PCRE2_UNGREEDY;
		return true;
	case 'X':
		rules_warn(r, "ignoring obsolete regexp option \"X\"");
		return true;
	default:
		return false;
	}
}

static void
free_pattern(void *arg)
{
	struct pattern *p = arg;

	pcre2_match_data_free(p->data);
	pcre2_code_free(p->code);
	free(p);
}

static void *
compile(const struct rules *r, const char *pattern, unsigned flags, bool groups,
	size_t *n_groups, char **error)
{
	struct pattern *p;
	PCRE2_SIZE offset;
	PCRE2_UCHAR text[256];
	pcre2_code *code;
	uint32_t count = 0;
	int code_error;

	(void)groups;
	if (r->flags & TABLE_UTF8)
		flags |= PCRE2_UTF;
	code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, flags,
			     &code_error, &offset, NULL);
	if (!code) {
		pcre2_get_error_message(code_error, text, sizeof(text));
		*error = mem_sprintf("error in regex at offset %zu: %s",
				     (size_t)offset, (const char *)text);
		return NULL;
	}
	/* Without it the interpreter does the same, slower. */
	pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
	*n_groups = count;
	p = mem_alloc(sizeof(*p));
	p->code = code;
	p->data = pcre2_match_data_create_from_pattern(code, NULL);
	if (!p->data)
		log_fatal_code(75, "out of memory");
	return p;
}

static void
take_groups(const struct pattern *p, struct rule_subject *s)
{
	const PCRE2_SIZE *v = pcre2_get_ovector_pointer(p->data);
	size_t n = pcre2_get_ovector_count(p->data);

	rules_groups(s, n);
	for (size_t i = 0; i < n; i++) {
		size_t from = v[2 * i], to = v[2 * i + 1];

		/* \K may put the start of a match behind its end. */
		s->groups[i] = from == PCRE2_UNSET || from > to
				   ? span_make(NULL, 0)
				   : span_make(s->key.data + from, to - from);
	}
}

static int
run(const struct pattern *p, const struct rule_subject *s, uint32_t options)
{
	return pcre2_match(p->code, (PCRE2_SPTR)s->key.data, s->key.len, 0,
			   options, p->data, NULL);
}

static enum rule_match
match(const struct rules *r, const struct rule *rule, struct rule_subject *s)
{
	const struct pattern *p = rule->pattern;
	/* table_get() has checked the key. */
	uint32_t options = r->flags & TABLE_UTF8 ? PCRE2_NO_UTF_CHECK : 0;
	PCRE2_UCHAR text[256];
	int rc;

	s->n_groups = 0;
	rc = run(p, s, options);
	/* Compiled code has a small stack; the interpreter's is the heap. */
	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = run(p, s, options | PCRE2_NO_JIT);
	if (rc == PCRE2_ERROR_NOMATCH)
		return RULE_NO_MATCH;
	if (rc < 0) {
		pcre2_get_error_message(rc, text, sizeof(text));
		log_warn("pcre map %s, line %d: matcher error: %s", r->name,
			 rule->line, (const char *)text);
		return RULE_ERROR;
	}
	if (rule->n_parts > 0)
		take_groups(p, s);
	return RULE_MATCH;
}

static bool
parse(struct rules *r, struct span line, struct rule *out)
{
	static const struct regex_engine engine = {
	    .default_flags = PCRE2_CASELESS | PCRE2_DOTALL,
	    .no_delimiter = "ignoring",
	    .range = "out of range",
	    .flag = toggle_flag,
	    .compile = compile,
	};

	return rules_regex_parse(r, line, out, &engine);
}

static const struct rule_syntax syntax = {
    .name = "pcre",
    .stray_endif = "ignoring ENDIF without matching IF",
    .parse = parse,
    .match = match,
    .free_pattern = free_pattern,
};

static bool
open_pcre(struct table *t)
{
	return rules_table_open(t, &syntax);
}

const struct table_type table_type_pcre = {
    .name = "pcre",
    .pattern = true,
    .open = open_pcre,
    .get = rules_table_get,
    .close = rules_table_close,
};
