/* SPDX-License-Identifier: MIT */
/* Canonical mapping (canonical(5)), masquerading, virtual aliases
 * (virtual(5)). */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/addr/token.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"

enum {
	CANONICAL_DEPTH_MAX = 10,
	VALUE_TOKENS_MAX = 100000,
};

/*
 * One address of a look-up's result: "@domain" keeps the local part that was
 * looked up, ext goes in before the '@'.
 */
static void
complete_result(struct span found, struct span key, struct span ext,
		struct buf *out)
{
	struct span local = addr_localpart(found);

	buf_reset(out);
	if (local.len == 0 && addr_at(found) >= 0) {
		buf_append_span(out, addr_localpart(key));
		buf_append_span(out, found);
	} else {
		buf_append_span(out, local);
		buf_append_span(out, ext);
		buf_append_span(out, span_from(found, local.len));
	}
	rewrite_address(REWRITE_LOCAL, out);
}

/* The addresses of value, completed, into list. */
static void
parse_value(struct span value, struct span key, struct span ext,
	    struct strvec *list)
{
	struct tokens t = TOKENS_INIT;
	struct buf addr = BUF_INIT;

	tokens_split(&t, value, VALUE_TOKENS_MAX);
	tokens_parse(&t);
	for (size_t i = 0; i < t.n; i++) {
		if (t.v[i].kind != TOKEN_ADDRESS)
			continue;
		complete_result(token_text(&t, &t.v[i]), key, ext, &addr);
		if (addr.len)
			strvec_add_span(list, buf_span(&addr));
	}
	buf_free(&addr);
	tokens_free(&t);
}

/*
 * Look addr up and parse what was found. name is the class of tables in
 * propagate_unmatched_extensions.
 */
static enum table_status
find_addresses(struct maps *maps, struct span addr, const char *name,
	       struct strvec *list)
{
	struct buf value = BUF_INIT, ext = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st;

	st = route_addr_find(maps, addr, ADDR_FIND_DEFAULT, &value, &ext, &why);
	if (st == TABLE_FOUND) {
		if (!conf_list_has(conf->propagate_unmatched_extensions, name))
			buf_reset(&ext);
		parse_value(buf_span(&value), addr, buf_span(&ext), list);
		if (list->n == 0)
			st = TABLE_ABSENT;
	}
	buf_free(&value);
	buf_free(&ext);
	why_free(&why);
	return st;
}

/* ---- canonical ---- */

static bool
map_canonical(struct cleanup *c, struct maps *maps, const char *parameter,
	      struct buf *addr)
{
	struct strvec list = STRVEC_INIT;
	enum table_status st = TABLE_FOUND;
	bool same = false;
	int i;

	if (maps_is_empty(maps))
		return true;
	for (i = 0; i < CANONICAL_DEPTH_MAX && !same; i++) {
		strvec_reset(&list);
		st = find_addresses(maps, buf_span(addr), "canonical", &list);
		if (st != TABLE_FOUND)
			break;
		same = span_equal_cstr_nocase(buf_span(addr), list.v[0]);
		buf_set_cstr(addr, list.v[0]);
	}
	strvec_free(&list);
	if (st == TABLE_RETRY) {
		cleanup_map_problem(c, parameter, buf_cstr(addr));
	} else if (st == TABLE_FOUND && !same) {
		cleanup_warn(c,
			     "unreasonable %s map nesting for %s -- message "
			     "not accepted, try again later",
			     parameter, buf_cstr(addr));
		cleanup_fail(c, 451, "4.6.0", "Alias expansion error");
	}
	return !cleanup_is_over(c);
}

/* ---- masquerading ---- */

/* The entry of masquerade_domains that applies; "!name" keeps the domain. */
static bool
is_masqueraded(struct span domain, struct span entry)
{
	size_t parent;

	if (span_equal_nocase(domain, entry))
		return true;
	if (domain.len <= entry.len)
		return false;
	parent = domain.len - entry.len;
	return domain.data[parent - 1] == '.' &&
	       span_equal_nocase(span_from(domain, parent), entry);
}

static void
masquerade(struct buf *addr)
{
	struct span rest = span_of(conf->masquerade_domains), entry;
	struct span domain = addr_domain(buf_span(addr));
	struct span local = addr_localpart(buf_span(addr));
	char *user;
	bool except;

	if (domain.len == 0 || rest.len == 0)
		return;
	user = strndup(local.data, local.len);
	except = user && conf_list_has(conf->masquerade_exceptions, user);
	free(user);
	while (!except && span_next_token(&rest, " \t\r\n,", &entry)) {
		bool keep = entry.data[0] == '!';

		if (keep)
			entry = span_from(entry, 1);
		if (!is_masqueraded(domain, entry))
			continue;
		if (!keep) {
			buf_truncate(addr, local.len + 1);
			buf_append_span(addr, entry);
		}
		break;
	}
}

bool
cleanup_map_address(struct cleanup *c, struct buf *addr, const char *class,
		    bool sender)
{
	const struct cleanup_tables *t = &cleanup_tables;
	bool ok = true;

	if (addr->len == 0)
		return true;
	if (sender && conf_list_has(conf->sender_canonical_classes, class))
		ok = map_canonical(c, t->sender_canonical,
				   "sender_canonical_maps", addr);
	if (!sender && conf_list_has(conf->recipient_canonical_classes, class))
		ok = map_canonical(c, t->recipient_canonical,
				   "recipient_canonical_maps", addr);
	if (ok && conf_list_has(conf->canonical_classes, class))
		ok = map_canonical(c, t->canonical, "canonical_maps", addr);
	if (ok && conf_list_has(conf->masquerade_classes, class))
		masquerade(addr);
	return ok;
}

/* ---- virtual aliases ---- */

static bool
refuse(struct cleanup *c, const char *what, const char *addr)
{
	cleanup_warn(c,
		     "unreasonable virtual_alias_maps %s %s -- message not "
		     "accepted, try again later",
		     what, addr);
	cleanup_fail(c, 451, "4.6.0", "Alias expansion error");
	return false;
}

static bool
refuse_long(struct cleanup *c, const char *addr)
{
	struct buf text = BUF_INIT;
	size_t n =
	    strnlen(addr, (size_t)conf->virtual_alias_address_length_limit * 2);

	buf_printf(&text, "%.*s...", (int)n, addr);
	refuse(c, "result", buf_cstr(&text));
	buf_free(&text);
	return false;
}

static void
replace_entry(struct strvec *list, size_t i, const char *s)
{
	char *copy = strdup(s);

	if (!copy)
		return;
	free(list->v[i]);
	list->v[i] = copy;
}

/*
 * Merge what list[i] expands to: the first result takes its place, the others
 * go to the end. *again: the new list[i] is to be looked up too.
 */
static bool
merge_results(struct cleanup *c, struct strvec *list, size_t i,
	      const struct strvec *found, const char *top, bool *again)
{
	size_t limit = (size_t)conf->virtual_alias_expansion_limit;

	*again = true;
	for (size_t k = 0; k < found->n; k++) {
		if (strlen(found->v[k]) >
		    (size_t)conf->virtual_alias_address_length_limit)
			return refuse_long(c, found->v[k]);
		/* An alias that contains itself ends there. */
		if (!strcasecmp(found->v[k], list->v[i]))
			*again = false;
	}
	if (list->n + found->n - 1 > limit)
		return refuse(c, "map expansion size for", top);
	if (*again) {
		replace_entry(list, i, found->v[0]);
		for (size_t k = 1; k < found->n; k++)
			strvec_add(list, found->v[k]);
		return true;
	}
	for (size_t k = 0; k < found->n; k++)
		if (strcasecmp(found->v[k], list->v[i]))
			strvec_add(list, found->v[k]);
	return true;
}

bool
cleanup_expand(struct cleanup *c, struct span addr, struct strvec *list)
{
	struct maps *maps = cleanup_tables.virtual_alias;
	struct buf top = BUF_INIT;
	bool ok = true;

	strvec_add_span(list, addr);
	if (!c->do_maps || maps_is_empty(maps))
		return true;
	buf_set(&top, addr);
	for (size_t i = 0; ok && i < list->n; i++) {
		bool again = true;
		int depth = 0;

		while (ok && again) {
			struct strvec found = STRVEC_INIT;
			enum table_status st = find_addresses(
			    maps, span_of(list->v[i]), "virtual", &found);

			again = false;
			if (st == TABLE_RETRY) {
				cleanup_map_problem(c, "virtual_alias_maps",
						    list->v[i]);
				ok = false;
			} else if (st == TABLE_FOUND) {
				ok = merge_results(c, list, i, &found,
						   buf_cstr(&top), &again);
				if (ok && again &&
				    ++depth >=
					conf->virtual_alias_recursion_limit)
					ok = refuse(c, "map nesting for",
						    buf_cstr(&top));
			}
			strvec_free(&found);
		}
	}
	buf_free(&top);
	return ok;
}
