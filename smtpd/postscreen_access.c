/* SPDX-License-Identifier: MIT */
/* postscreen_access_list and postscreen_allowlist_interfaces. */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/table/match_list.h"
#include "smtpd/postscreen_client.h"

enum { RULES_MAX = 200 };

enum verdict {
	VERDICT_NEXT, /* ask the next rule */
	VERDICT_DUNNO,
	VERDICT_PERMIT,
	VERDICT_REJECT,
	VERDICT_BAD,
};

struct rule {
	enum verdict word;   /* VERDICT_NEXT: one of the two below */
	struct table *table; /* NULL: permit_mynetworks */
};

static struct rule *rules;
static size_t n_rules;
static struct match_list *mynetworks, *interfaces;

static enum verdict
word_of(struct span text)
{
	static const struct {
		const char *name;
		enum verdict verdict;
	} words[] = {
	    {"permit", VERDICT_PERMIT},
	    {"reject", VERDICT_REJECT},
	    {"dunno", VERDICT_DUNNO},
	    {"permit_mynetworks", VERDICT_NEXT},
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (span_equal_cstr_nocase(text, words[i].name))
			return words[i].verdict;
	}
	return VERDICT_BAD;
}

static void
add_rule(const char *text)
{
	struct rule r = {.word = word_of(span_of(text))};

	if (n_rules == RULES_MAX)
		log_fatal("postscreen_access_list: more than %d elements",
			  RULES_MAX);
	if (r.word == VERDICT_BAD) {
		if (!strchr(text, ':'))
			log_fatal("postscreen_access_list: unknown command: %s",
				  text);
		r.word = VERDICT_NEXT;
		r.table = table_open(text, TABLE_FOLD_FIXED);
	}
	rules = mem_realloc(rules, n_rules + 1, sizeof(*rules));
	rules[n_rules++] = r;
}

void
postscreen_access_open(void)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, span_of(conf->postscreen_access_list), ", \t\r\n",
		     true);
	for (size_t i = 0; i < words.n; i++)
		add_rule(words.v[i]);
	strvec_free(&words);
	mynetworks =
	    match_list_open("mynetworks", conf->mynetworks, MATCH_ADDRESS, 0);
	interfaces = match_list_open("postscreen_allowlist_interfaces",
				     conf->postscreen_allowlist_interfaces,
				     MATCH_ADDRESS, 0);
}

static enum verdict
ask_mynetworks(const char *addr, struct why *why)
{
	switch (match_list_has(mynetworks, span_of(addr), why)) {
	case TABLE_FOUND:
		return VERDICT_PERMIT;
	case TABLE_RETRY:
		log_warn("permit_mynetworks: %s", buf_cstr(&why->text));
		return VERDICT_DUNNO;
	case TABLE_ABSENT:
		break;
	}
	return VERDICT_NEXT;
}

/* What a table says: a list of words; "dunno" there means the next rule. */
static enum verdict
read_value(struct span value, const struct rule *r, const char *addr,
	   struct why *why)
{
	struct span word;
	enum verdict v;

	while (span_next_token(&value, ", \t\r\n", &word)) {
		v = word_of(word);
		if (v == VERDICT_NEXT)
			v = ask_mynetworks(addr, why);
		else if (v == VERDICT_DUNNO)
			return VERDICT_NEXT;
		if (v == VERDICT_BAD) {
			log_warn("%s: bad command for %s: \"%.*s\"",
				 table_spec(r->table), addr, SPAN_ARG(word));
			return VERDICT_DUNNO;
		}
		if (v != VERDICT_NEXT)
			return v;
	}
	return VERDICT_NEXT;
}

static enum verdict
ask_table(const struct rule *r, const char *addr, struct why *why)
{
	struct buf value = BUF_INIT;
	enum verdict v = VERDICT_NEXT;

	switch (table_get(r->table, span_of(addr), &value, why)) {
	case TABLE_FOUND:
		v = read_value(buf_span(&value), r, addr, why);
		break;
	case TABLE_RETRY:
		/* Nobody is let through, or stopped, for that. */
		log_warn("%s: lookup error for %s: %s", table_spec(r->table),
			 addr, buf_cstr(&why->text));
		v = VERDICT_DUNNO;
		break;
	case TABLE_ABSENT:
		break;
	}
	buf_free(&value);
	return v;
}

enum screen_access
postscreen_access(const char *addr)
{
	struct why why = WHY_INIT;
	enum verdict v = VERDICT_NEXT;

	for (size_t i = 0; i < n_rules && v == VERDICT_NEXT; i++) {
		const struct rule *r = &rules[i];

		if (r->word != VERDICT_NEXT)
			v = r->word;
		else if (r->table)
			v = ask_table(r, addr, &why);
		else
			v = ask_mynetworks(addr, &why);
	}
	why_free(&why);
	return v == VERDICT_PERMIT   ? ACCESS_PERMIT
	       : v == VERDICT_REJECT ? ACCESS_REJECT
				     : ACCESS_DUNNO;
}

bool
postscreen_access_interface(const char *addr)
{
	struct why why = WHY_INIT;
	enum table_status st = match_list_has(interfaces, span_of(addr), &why);

	if (st == TABLE_RETRY)
		log_warn("postscreen_allowlist_interfaces: %s",
			 buf_cstr(&why.text));
	why_free(&why);
	return st == TABLE_FOUND;
}
