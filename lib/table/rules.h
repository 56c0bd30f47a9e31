/* SPDX-License-Identifier: MIT */
/*
 * rules - tables of rules that are tried in order, with if/endif and
 * negation: what regexp:, pcre: and cidr: have in common.
 *
 * A syntax parses one rule and matches one pattern; the order, the nesting
 * and the result are here. Bad rules are logged and skipped.
 */
#ifndef LIB_TABLE_RULES_H
#define LIB_TABLE_RULES_H

#include <stdint.h>

#include "lib/table/table.h"
#include "lib/table/textmap.h"

enum rule_kind {
	RULE_RESULT,
	RULE_IF,
	RULE_ENDIF,
};

enum rule_match {
	RULE_NO_MATCH,
	RULE_MATCH,
	RULE_NEVER, /* no match, not even when negated */
	RULE_ERROR, /* logged */
};

/* A piece of a result: literal text, or the text of a group. */
struct rule_part {
	struct span text; /* points into result */
	size_t group;     /* 0: literal */
};

struct rule {
	enum rule_kind kind;
	bool negated;
	bool extra_text; /* RULE_ENDIF: something follows; warned about */
	int line;
	size_t behind; /* RULE_IF: index of its ENDIF */
	void *pattern; /* of the syntax; NULL in RULE_ENDIF */
	char *result;
	struct rule_part *parts;
	size_t n_parts;
};

/* One look-up. */
struct rule_subject {
	struct span key;     /* NUL terminated as well */
	void *parsed;        /* of the syntax (cidr) */
	size_t n_groups;     /* of the last match, group 0 included */
	struct span *groups; /* data is NULL for a group that took no part */
	size_t cap_groups;
};

struct rules;

struct rule_syntax {
	const char *name;        /* "regexp": "NAME map FILE, line N: .." */
	const char *stray_endif; /* warning */
	/* Parse a line (kind, negated, pattern, result, parts). false: it was
	 * logged and is skipped. */
	bool (*parse)(struct rules *r, struct span line, struct rule *out);
	/* Once per look-up; false: nothing can match. May be NULL. */
	bool (*prepare)(struct rule_subject *s);
	enum rule_match (*match)(const struct rules *r, const struct rule *rule,
				 struct rule_subject *s);
	void (*free_pattern)(void *pattern);
};

struct rules {
	const struct rule_syntax *syntax;
	unsigned flags; /* of the table */
	char *name;     /* for messages */
	int line;       /* being parsed */
	struct rule *v;
	size_t n, cap;
	struct rule_subject subject;
	struct buf key;
};

/* Parse all of tm. */
struct rules *rules_read(const struct rule_syntax *syntax, struct textmap *tm,
			 unsigned flags);
void rules_free(struct rules *r);
enum rule_match rules_find(struct rules *r, struct span key, struct buf *value);
/* "NAME map FILE, line N: ..." */
void rules_warn(const struct rules *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Make room for n groups of the subject. */
void rules_groups(struct rule_subject *s, size_t n);
/* Does line begin with the word (any case), and does a character that is
 * neither letter nor digit follow? *rest is trimmed. */
bool rules_word(struct span line, const char *word, struct span *rest);

/* The open, get and close of a table of rules: t->name is a file or
 * "{ {rule} .. }". */
bool rules_table_open(struct table *t, const struct rule_syntax *syntax);
enum table_status rules_table_get(struct table *t, struct span key,
				  struct buf *value, struct why *why);
void rules_table_close(struct table *t);

#endif
