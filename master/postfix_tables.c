/* SPDX-License-Identifier: MIT */
#include "master/postfix_tables.h"

#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/span.h"
#include "lib/conf/conf.h"
#include "lib/conf/params.h"
#include "lib/table/table.h"

/* Types of Postfix. Where a value has other things than tables in it
 * ("inet:host:25"), only these are looked for. */
static const char *const types_of_postfix[] = {
    "btree",     "cdb",    "cidr",   "dbm",      "environ",  "fail",     "hash",
    "inline",    "ldap",   "lmdb",   "memcache", "mongodb",  "mysql",    "nis",
    "nisplus",   "pcre",   "pgsql",  "pipemap",  "randmap",  "regexp",   "sdbm",
    "socketmap", "sqlite", "static", "tcp",      "texthash", "unionmap", NULL,
};

static bool
of_postfix(struct span type)
{
	for (size_t i = 0; types_of_postfix[i]; i++)
		if (span_equal_cstr(type, types_of_postfix[i]))
			return true;
	return false;
}

static bool
is_known(struct span type)
{
	const char *name;

	for (size_t i = 0; (name = table_type_name(i)); i++)
		if (span_equal_cstr(type, name))
			return true;
	return span_equal_cstr(type, "proxy");
}

/* "mysql" of "mysql:/file" and "proxy:mysql:/file"; empty: no table. */
static struct span
type_of(struct span word)
{
	static const char proxy[] = "proxy:";
	size_t skip = sizeof(proxy) - 1;
	struct span type = {word.data, 0};
	long colon;

	if (word.len > skip && !memcmp(word.data, proxy, skip))
		word = span_from(word, skip);
	colon = span_find(word, ':');
	if (colon > 0)
		type = span_make(word.data, (size_t)colon);
	for (size_t i = 0; i < type.len; i++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789_",
			    type.data[i]))
			type.len = 0;
	return type;
}

/* The next word outside of braces. */
static bool
next_word(struct span *rest, struct span *word)
{
	static const char separators[] = ", \t\r\n";
	size_t i = 0, start;
	int depth = 0;

	while (i < rest->len && strchr(separators, rest->data[i]))
		i++;
	start = i;
	for (; i < rest->len; i++) {
		char c = rest->data[i];

		depth += (c == '{') - (c == '}');
		if (depth <= 0 && c && strchr(separators, c))
			break;
	}
	*word = span_make(rest->data + start, i - start);
	*rest = span_from(*rest, i);
	return word->len > 0;
}

static void
check_value(const struct conf_param *p, const char *where, const char *value)
{
	struct span rest = span_of(value), word;

	while (next_word(&rest, &word)) {
		struct span type = type_of(word);

		if (!type.len || is_known(type) ||
		    (p->type != CONF_MAPS && !of_postfix(type)))
			continue;
		log_warn("%s: %.*s: this mail system has no tables of type "
			 "%.*s -- what needs it is deferred",
			 where, SPAN_ARG(word), SPAN_ARG(type));
	}
}

/* May tables be named in it, and does it say what the administrator may ask
 * for (proxy_read_maps), not what is? */
static bool
has_tables(const struct conf_param *p)
{
	return (p->type == CONF_MAPS || p->type == CONF_LIST ||
		p->type == CONF_STR) &&
	       strncmp(p->name, "proxy_", 6) != 0;
}

void
postfix_check_tables(void)
{
	struct buf where = BUF_INIT;

	for (size_t i = 0; i < CONF_PARAM_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		const char *value;

		if (!has_tables(p))
			continue;
		buf_reset(&where);
		conf_where(p->name, &where);
		/* A default repeats what is said about another one. */
		if (!strcmp(buf_cstr(&where), p->name))
			continue;
		value = conf_get(p->name);
		if (value)
			check_value(p, buf_cstr(&where), value);
	}
	buf_free(&where);
}
