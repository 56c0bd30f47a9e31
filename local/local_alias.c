/* SPDX-License-Identifier: MIT */
/* alias_maps: look up, whose rights, the owner alias. */
#include <ctype.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "lib/addr/alias.h"
#include "lib/addr/rewrite.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "local/local.h"

/* One table of alias_maps. */
struct alias_table {
	struct table *table;
	char *file; /* whose owner's rights its commands get; NULL: root's */
};

static struct {
	struct alias_table *v;
	size_t n;
	struct local_rights privs; /* default_privs */
} aliases;

const struct local_rights *
local_default_rights(void)
{
	return &aliases.privs;
}

/* The file behind "type:name", for the types that have one. */
static char *
table_file(const char *spec)
{
	static const struct {
		const char *type, *suffix;
	} types[] = {
	    {"hash:", ".db"}, {"btree:", ".db"}, {"lmdb:", ".lmdb"},
	    {"cdb:", ".cdb"}, {"dbm:", ".pag"},  {"texthash:", ""},
	    {"regexp:", ""},  {"pcre:", ""},     {"cidr:", ""},
	    {"ldap:", ""},    {"mysql:", ""},    {"pgsql:", ""},
	    {"sqlite:", ""},
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		size_t n = strlen(types[i].type);

		if (!strncmp(spec, types[i].type, n))
			return mem_sprintf("%s%s", spec + n, types[i].suffix);
	}
	return NULL;
}

static void
find_default_rights(void)
{
	const struct passwd *pw = getpwnam(conf->default_privs);

	if (!pw)
		log_fatal("unknown user: %s (default_privs)",
			  conf->default_privs);
	if (pw->pw_uid == 0)
		log_fatal("default_privs: %s is a privileged user",
			  conf->default_privs);
	aliases.privs.uid = pw->pw_uid;
	aliases.privs.gid = pw->pw_gid;
	if (strlen(pw->pw_name) < sizeof(aliases.privs.user))
		memcpy(aliases.privs.user, pw->pw_name,
		       strlen(pw->pw_name) + 1);
}

void
local_alias_open(void)
{
	struct strvec specs = STRVEC_INIT;

	find_default_rights();
	strvec_split(&specs, span_of(conf->alias_maps), ", \t\r\n", true);
	aliases.v = mem_calloc(specs.n ? specs.n : 1, sizeof(*aliases.v));
	for (size_t i = 0; i < specs.n; i++) {
		const char *spec = specs.v[i];

		/* proxy: is opened directly: a command comes from here. */
		while (!strncmp(spec, "proxy:", 6))
			spec += 6;
		aliases.v[i].table = table_open(
		    spec, TABLE_FOLD_FIXED | TABLE_NO_REGSUB | TABLE_NO_PROXY);
		aliases.v[i].file = table_file(spec);
	}
	aliases.n = specs.n;
	strvec_free(&specs);
}

/* In one table, by the one name. */
static enum table_status
get(const struct alias_table *t, const char *name, struct buf *value)
{
	struct why why = WHY_INIT;
	enum table_status st;

	buf_reset(value);
	st = table_get(t->table, span_of(name), value, &why);
	if (st == TABLE_RETRY)
		log_warn("%s: lookup of '%s' failed", table_spec(t->table),
			 name);
	why_free(&why);
	/* An empty right-hand side is no alias. */
	if (st == TABLE_FOUND && span_trim(buf_span(value)).len == 0)
		st = TABLE_ABSENT;
	return st;
}

/* In all tables: the full name, then the one without extension. */
static enum table_status
find(const char *full, const char *bare, const struct alias_table **where,
     struct buf *value, bool *matched_full)
{
	for (size_t i = 0; i < aliases.n; i++) {
		const struct alias_table *t = &aliases.v[i];
		enum table_status st = get(t, full, value);

		*where = t;
		*matched_full = true;
		if (st != TABLE_ABSENT)
			return st;
		if (!bare || table_is_pattern(t->table))
			continue;
		*matched_full = false;
		st = get(t, bare, value);
		if (st != TABLE_ABSENT)
			return st;
	}
	return TABLE_ABSENT;
}

/* Rights of the owner of the table. false: reported. */
static bool
set_rights(struct local_job *j, struct local_addr *a,
	   const struct alias_table *t)
{
	const struct passwd *pw;
	struct stat st;

	/* What a user's file leads to stays the user's. */
	if (a->home)
		return true;
	a->rights = aliases.privs;
	if (!t->file || stat(t->file, &st) < 0 || st.st_uid == 0)
		return true;
	pw = getpwuid(st.st_uid);
	if (!pw) {
		log_warn("cannot find alias database owner for %s",
			 table_spec(t->table));
		local_reportf(j, a, "4.3.0",
			      "cannot find alias database owner");
		return false;
	}
	a->rights = (struct local_rights){pw->pw_uid, pw->pw_gid, ""};
	if (strlen(pw->pw_name) < sizeof(a->rights.user))
		memcpy(a->rights.user, pw->pw_name, strlen(pw->pw_name) + 1);
	return true;
}

static bool
is_owner_name(const char *name)
{
	size_t n = strlen(name);

	return !strncmp(name, "owner-", 6) ||
	       (n > 8 && !strcmp(name + n - 8, "-request"));
}

/*
 * When owner-NAME is an alias, too, failures are for it: it becomes the
 * sender, and what the original sender asked to be told is void.
 * false: reported. The address is in *sender, to be freed.
 */
static bool
apply_owner(struct local_job *j, struct local_addr *a, const char *name,
	    struct buf *sender)
{
	const struct alias_table *where;
	struct strvec items = STRVEC_INIT;
	struct buf value = BUF_INIT;
	char *owner = mem_sprintf("owner-%s", name);
	enum table_status st = TABLE_ABSENT;
	bool full;

	if (!is_owner_name(name))
		st = find(owner, NULL, &where, &value, &full);
	if (st == TABLE_FOUND) {
		if (conf->expand_owner_alias)
			alias_parse(buf_span(&value), &items);
		buf_append_cstr(sender, items.n == 1 ? items.v[0] : owner);
		rewrite_address(REWRITE_LOCAL, sender);
		a->sender = buf_cstr(sender);
		a->orig_to = a->dsn_orcpt = a->dsn_envid = "";
		a->dsn_notify = a->dsn_ret = 0;
		a->forward = true;
	} else if (st == TABLE_ABSENT && conf->reset_owner_alias) {
		a->forward = false;
	}
	if (st == TABLE_RETRY)
		local_reportf(j, a, "4.3.0", "alias database unavailable");
	free(owner);
	strvec_free(&items);
	buf_free(&value);
	return st != TABLE_RETRY;
}

static void
expand(struct local_job *j, const struct local_addr *a,
       const struct alias_table *t, const char *name, struct span value,
       const char *extension)
{
	struct strvec items = STRVEC_INIT;
	struct buf sender = BUF_INIT;
	struct local_addr next = *a;

	if (local_is_probe(j)) {
		local_reportf(j, a, "2.0.0", "aliased to %.*s",
			      SPAN_ARG(value));
		return;
	}
	next.alias = name;
	next.origin = FROM_ALIAS;
	alias_parse(value, &items);
	if (items.n == 0) {
		log_warn("no recipient in alias lookup result for %s", name);
		local_reportf(j, a, "4.3.0", "alias database unavailable");
	} else if (set_rights(j, &next, t) &&
		   apply_owner(j, &next, name, &sender)) {
		for (size_t i = 0; i < items.n; i++)
			local_deliver_item(j, &next, items.v[i], extension);
	}
	strvec_free(&items);
	buf_free(&sender);
}

/* Is name the alias that led here (then it means the account), or further
 * back (a loop)? */
enum alias_seen {
	ALIAS_NEW,
	ALIAS_SELF,
	ALIAS_LOOP,
};

static enum alias_seen
seen_before(const struct local_addr *a, const char *name)
{
	const char *last = a->alias;

	if (!last)
		return ALIAS_NEW;
	if (!strcmp(last, name))
		return ALIAS_SELF;
	for (const struct local_addr *p = a->parent; p; p = p->parent)
		if (p->alias && !strcmp(p->alias, name))
			return ALIAS_LOOP;
	return ALIAS_NEW;
}

static char *
folded(const char *s)
{
	char *p = mem_strdup(s);

	for (char *q = p; *q; q++)
		*q = (char)tolower((unsigned char)*q);
	return p;
}

bool
local_alias(struct local_job *j, const struct local_addr *a)
{
	char *full = folded(a->local);
	const char *bare = a->extension ? a->user : NULL, *name;
	const struct alias_table *where = NULL;
	struct buf value = BUF_INIT;
	enum table_status st;
	bool whole = true, handled = true;

	st = find(full, bare, &where, &value, &whole);
	name = whole ? full : a->user;
	if (st == TABLE_RETRY) {
		local_reportf(j, a, "4.3.0", "alias database unavailable");
	} else if (st == TABLE_ABSENT || seen_before(a, name) == ALIAS_SELF) {
		handled = false;
	} else if (seen_before(a, name) == ALIAS_LOOP) {
		log_warn("alias database loop for %s", a->alias);
		local_reportf(j, a->parent, "5.4.6",
			      "alias database loop for %s", a->alias);
	} else if (local_first_time(j, "alias %s", full)) {
		bool keep = !whole &&
			    conf_list_has(conf->propagate_unmatched_extensions,
					  "alias");

		expand(j, a, where, name, buf_span(&value),
		       keep ? a->extension : NULL);
	}
	free(full);
	buf_free(&value);
	return handled;
}
