/* SPDX-License-Identifier: MIT */
#include "lib/table/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/casefold.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/sys/io.h"
#include "lib/table/table_impl.h"

enum {
	/* How long the source may be newer before it is complained about:
	 * somebody who edits runs postmap soon. Seconds. */
	STALE_GRACE = 100,
	/* A text table that was changed this recently may still be in the
	 * middle of being written. Microseconds. */
	SETTLE = 1000000,
};

static const struct table_type *const types[] = {
    &table_type_hash,     &table_type_btree,   &table_type_lmdb,
    &table_type_texthash, &table_type_regexp,  &table_type_pcre,
    &table_type_cidr,     &table_type_static,  &table_type_inline,
    &table_type_unix,     &table_type_environ, &table_type_fail,
    &table_type_proxy,    &table_type_tcp,     &table_type_socketmap,
    &table_type_union,    &table_type_pipe,    &table_type_random,
};

/* Every open table of the process: equal ones are shared. */
static struct table *all_tables;

const char *
table_type_name(size_t i)
{
	return i < sizeof(types) / sizeof(types[0]) ? types[i]->name : NULL;
}

static const struct table_type *
find_type(struct span name)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (span_equal_cstr(name, types[i]->name))
			return types[i];
	return NULL;
}

bool
table_fail(struct table *t, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	free(t->error);
	t->error = buf_steal(&text);
	return false;
}

enum table_status
table_retry(struct why *why)
{
	why_set(why, "4.3.0", "Temporary lookup failure");
	return TABLE_RETRY;
}

void
table_warn_stale(const char *source, const char *path, const struct stat *db)
{
	struct stat st;

	if (stat(source, &st) == 0 && st.st_mtime > db->st_mtime &&
	    st.st_mtime < time(NULL) - STALE_GRACE)
		log_warn("database %s is older than source file %s", path,
			 source);
}

void
table_watch(struct table *t, int fd, const char *path)
{
	io_set_cloexec(fd, true);
	if (fstat(fd, &t->seen) < 0)
		log_warn("%s: fstat: %m", path);
	t->watch_fd = fd;
	t->watch_path = mem_strdup(path);
}

static bool
same_content(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_size == b->st_size;
}

/* The descriptor tells even where the path is out of reach (chroot): a
 * replaced file has no name left. */
bool
table_watch_changed(const struct table *t)
{
	struct stat st;

	if (t->watch_fd < 0)
		return false;
	if (fstat(t->watch_fd, &st) < 0)
		return true;
	return st.st_nlink == 0 || !same_content(&st, &t->seen);
}

static struct table *
find_shared(const char *spec, unsigned flags)
{
	if (flags & TABLE_WRITE)
		return NULL;
	for (struct table *t = all_tables; t; t = t->next)
		if (t->flags == flags && !strcmp(t->spec, spec))
			return t;
	return NULL;
}

static void
open_type(struct table *t)
{
	const char *colon = strchr(t->spec, ':');
	size_t len = colon ? (size_t)(colon - t->spec) : 0;

	t->type = colon ? find_type(span_make(t->spec, len)) : NULL;
	t->name = mem_strdup(colon ? colon + 1 : "");
	t->label = mem_strdup(t->spec);
	if (!colon || len == 0 || !colon[1])
		table_fail(t,
			   "open dictionary: expecting \"type:name\" form "
			   "instead of \"%s\"",
			   t->spec);
	else if (!t->type)
		table_fail(t, "unsupported dictionary type: %.*s", (int)len,
			   t->spec);
	else if ((t->flags & TABLE_WRITE) && !t->type->put)
		table_fail(t, "%s map requires O_RDONLY access mode", t->spec);
	else if (!t->type->open(t) && !t->error)
		table_fail(t, "open %s: %s", t->spec, strerror(errno));
}

struct table *
table_open(const char *spec, unsigned flags)
{
	struct table *t = find_shared(spec, flags);

	if (t) {
		t->refs++;
		return t;
	}
	t = mem_alloc(sizeof(*t));
	t->spec = mem_strdup(spec);
	t->flags = flags;
	t->refs = 1;
	t->watch_fd = -1;
	open_type(t);
	if (t->error && !(flags & TABLE_QUIET))
		log_error("%s", t->error);
	t->next = all_tables;
	all_tables = t;
	return t;
}

void
table_free(struct table *t)
{
	if (!t || --t->refs > 0)
		return;
	for (struct table **p = &all_tables; *p; p = &(*p)->next) {
		if (*p == t) {
			*p = t->next;
			break;
		}
	}
	if (t->type && t->type->close && t->data)
		t->type->close(t);
	if (t->watch_fd >= 0)
		close(t->watch_fd);
	free(t->watch_path);
	free(t->spec);
	free(t->name);
	free(t->label);
	free(t->error);
	buf_free(&t->folded);
	free(t);
}

const char *
table_spec(const struct table *t)
{
	return t->spec;
}

const char *
table_error(const struct table *t)
{
	return t->error;
}

const char *
table_label(const struct table *t)
{
	return t->label;
}

bool
table_is_pattern(const struct table *t)
{
	const char *spec = t->spec;
	const struct table_type *type = t->type;
	const char *colon;

	/* What counts is the table that the other process opens. */
	while (type == &table_type_proxy && !strncmp(spec, "proxy:", 6)) {
		spec += 6;
		colon = strchr(spec, ':');
		type = colon
			   ? find_type(span_make(spec, (size_t)(colon - spec)))
			   : NULL;
	}
	return type && type->pattern;
}

struct span
table_fold(struct table *t, struct span key)
{
	buf_reset(&t->folded);
	if (t->flags & TABLE_UTF8)
		casefold_utf8(key, &t->folded);
	else
		casefold_ascii(key, &t->folded);
	return buf_span(&t->folded);
}

/* Unfit bytes of a key or value, for a message. */
static char *
printable(struct span s)
{
	char *text = mem_strndup(s.data, s.len);

	utf8_printable(text, s.len, '?');
	return text;
}

static bool
key_is_text(struct table *t, struct span key)
{
	char *text;

	if (!(t->flags & TABLE_UTF8) || utf8_valid(key.data, key.len))
		return true;
	text = printable(key);
	log_warn("%s: non-UTF-8 key \"%s\": malformed UTF-8 or invalid "
		 "codepoint",
		 t->label, text);
	free(text);
	return false;
}

static bool
value_is_text(struct table *t, struct span key, struct span value)
{
	char *k, *v;

	if (!(t->flags & TABLE_UTF8) || utf8_valid(value.data, value.len))
		return true;
	k = printable(key);
	v = printable(value);
	log_warn("%s: key \"%s\": non-UTF-8 value \"%s\": malformed UTF-8 or "
		 "invalid codepoint",
		 t->label, k, v);
	free(k);
	free(v);
	return false;
}

bool
table_decode_base64(struct table *t, struct span key, struct buf *value)
{
	struct buf plain = BUF_INIT;
	char *k, *v;

	if (base64_decode(buf_span(value), &plain)) {
		buf_free(value);
		*value = plain;
		return true;
	}
	k = printable(key);
	v = printable(buf_span(value));
	log_warn("table %s: key %s: malformed BASE64 value: %.100s", t->label,
		 k, v);
	free(k);
	free(v);
	buf_free(&plain);
	return false;
}

static bool
must_fold(const struct table *t)
{
	return t->flags &
	       (table_is_pattern(t) ? TABLE_FOLD_REGEX : TABLE_FOLD_FIXED);
}

enum table_status
table_get(struct table *t, struct span key, struct buf *value, struct why *why)
{
	enum table_status status;

	buf_reset(value);
	if (t->error) {
		log_warn("%s is unavailable. %s", t->spec, t->error);
		return table_retry(why);
	}
	if (!key_is_text(t, key))
		return TABLE_ABSENT;
	status = t->type->get(t, must_fold(t) ? table_fold(t, key) : key, value,
			      why);
	if (status != TABLE_FOUND)
		return status;
	if (!value_is_text(t, key, buf_span(value)) ||
	    ((t->flags & TABLE_BASE64) && !table_decode_base64(t, key, value)))
		return table_retry(why);
	return TABLE_FOUND;
}

bool
table_put(struct table *t, struct span key, struct span value, struct why *why)
{
	if (t->error || !t->type->put) {
		log_warn("%s is unavailable. %s", t->spec,
			 t->error ? t->error : "It cannot be changed");
		table_retry(why);
		return false;
	}
	return t->type->put(t, must_fold(t) ? table_fold(t, key) : key, value,
			    why);
}

enum table_status
table_delete(struct table *t, struct span key, struct why *why)
{
	if (t->error || !t->type->del) {
		log_warn("%s is unavailable. %s", t->spec,
			 t->error ? t->error : "It cannot be changed");
		return table_retry(why);
	}
	return t->type->del(t, must_fold(t) ? table_fold(t, key) : key, why);
}

bool
table_has_sequence(const struct table *t)
{
	return !t->error && t->type->next;
}

enum table_status
table_next(struct table *t, bool first, struct buf *key, struct buf *value,
	   struct why *why)
{
	buf_reset(key);
	buf_reset(value);
	if (!table_has_sequence(t))
		return table_retry(why);
	return t->type->next(t, first, key, value, why);
}

bool
table_changed(struct table *t)
{
	struct stat st;
	int64_t written;

	if (!table_watch_changed(t))
		return false;
	if (fstat(t->watch_fd, &st) < 0 || st.st_nlink == 0)
		return true;
	written =
	    (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
	return io_now() - written >= SETTLE || io_now() < written;
}

bool
maps_any_changed(void)
{
	static int64_t last;
	static bool changed; /* it does not unhappen */
	int64_t now = io_monotonic();

	if (changed || (last && now - last < 1000000))
		return changed;
	last = now;
	for (struct table *t = all_tables; t && !changed; t = t->next)
		changed = table_changed(t);
	return changed;
}
