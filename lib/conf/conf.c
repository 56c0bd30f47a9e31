/* SPDX-License-Identifier: MIT */
#include "lib/conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf_dir.h"
#include "lib/conf/dict.h"
#include "lib/conf/host.h"
#include "lib/conf/value.h"

const struct conf *conf;

enum { FIRST_LINE_MAX = 1024 };

/* All of it lives until the next conf_load(). */
static struct {
	struct dict dict;
	struct conf values;
	char *dir;
	char *program;
	char *service;
	struct htab *expanded; /* conf_get(): name to value */
	struct strvec errors;
	char *indirect; /* the first error in a default that is not set */
	char **texts;   /* what values point to and is not in dict */
	size_t n_texts;
	size_t cap_texts;
	bool evaluated[CONF_PARAM_COUNT];
	bool daemon;
} state;

static void *
field(int param)
{
	return (char *)&state.values + conf_params[param].offset;
}

static bool
has_word(const char *words, const char *word)
{
	struct span rest = span_of(words);
	struct span w;

	while (span_next_token(&rest, " ", &w))
		if (span_equal_cstr(w, word))
			return true;
	return false;
}

/* Several fields may point to it, so none of them owns it. */
static const char *
keep_text(char *text)
{
	if (state.n_texts == state.cap_texts) {
		state.cap_texts = state.cap_texts ? state.cap_texts * 2 : 64;
		state.texts = mem_realloc(state.texts, state.cap_texts,
					  sizeof(*state.texts));
	}
	state.texts[state.n_texts++] = text;
	return text;
}

/* ---- errors ---- */

void
conf_where(const char *name, struct buf *out)
{
	const struct maincf_entry *e =
	    maincf_find(&state.dict.main, span_of(name));

	if (!e)
		buf_append_cstr(out, name);
	else if (e->line)
		buf_printf(out, "%s, line %d: %s", state.dict.main.path,
			   e->line, name);
	else
		buf_printf(out, "-o %s=%s", name, e->value);
}

static void
add_error(int param, const char *what)
{
	struct buf where = BUF_INIT;
	char *m;

	conf_where(conf_params[param].name, &where);
	m = mem_sprintf("%s: %s", buf_cstr(&where), what);
	buf_free(&where);
	/* A command does its work without what it does not read. */
	if (state.daemon || has_word(conf_params[param].used, state.program))
		strvec_add(&state.errors, m);
	else
		log_warn("%s", m);
	free(m);
}

static void
fail_if_errors(void)
{
	size_t n;

	/* A default fails because of what it mentions, which was reported if
	 * it is a parameter. */
	if (state.errors.n == 0 && state.indirect)
		strvec_add(&state.errors, state.indirect);
	n = state.errors.n;
	if (n == 0)
		return;
	for (size_t i = 0; i + 1 < n; i++)
		log_error("%s", state.errors.v[i]);
	log_fatal("%s", state.errors.v[n - 1]);
}

/* ---- evaluation ---- */

/* Debian: a value of myorigin that is a path stands for the first line of
 * that file. */
static char *
read_first_line(const char *path, struct buf *error)
{
	char line[FIRST_LINE_MAX];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, line, sizeof(line));
	struct span s;
	long end;

	if (n < 0)
		buf_printf(error, "open %s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	if (n < 0)
		return NULL;
	s = span_make(line, (size_t)n);
	end = span_find(s, '\n');
	if (end >= 0)
		s.len = (size_t)end;
	s = span_trim(s);
	if (s.len == 0) {
		buf_printf(error, "%s: the first line is empty", path);
		return NULL;
	}
	return mem_strndup(s.data, s.len);
}

static bool
is_text(const struct conf_param *p)
{
	return p->type >= CONF_STR;
}

/* The expanded value of param; value is what is in effect. NULL: logged. */
static const char *
expand_param(int param, const char *value)
{
	struct buf out = BUF_INIT;
	struct buf error = BUF_INIT;

	if (conf_params[param].type == CONF_RAW || !strchr(value, '$'))
		return value;
	if (dict_expand(&state.dict, value, &out, &error)) {
		buf_append(&out, "", 0);
		buf_free(&error);
		return keep_text(buf_steal(&out));
	}
	if (state.dict.main.by_param[param])
		add_error(param, buf_cstr(&error));
	else if (!state.indirect)
		state.indirect = mem_sprintf("%s: %s", conf_params[param].name,
					     buf_cstr(&error));
	buf_free(&error);
	buf_free(&out);
	return NULL;
}

static void
set_number(int param, const char *text)
{
	const struct conf_param *p = &conf_params[param];
	union conf_value v = {0};
	struct buf expected = BUF_INIT;

	if (conf_value_parse(p, text, &v, &expected)) {
		if (p->type == CONF_BOOL)
			*(bool *)field(param) = v.b;
		else if (p->type == CONF_INT)
			*(int *)field(param) = (int)v.n;
		else
			*(int64_t *)field(param) = v.n;
	} else {
		char *m = mem_sprintf("\"%s\" is wrong, expected is %s", text,
				      buf_cstr(&expected));

		add_error(param, m);
		free(m);
	}
	buf_free(&expected);
}

/* The parameter that a default "$name" stands for, when it has the same type;
 * -1: it is something else. */
static int
alias_of(const struct conf_param *p)
{
	struct span name = span_of(p->dflt);
	int target;

	if (p->runtime || name.len < 2 || name.data[0] != '$')
		return -1;
	target = conf_param_find(span_from(name, 1));
	if (target < 0)
		return -1;
	if (conf_params[target].type == CONF_RAW ||
	    (conf_params[target].type != p->type &&
	     !(is_text(p) && is_text(&conf_params[target]))))
		return -1;
	return target;
}

static size_t
field_size(const struct conf_param *p)
{
	static const size_t sizes[] = {
	    [CONF_BOOL] = sizeof(bool),
	    [CONF_INT] = sizeof(int),
	    [CONF_TIME] = sizeof(int64_t),
	    [CONF_SIZE] = sizeof(int64_t),
	};

	return is_text(p) ? sizeof(char *) : sizes[p->type];
}

/* Once: give the field of param its value when that is not the constant
 * default that is there already. */
static void
evaluate(int param)
{
	const struct conf_param *p = &conf_params[param];
	const char *text, *raw;

	if (state.evaluated[param])
		return;
	state.evaluated[param] = true;
	if (!state.dict.main.by_param[param]) {
		int target;

		if (!p->computed)
			return;
		/* Most of them: one value in two places. No default goes in
		 * a circle, and what is set was evaluated before. */
		target = alias_of(p);
		if (target >= 0) {
			if (!state.dict.main.by_param[target])
				evaluate(target);
			memcpy(field(param), field(target), field_size(p));
			return;
		}
	}
	raw = dict_value(&state.dict, param);
	text = expand_param(param, raw);
	if (!text)
		return;
	if (is_text(p))
		*(const char **)field(param) = text;
	else
		set_number(param, text);
}

/* What main.cf sets first, so that errors come in its order. */
static void
evaluate_all(void)
{
	for (size_t i = 0; i < state.dict.main.n; i++) {
		int param = conf_param_find(span_of(state.dict.main.v[i].name));

		if (param >= 0)
			evaluate(param);
	}
	for (int i = 0; i < CONF_PARAM_COUNT; i++)
		if (!state.dict.main.by_param[i])
			evaluate(i);
}

static void
evaluate_myorigin(void)
{
	int param = conf_param_find(span_of("myorigin"));
	struct buf error = BUF_INIT;
	char *line;

	if (state.values.myorigin[0] != '/')
		return;
	line = read_first_line(state.values.myorigin, &error);
	if (line)
		state.values.myorigin = keep_text(line);
	else
		add_error(param, buf_cstr(&error));
	buf_free(&error);
}

static void
check_protocols(void)
{
	struct buf error = BUF_INIT;

	if (!host_check_protocols(state.values.inet_protocols, &error))
		add_error(conf_param_find(span_of("inet_protocols")),
			  buf_cstr(&error));
	buf_free(&error);
}

static void
mirror_lmtp(void)
{
	for (int i = 0; i < CONF_PARAM_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];

		if (p->mirror >= 0 && conf_params[p->mirror].type == p->type)
			memcpy(field(p->mirror), field(i), field_size(p));
	}
}

/* ---- what is set but not implemented ---- */

static bool
differs_from_default(int param)
{
	const struct conf_param *p = &conf_params[param];
	const char *set = dict_value(&state.dict, param);
	const char *dflt = dict_default(&state.dict, param);
	struct buf a = BUF_INIT;
	struct buf b = BUF_INIT;
	struct buf error = BUF_INIT;
	union conf_value v;
	union conf_value w;
	bool differs = false;

	if (!strcmp(set, dflt))
		return false;
	if (dict_expand(&state.dict, set, &a, &error) &&
	    dict_expand(&state.dict, dflt, &b, &error)) {
		differs = strcmp(buf_cstr(&a), buf_cstr(&b)) != 0;
		if (differs && !is_text(p) &&
		    conf_value_parse(p, buf_cstr(&a), &v, &error) &&
		    conf_value_parse(p, buf_cstr(&b), &w, &error))
			differs =
			    p->type == CONF_BOOL ? v.b != w.b : v.n != w.n;
	}
	buf_free(&a);
	buf_free(&b);
	buf_free(&error);
	return differs;
}

/* A filter parameter set to a value that weakens nothing when ignored. */
static bool
is_allowed_value(int param)
{
	const char *allow = conf_params[param].allow;
	struct buf value = BUF_INIT;
	struct buf error = BUF_INIT;
	bool ok = allow &&
		  dict_expand(&state.dict, dict_value(&state.dict, param),
			      &value, &error) &&
		  has_word(allow, buf_cstr(&value));

	buf_free(&value);
	buf_free(&error);
	return ok;
}

static void
check_status(void)
{
	struct buf ignored = BUF_INIT;
	bool master = !strcmp(state.program, "master");

	for (size_t i = 0; i < state.dict.main.n; i++) {
		const struct maincf_entry *e = &state.dict.main.v[i];
		int param = conf_param_find(span_of(e->name));
		int status =
		    param < 0 ? CONF_STATUS_HERE : conf_params[param].status;

		if (status == CONF_STATUS_HERE || !differs_from_default(param))
			continue;
		if (status == CONF_STATUS_FILTER && !is_allowed_value(param))
			add_error(param, "this version does not implement it, "
					 "and to ignore it would not be safe");
		else if (master || e->line == 0)
			buf_printf(&ignored, "%s%s", ignored.len ? ", " : "",
				   e->name);
	}
	/* One line per start of the mail system, not one per process; what a
	 * line of master.cf overrides, only its service knows. */
	if (ignored.len)
		log_warn("%s: these parameters are set but not used by this "
			 "version: %s",
			 master ? state.dict.main.path : "-o",
			 buf_cstr(&ignored));
	buf_free(&ignored);
}

/* ---- start ---- */

static void
read_settings(const struct conf_args *args)
{
	struct strvec warnings = STRVEC_INIT;
	struct maincf *m = &state.dict.main;

	if (!maincf_read(m, state.dir, &state.errors, &warnings))
		log_fatal("open %s: %s", m->path, strerror(errno));
	for (size_t i = 0; args->over && i < args->over->n; i++) {
		const char *what;
		char *error;

		if (maincf_override(m, span_of(args->over->v[i]), &what))
			continue;
		error = mem_sprintf("-o %s: %s", args->over->v[i], what);
		strvec_add(&state.errors, error);
		free(error);
	}
	for (size_t i = 0; i < warnings.n; i++)
		log_warn("%s", warnings.v[i]);
	strvec_free(&warnings);
}

/* Everything of an earlier conf_load(). */
static void
forget(void)
{
	dict_free(&state.dict);
	for (size_t i = 0; i < state.n_texts; i++)
		free(state.texts[i]);
	free(state.texts);
	free(state.dir);
	free(state.program);
	free(state.service);
	free(state.indirect);
	if (state.expanded)
		htab_free(state.expanded, free);
	strvec_free(&state.errors);
	memset(&state, 0, sizeof(state));
}

void
conf_load(const struct conf_args *args)
{
	/* Which may be that of the last time. */
	char *dir = mem_strdup(conf_dir_choose(args->config_dir));

	forget();
	state.dir = dir;
	state.program = mem_strdup(args->program);
	state.service =
	    mem_strdup(args->service_name ? args->service_name : "");
	state.daemon = args->daemon;
	state.dict.config_dir = state.dir;
	state.dict.program = state.program;
	state.dict.service = state.service;
	state.values = conf_defaults;
	state.expanded = htab_new();
	read_settings(args);
	evaluate_all();
	if (state.dict.error.len)
		add_error(conf_param_find(span_of("mynetworks")),
			  buf_cstr(&state.dict.error));
	evaluate_myorigin();
	check_protocols();
	if (args->daemon)
		check_status();
	fail_if_errors();
	if (!strcmp(state.program, "lmtp"))
		mirror_lmtp();
	conf = &state.values;
}

const char *
conf_directory(void)
{
	return state.dir;
}

/* ---- names that are not fields ---- */

const char *
conf_get(const char *name)
{
	struct span key = span_of(name);
	char *value = htab_get(state.expanded, key);
	const char *text;
	struct buf out = BUF_INIT;

	if (value)
		return value;
	text = dict_lookup(&state.dict, key);
	if (!text)
		return NULL;
	conf_expand(text, &out);
	value = mem_strdup(buf_cstr(&out));
	buf_free(&out);
	htab_put(state.expanded, key, value);
	return value;
}

void
conf_expand(const char *text, struct buf *out)
{
	struct buf error = BUF_INIT;
	size_t start = out->len;

	if (!dict_expand(&state.dict, text, out, &error)) {
		log_warn("%s: %s", text, buf_cstr(&error));
		buf_truncate(out, start);
	}
	buf_free(&error);
}

/*
 * The text of TRANSPORT + suffix, or NULL: when it is not set, and it is not
 * one of those that have a default of their own.
 */
static const char *
transport_text(const char *transport, const char *suffix, char **name)
{
	int param;
	bool own_default;

	*name = mem_sprintf("%s%s", transport, suffix);
	param = conf_param_find(span_of(*name));
	own_default =
	    param >= 0 && conf_params[param].kind != CONF_KIND_SERVICE;
	if (!own_default && !maincf_find(&state.dict.main, span_of(*name)))
		return NULL;
	return conf_get(*name);
}

/* Complain about name once. */
static void
bad_transport_value(const char *name, const char *text, const char *expected)
{
	char *key = mem_sprintf("%s ", name); /* no name has a space */

	if (!htab_get(state.expanded, span_of(key))) {
		htab_put(state.expanded, span_of(key), mem_strdup(""));
		log_warn("%s: %s: \"%s\" is wrong, expected is %s; using the "
			 "default",
			 state.dict.main.path, name, text, expected);
	}
	free(key);
}

int
conf_transport_int(const char *transport, const char *suffix, int dflt)
{
	char *name;
	const char *text = transport_text(transport, suffix, &name);
	int64_t n = dflt;

	if (text && !num_parse(span_of(text), 0, INT_MAX, &n))
		bad_transport_value(name, text, "a number");
	free(name);
	return (int)n;
}

int64_t
conf_transport_time(const char *transport, const char *suffix, int64_t dflt)
{
	char *name;
	const char *text = transport_text(transport, suffix, &name);
	int64_t usec = dflt;

	if (text && !conf_parse_time(text, 's', &usec))
		bad_transport_value(name, text, "a time");
	free(name);
	return usec;
}

bool
conf_list_has(const char *list, const char *name)
{
	struct span rest = span_of(list);
	struct span word;

	while (span_next_token(&rest, ", \t\r\n", &word))
		if (span_equal_cstr_nocase(word, name))
			return true;
	return false;
}
