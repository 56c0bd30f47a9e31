/* SPDX-License-Identifier: MIT */
/*
 * rules_regex - the "/pattern/flags result" syntax that regexp_table(5) and
 * pcre_table(5) share, on top of rules.h.
 */
#ifndef LIB_TABLE_RULES_REGEX_H
#define LIB_TABLE_RULES_REGEX_H

#include "lib/table/rules.h"

struct regex_engine {
	unsigned default_flags;
	const char *no_delimiter; /* "skipping", "ignoring" this rule */
	const char *range;        /* "out-of-range", "out of range" for $0 */
	/* Toggle the flag of a letter; false: no such letter. */
	bool (*flag)(const struct rules *r, char letter, unsigned *flags);
	/* NULL: *error (free()). groups: will their text be needed? *n_groups
	 * is set to how many there are. */
	void *(*compile)(const struct rules *r, const char *pattern,
			 unsigned flags, bool groups, size_t *n_groups,
			 char **error);
};

bool rules_regex_parse(struct rules *r, struct span line, struct rule *out,
		       const struct regex_engine *engine);

#endif
