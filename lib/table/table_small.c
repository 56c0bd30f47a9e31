/* SPDX-License-Identifier: MIT */
/*
 * The table types that need no file: static:, inline:, unix:, environ:,
 * fail: (DATABASE_README).
 */
#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/memtable.h"
#include "lib/table/table_impl.h"
#include "lib/table/textmap.h"

/* ---- static: ---- */

static bool
open_static(struct table *t)
{
	struct span text = span_of(t->name);
	char *error = NULL;

	if (text.data[0] == '{') {
		if (!textmap_braces(text, &text, &error)) {
			table_fail(t, "bad static:name syntax: %s", error);
			free(error);
			return false;
		}
	}
	t->data = mem_strndup(text.data, text.len);
	return true;
}

static enum table_status
get_static(struct table *t, struct span key, struct buf *value, struct why *why)
{
	(void)key;
	(void)why;
	buf_set_cstr(value, t->data);
	return TABLE_FOUND;
}

static void
close_data(struct table *t)
{
	free(t->data);
	t->data = NULL;
}

const struct table_type table_type_static = {
    .name = "static",
    .open = open_static,
    .get = get_static,
    .close = close_data,
};

/* ---- inline: ---- */

static const char inline_need[] = "need \"inline:{name=value...}\"";

static bool
add_inline(struct table *t, struct span text)
{
	long eq = span_find(text, '=');
	struct span key =
	    span_trim(span_make(text.data, eq < 0 ? 0 : (size_t)eq));
	struct buf copy = BUF_INIT;

	for (size_t i = 0; i < key.len; i++)
		if (isspace((unsigned char)key.data[i]))
			eq = -1;
	if (eq < 0)
		return table_fail(t,
				  "missing '=' after attribute name: "
				  "\"inline:%s\"; %s",
				  t->name, inline_need);
	buf_append_span(&copy, key);
	memtable_add(t,
		     t->flags & TABLE_FOLD_FIXED
			 ? table_fold(t, buf_span(&copy))
			 : buf_span(&copy),
		     span_trim(span_from(text, (size_t)eq + 1)), true);
	buf_free(&copy);
	return true;
}

static bool
open_inline(struct table *t)
{
	struct span rest = span_of(t->name), word;
	bool any = false, ok = true;
	char *error = NULL;

	if (!textmap_braces(rest, &rest, &error)) {
		free(error);
		return table_fail(t, "bad syntax: \"inline:%s\"; %s", t->name,
				  inline_need);
	}
	while (ok && textmap_next_word(&rest, &word)) {
		any = true;
		if (word.data[0] != '{')
			ok = add_inline(t, word);
		else if (textmap_braces(word, &word, &error))
			ok = add_inline(t, word);
		else
			ok = table_fail(t, "%s: \"inline:%s\"; %s", error,
					t->name, inline_need);
		free(error);
		error = NULL;
	}
	if (!any)
		return table_fail(t, "bad syntax: \"inline:%s\"; %s", t->name,
				  inline_need);
	return ok;
}

const struct table_type table_type_inline = {
    .name = "inline",
    .open = open_inline,
    .get = memtable_get,
    .next = memtable_next,
    .close = memtable_close,
};

/* ---- unix: ---- */

static bool
open_unix(struct table *t)
{
	if (!strcmp(t->name, "passwd.byname") ||
	    !strcmp(t->name, "group.byname"))
		return true;
	return table_fail(t, "unknown table: unix:%s", t->name);
}

static enum table_status
unix_failed(struct table *t, struct why *why)
{
	/* The C library says this way, too, that there is no such name. */
	if (errno == 0 || errno == ENOENT || errno == ESRCH)
		return TABLE_ABSENT;
	log_warn("%s: %m", t->spec);
	return table_retry(why);
}

static enum table_status
get_unix(struct table *t, struct span key, struct buf *value, struct why *why)
{
	char *name = mem_strndup(key.data, key.len);
	const struct passwd *pw = NULL;
	const struct group *gr = NULL;

	errno = 0;
	if (t->name[0] == 'p')
		pw = getpwnam(name);
	else
		gr = getgrnam(name);
	free(name);
	if (!pw && !gr)
		return unix_failed(t, why);
	if (pw) {
		buf_printf(value, "%s:%s:%u:%u:%s:%s:%s", pw->pw_name,
			   pw->pw_passwd, (unsigned)pw->pw_uid,
			   (unsigned)pw->pw_gid, pw->pw_gecos, pw->pw_dir,
			   pw->pw_shell);
		return TABLE_FOUND;
	}
	buf_printf(value, "%s:%s:%u:", gr->gr_name, gr->gr_passwd,
		   (unsigned)gr->gr_gid);
	for (char **m = gr->gr_mem; *m; m++)
		buf_printf(value, "%s%s", m == gr->gr_mem ? "" : ",", *m);
	return TABLE_FOUND;
}

const struct table_type table_type_unix = {
    .name = "unix",
    .open = open_unix,
    .get = get_unix,
};

/* ---- environ: ---- */

static bool
open_always(struct table *t)
{
	(void)t;
	return true;
}

static enum table_status
get_environ(struct table *t, struct span key, struct buf *value,
	    struct why *why)
{
	char *name = mem_strndup(key.data, key.len);
	const char *found = getenv(name);

	(void)t;
	(void)why;
	free(name);
	if (!found)
		return TABLE_ABSENT;
	buf_set_cstr(value, found);
	return TABLE_FOUND;
}

const struct table_type table_type_environ = {
    .name = "environ",
    .open = open_always,
    .get = get_environ,
};

/* ---- fail: ---- */

static enum table_status
get_fail(struct table *t, struct span key, struct buf *value, struct why *why)
{
	(void)t;
	(void)key;
	(void)value;
	return table_retry(why);
}

static enum table_status
next_fail(struct table *t, bool first, struct buf *key, struct buf *value,
	  struct why *why)
{
	(void)first;
	return get_fail(t, buf_span(key), value, why);
}

const struct table_type table_type_fail = {
    .name = "fail",
    .open = open_always,
    .get = get_fail,
    .next = next_fail,
};
