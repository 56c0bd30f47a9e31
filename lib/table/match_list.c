/* SPDX-License-Identifier: MIT */
#include "lib/table/match_list.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/table/cidr.h"
#include "lib/table/textmap.h"

enum {
	FILE_DEPTH_MAX = 20, /* files that name files */
	NAME_MAX_LEN = 1024, /* bytes of a name whose parents are looked up */
};

enum element_kind {
	ELEMENT_TEXT,
	ELEMENT_NET,
	ELEMENT_TABLE,
	ELEMENT_BAD, /* logged; answers RETRY */
};

struct element {
	enum element_kind kind;
	bool negated;
	char *text;
	struct cidr net;
	struct table *table;
};

struct match_list {
	char *name;
	enum match_kind kind;
	unsigned flags;
	struct element *v;
	size_t n, cap;
	struct buf value; /* of tables, not used */
};

static struct element *
add_element(struct match_list *m, bool negated)
{
	if (m->n == m->cap) {
		m->cap = m->cap ? m->cap * 2 : 8;
		m->v = mem_realloc(m->v, m->cap, sizeof(*m->v));
	}
	m->v[m->n] = (struct element){.negated = negated};
	return &m->v[m->n++];
}

/* "[::1]" and "[::1]/128" look like tables with a colon, and are not. */
static bool
is_table(const char *text)
{
	return text[0] != '[' && strchr(text, ':');
}

static bool
takes_addresses(const struct match_list *m)
{
	return m->kind == MATCH_ADDRESS || m->kind == MATCH_HOST;
}

static void
add_address(struct match_list *m, struct element *e)
{
	char *error;

	if (cidr_parse(span_of(e->text), &e->net, &error)) {
		e->kind = ELEMENT_NET;
	} else if (m->kind == MATCH_ADDRESS || strchr(e->text, '/') ||
		   e->text[0] == '[') {
		log_warn("%s: %s", m->name, error);
		e->kind = ELEMENT_BAD;
	}
	free(error);
}

static void add_list(struct match_list *m, struct span list, bool negated,
		     int depth);

static void
add_file(struct match_list *m, const char *path, bool negated, int depth)
{
	FILE *fp = depth < FILE_DEPTH_MAX ? fopen(path, "re") : NULL;
	struct textmap tm;
	struct span line;

	if (!fp) {
		if (depth >= FILE_DEPTH_MAX)
			errno = ELOOP;
		log_error("open file %s: %m", path);
		add_element(m, negated)->kind = ELEMENT_BAD;
		return;
	}
	textmap_init_file(&tm, fp, path);
	while (textmap_next(&tm, &line))
		add_list(m, line, negated, depth + 1);
	if (tm.failed) {
		log_error("read file %s: %m", path);
		add_element(m, negated)->kind = ELEMENT_BAD;
	}
	textmap_free(&tm);
	fclose(fp);
}

static unsigned
table_flags(void)
{
	return TABLE_FOLD_FIXED |
	       (conf && conf->smtputf8_enable ? TABLE_UTF8 : 0);
}

static void
add_word(struct match_list *m, const char *text, bool negated, int depth)
{
	struct element *e;

	while (*text == '!') {
		negated = !negated;
		text++;
	}
	if (*text == '\0') {
		log_error("%s: no pattern after '!'", m->name);
		add_element(m, negated)->kind = ELEMENT_BAD;
		return;
	}
	if (*text == '/') {
		add_file(m, text, negated, depth);
		return;
	}
	e = add_element(m, negated);
	e->text = mem_strdup(text);
	if (is_table(text)) {
		e->kind = ELEMENT_TABLE;
		e->table = table_open(text, table_flags());
	} else if (takes_addresses(m)) {
		add_address(m, e);
	}
}

static void
add_list(struct match_list *m, struct span list, bool negated, int depth)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, list, ", \t\r\n", true);
	for (size_t i = 0; i < words.n; i++)
		add_word(m, words.v[i], negated, depth);
	strvec_free(&words);
}

struct match_list *
match_list_open(const char *name, const char *list, enum match_kind kind,
		unsigned flags)
{
	struct match_list *m = mem_alloc(sizeof(*m));

	m->name = mem_strdup(name);
	m->kind = kind;
	m->flags = flags;
	add_list(m, span_of(list), false, 0);
	return m;
}

void
match_list_free(struct match_list *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++) {
		free(m->v[i].text);
		table_free(m->v[i].table);
	}
	free(m->v);
	free(m->name);
	buf_free(&m->value);
	free(m);
}

bool
match_list_is_empty(const struct match_list *m)
{
	return !m || m->n == 0;
}

/* ---- look-ups ---- */

static enum table_status
retry(struct why *why)
{
	why_set(why, "4.3.0", "Temporary lookup failure");
	return TABLE_RETRY;
}

static enum table_status
table_has(struct match_list *m, struct element *e, struct span key,
	  struct why *why)
{
	enum table_status s = table_get(e->table, key, &m->value, why);

	if (s == TABLE_RETRY)
		log_warn("%s: %s: table lookup problem", m->name, e->text);
	return s;
}

/* The name, then its parents: "example.com" when the list says that parents
 * match, else ".example.com". */
static enum table_status
table_has_domain(struct match_list *m, struct element *e, struct span name,
		 struct why *why)
{
	enum table_status s = table_has(m, e, name, why);
	struct span rest = name;

	if (table_is_pattern(e->table) || name.len > NAME_MAX_LEN)
		return s;
	while (s == TABLE_ABSENT && rest.len > 0) {
		long dot = span_find(span_from(rest, 1), '.');

		if (dot < 0)
			break;
		rest = span_from(rest, (size_t)dot + 1);
		s = table_has(m, e,
			      span_from(rest, m->flags & MATCH_PARENT ? 1 : 0),
			      why);
	}
	return s;
}

/* Is name below domain (without a leading dot)? */
static bool
is_below(struct span name, struct span domain)
{
	return name.len > domain.len && domain.len > 0 &&
	       name.data[name.len - domain.len - 1] == '.' &&
	       span_equal_nocase(span_from(name, name.len - domain.len),
				 domain);
}

static bool
domain_matches(const struct match_list *m, const char *text, struct span name)
{
	struct span domain = span_of(text);

	if (span_equal_nocase(domain, name))
		return true;
	/* Either style of subdomains, never both. */
	if (text[0] == '.')
		return !(m->flags & MATCH_PARENT) &&
		       is_below(name, span_from(domain, 1));
	return (m->flags & MATCH_PARENT) && is_below(name, domain);
}

static enum table_status
element_has_name(struct match_list *m, struct element *e, struct span name,
		 bool domain, struct why *why)
{
	bool yes;

	if (e->kind == ELEMENT_TABLE)
		return domain ? table_has_domain(m, e, name, why)
			      : table_has(m, e, name, why);
	if (e->kind != ELEMENT_TEXT)
		return TABLE_ABSENT;
	yes = domain ? domain_matches(m, e->text, name)
		     : span_equal_cstr_nocase(name, e->text);
	return yes ? TABLE_FOUND : TABLE_ABSENT;
}

static enum table_status
element_has_address(struct match_list *m, struct element *e, struct span addr,
		    struct why *why)
{
	struct cidr parsed;

	if (e->kind == ELEMENT_TABLE)
		return table_has(m, e, addr, why);
	if (e->kind != ELEMENT_NET || !cidr_parse_address(addr, &parsed))
		return TABLE_ABSENT;
	return cidr_contains(&e->net, &parsed) ? TABLE_FOUND : TABLE_ABSENT;
}

static enum table_status
element_has(struct match_list *m, struct element *e, struct span name,
	    struct span addr, struct why *why)
{
	enum table_status s = TABLE_ABSENT;

	if (e->kind == ELEMENT_BAD)
		return retry(why);
	switch (m->kind) {
	case MATCH_STRING:
		return element_has_name(m, e, name, false, why);
	case MATCH_DOMAIN:
		return element_has_name(m, e, name, true, why);
	case MATCH_ADDRESS:
		return element_has_address(m, e, addr, why);
	case MATCH_HOST:
		if (name.len > 0)
			s = element_has_name(m, e, name, true, why);
		if (s == TABLE_ABSENT && addr.len > 0)
			s = element_has_address(m, e, addr, why);
		return s;
	}
	return s;
}

static enum table_status
has(struct match_list *m, struct span name, struct span addr, struct why *why)
{
	for (size_t i = 0; m && i < m->n; i++) {
		struct element *e = &m->v[i];
		enum table_status s = element_has(m, e, name, addr, why);

		if (s == TABLE_RETRY)
			return s;
		if (s == TABLE_FOUND)
			return e->negated ? TABLE_ABSENT : TABLE_FOUND;
	}
	return TABLE_ABSENT;
}

enum table_status
match_list_has(struct match_list *m, struct span key, struct why *why)
{
	return has(m, key, key, why);
}

enum table_status
match_list_has_host(struct match_list *m, const char *name, const char *addr,
		    struct why *why)
{
	return has(m, span_of(name), span_of(addr), why);
}
