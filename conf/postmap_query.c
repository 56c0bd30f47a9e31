/* SPDX-License-Identifier: MIT */
/* -q, -d and -s. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/postmap.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/table/mkmap.h"
#include "lib/table/table_impl.h"

struct query {
	const struct postmap *p;
	struct table **v;
	int n;
	bool found;
	struct buf value;
};

static void
open_all(struct query *q, char **maps)
{
	q->v = mem_calloc((size_t)q->n + 1, sizeof(*q->v));
	for (int i = 0; i < q->n; i++) {
		char *spec = postmap_spec(maps[i]);

		q->v[i] = table_open(spec, postmap_table_flags(q->p));
		if (table_error(q->v[i]))
			log_fatal("%s", table_error(q->v[i]));
		free(spec);
	}
}

static void
close_all(struct query *q)
{
	for (int i = 0; i < q->n; i++)
		table_free(q->v[i]);
	free(q->v);
	buf_free(&q->value);
}

_Noreturn static void
failed(const struct table *t, const char *what)
{
	bool made_to_fail = !strncmp(table_spec(t), "fail:", 5);

	log_fatal("table %s: %s error%s", table_label(t), what,
		  made_to_fail ? ": Application error" : "");
}

static void
warn_empty(const struct table *t, struct span key)
{
	log_warn("table %s: key %.*s: empty string result is not allowed",
		 table_label(t), SPAN_ARG(key));
	log_warn("table %s should return NO RESULT in case of NOT FOUND",
		 table_label(t));
}

static bool
find(struct query *q, struct span key)
{
	struct why why = WHY_INIT;

	for (int i = 0; i < q->n; i++) {
		struct table *t = q->v[i];

		switch (table_get(t, key, &q->value, &why)) {
		case TABLE_RETRY:
			failed(t, "query");
		case TABLE_ABSENT:
			continue;
		case TABLE_FOUND:
			break;
		}
		if (q->value.len == 0)
			warn_empty(t, key);
		return true;
	}
	return false;
}

/* Values are text; what was a file with a NUL in it (-F) ends there. */
static void
print_value(struct span value)
{
	if (value.len)
		fwrite(value.data, 1, strnlen(value.data, value.len), stdout);
	putchar('\n');
}

static void
print_entry(const struct postmap *p, struct span key, struct span value)
{
	fwrite(key.data, 1, key.len, stdout);
	fputs(p->alias ? ":\t" : "\t", stdout);
	print_value(value);
}

static void
query_key(void *arg, struct span key)
{
	struct query *q = arg;

	if (!find(q, key))
		return;
	print_entry(q->p, key, buf_span(&q->value));
	q->found = true;
}

/* Keys from standard input, one a line. */
static void
each_line(void (*fn)(void *arg, struct span key), void *arg)
{
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getline(&line, &cap, stdin)) >= 0) {
		struct span key = span_make(line, (size_t)n);

		if (key.len > 0 && key.data[key.len - 1] == '\n')
			key.len--;
		key.len = strnlen(key.data, key.len);
		fn(arg, key);
	}
	free(line);
}

int
postmap_query(const struct postmap *p, char **maps, int n)
{
	struct query q = {.p = p, .n = n};

	open_all(&q, maps);
	if (strcmp(p->key, "-") != 0) {
		q.found = find(&q, span_of(p->key));
		if (q.found)
			print_value(buf_span(&q.value));
	} else if (p->body || p->header) {
		postmap_message_keys(p, query_key, &q);
	} else {
		each_line(query_key, &q);
	}
	close_all(&q);
	return q.found ? 0 : 1;
}

int
postmap_list(const struct postmap *p, const char *map)
{
	char *spec = postmap_spec(map);
	struct table *t = table_open(spec, postmap_table_flags(p));
	struct buf key = BUF_INIT, value = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status status;

	if (table_error(t))
		log_fatal("%s", table_error(t));
	if (!table_has_sequence(t))
		log_fatal("table %s: sequence operation is not supported",
			  table_label(t));
	for (status = table_next(t, true, &key, &value, &why);
	     status == TABLE_FOUND;
	     status = table_next(t, false, &key, &value, &why)) {
		if (p->base64 &&
		    !table_decode_base64(t, buf_span(&key), &value))
			continue;
		if (key.len == 0)
			log_warn("table %s: empty lookup key value is not "
				 "allowed",
				 table_label(t));
		if (value.len == 0)
			warn_empty(t, buf_span(&key));
		print_entry(p, buf_span(&key), buf_span(&value));
	}
	if (status == TABLE_RETRY)
		failed(t, "sequence");
	table_free(t);
	buf_free(&key);
	buf_free(&value);
	free(spec);
	return 0;
}

/* ---- -d ---- */

static void
collect_key(void *arg, struct span key)
{
	strvec_add_span(arg, key);
}

/* Say why nothing can be deleted from a table of this type. */
_Noreturn static void
refuse_deletion(const char *spec, const char *type)
{
	static const char *const no_deletion[] = {"static", "environ"};
	struct table *t;

	if (!strcmp(type, "fail"))
		log_fatal("table %s: delete error: Application error", spec);
	for (size_t i = 0; i < sizeof(no_deletion) / sizeof(char *); i++) {
		if (strcmp(type, no_deletion[i]) != 0)
			continue;
		t = table_open(spec, TABLE_QUIET);
		if (table_error(t))
			log_fatal("%s", table_error(t));
		log_fatal("table %s: delete operation is not supported", spec);
	}
	t = table_open(spec, TABLE_QUIET | TABLE_WRITE);
	log_fatal("%s", table_error(t));
}

/* Delete the keys from one map; true: at least one was there. */
static bool
delete_from(const struct postmap *p, const char *map, const struct strvec *keys)
{
	unsigned flags = MKMAP_UPDATE | MKMAP_EXISTING;
	char *spec = postmap_spec(map), *error;
	const char *colon = strchr(spec, ':');
	char *type = mem_strndup(spec, (size_t)(colon - spec));
	struct table *t;
	struct mkmap *m;
	bool found = false;

	if (!mkmap_supported(type))
		refuse_deletion(spec, type);
	/* It says what is wrong with a name, and folds keys. */
	t = table_open(spec, postmap_table_flags(p));
	if (p->plain && !p->nul)
		flags |= MKMAP_PLAIN;
	if (p->nul && !p->plain)
		flags |= MKMAP_NUL;
	if (table_error(t))
		log_fatal("%s", table_error(t));
	m = mkmap_open(type, colon + 1, flags, 0644, &error);
	if (!m)
		log_fatal("%s", error);
	for (size_t i = 0; i < keys->n; i++) {
		struct span k = span_of(keys->v[i]);

		if (k.len > 0 &&
		    mkmap_delete(m, p->no_fold ? k : table_fold(t, k)) != 0)
			found = true;
	}
	if (!found)
		mkmap_abort(m);
	else if (!mkmap_commit(m, &error))
		log_fatal("%s", error);
	table_free(t);
	free(type);
	free(spec);
	return found;
}

int
postmap_delete(const struct postmap *p, char **maps, int n)
{
	struct strvec keys = STRVEC_INIT;
	bool found = false;

	if (!strcmp(p->key, "-"))
		each_line(collect_key, &keys);
	else
		strvec_add(&keys, p->key);
	for (int i = 0; i < n; i++)
		found |= delete_from(p, maps[i], &keys);
	strvec_free(&keys);
	return found ? 0 : 1;
}
