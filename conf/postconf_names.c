/* SPDX-License-Identifier: MIT */
#include "conf/postconf.h"

#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/expand.h"

/* What each delivery agent in master.cf may have under its own name. */
static const struct {
	const char *suffix;
	const char *dflt;
} service_names[] = {
    {"_recipient_limit", "$default_recipient_limit"},
    {"_extra_recipient_limit", "$default_extra_recipient_limit"},
    {"_recipient_refill_limit", "$default_recipient_refill_limit"},
    {"_recipient_refill_delay", "$default_recipient_refill_delay"},
    {"_delivery_slot_cost", "$default_delivery_slot_cost"},
    {"_delivery_slot_loan", "$default_delivery_slot_loan"},
    {"_delivery_slot_discount", "$default_delivery_slot_discount"},
    {"_minimum_delivery_slots", "$default_minimum_delivery_slots"},
    {"_initial_destination_concurrency", "$initial_destination_concurrency"},
    {"_destination_concurrency_limit",
     "$default_destination_concurrency_limit"},
    {"_destination_concurrency_positive_feedback",
     "$default_destination_concurrency_positive_feedback"},
    {"_destination_concurrency_negative_feedback",
     "$default_destination_concurrency_negative_feedback"},
    {"_destination_concurrency_failed_cohort_limit",
     "$default_destination_concurrency_failed_cohort_limit"},
    {"_destination_recipient_limit", "$default_destination_recipient_limit"},
    {"_destination_rate_delay", "$default_destination_rate_delay"},
    {"_transport_rate_delay", "$default_transport_rate_delay"},
};

enum { N_SERVICE_NAMES = sizeof(service_names) / sizeof(service_names[0]) };

static struct pc_name *
find(const struct postconf *pc, struct span name)
{
	for (size_t i = 0; i < pc->n_names; i++)
		if (span_equal_cstr(name, pc->names[i].name))
			return &pc->names[i];
	return NULL;
}

const struct pc_name *
pc_name(const struct postconf *pc, const char *name)
{
	return find(pc, span_of(name));
}

static void
add(struct postconf *pc, struct pc_name n)
{
	if (pc->n_names == pc->cap_names) {
		pc->cap_names = pc->cap_names ? pc->cap_names * 2 : 2048;
		pc->names =
		    mem_realloc(pc->names, pc->cap_names, sizeof(*pc->names));
	}
	pc->names[pc->n_names++] = n;
}

static void
add_builtin(struct postconf *pc)
{
	for (int i = 0; i < CONF_PARAM_COUNT; i++) {
		const struct conf_param *p = &conf_params[i];
		bool set = pc->dict.main.by_param[i] != 0;

		if (conf_param_is_listed(p) ||
		    (p->kind == CONF_KIND_NEWER && set))
			add(pc, (struct pc_name){.name = mem_strdup(p->name),
						 .param = i,
						 .class = PC_CLASS_BUILTIN,
						 .listed = true});
	}
}

static void
add_service_name(struct postconf *pc, const char *service, const char *suffix,
		 const char *dflt)
{
	char *name = mem_sprintf("%s%s", service, suffix);

	struct pc_name *known = find(pc, span_of(name));

	if (known) {
		known->class |= PC_CLASS_SERVICE;
		free(name);
		return;
	}
	add(pc, (struct pc_name){.name = name,
				 .param = conf_param_find(span_of(name)),
				 .dflt = dflt,
				 .class = PC_CLASS_SERVICE,
				 .listed = true});
}

static void
add_services(struct postconf *pc)
{
	static const char *const agents[] = {"local", "error", "virtual",
					     "smtp",  "lmtp",  "pipe"};

	for (size_t i = 0; i < pc->master.n; i++) {
		const struct master_service *s = &pc->master.v[i];
		bool agent = false;

		for (size_t j = 0; j < sizeof(agents) / sizeof(*agents); j++)
			agent = agent || !strcmp(agents[j], s->command);
		for (size_t j = 0; agent && j < N_SERVICE_NAMES; j++)
			add_service_name(pc, s->name, service_names[j].suffix,
					 service_names[j].dflt);
		if (!strcmp(s->command, "pipe") || !strcmp(s->command, "spawn"))
			add_service_name(pc, s->name, "_time_limit",
					 "$command_time_limit");
	}
}

/* ---- names that values mention ---- */

struct scan {
	struct postconf *pc;
	const char *where;     /* main.cf or master.cf, NULL: a default value */
	struct strvec *locals; /* -o names of the same service, or NULL */
};

static void scan_value(struct scan *s, const char *name, const char *value);

static bool
is_legacy(int param)
{
	return param >= 0 && conf_params[param].kind == CONF_KIND_LEGACY;
}

/* name is mentioned: when it is set in main.cf, it is a name of the user's. */
static void
use_name(struct scan *s, struct span name)
{
	struct postconf *pc = s->pc;
	const struct maincf_entry *e = maincf_find(&pc->dict.main, name);
	int param = conf_param_find(name);
	struct scan inner = *s;

	if (find(pc, name))
		return;
	if (e || is_legacy(param)) {
		add(pc,
		    (struct pc_name){.name = mem_strndup(name.data, name.len),
				     .param = param,
				     .class = PC_CLASS_USER,
				     .listed = e != NULL});
		inner.where = pc->dict.main.path;
		inner.locals = NULL;
		if (e)
			scan_value(&inner, e->name, e->value);
		return;
	}
	for (size_t i = 0; s->locals && i < s->locals->n; i++)
		if (span_equal_cstr(name, s->locals->v[i]))
			return;
	if (s->where && param < 0)
		log_warn("%s: undefined parameter: %.*s", s->where,
			 SPAN_ARG(name));
}

static const char *
use_name_lookup(void *arg, struct span name)
{
	use_name(arg, name);
	return NULL;
}

/* A table's own settings: mentioned without '$', so never undefined. */
static void
use_table_name(void *arg, struct span name)
{
	struct scan *s = arg;

	if (maincf_find(&s->pc->dict.main, name))
		use_name(s, name);
}

static void
scan_classes(struct scan *s, const char *value)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, span_of(value), ", \t\r\n", false);
	for (size_t i = 0; i < words.n; i++)
		if (!strchr(words.v[i], '$'))
			use_name(s, span_of(words.v[i]));
	strvec_free(&words);
}

/* A circle of names, a comparison that makes no sense: found by doing it. */
static bool
can_expand(struct scan *s, const char *value, struct buf *error)
{
	struct buf out = BUF_INIT;
	bool ok = !s->where || s->locals ||
		  dict_expand(&s->pc->dict, value, &out, error);

	buf_free(&out);
	return ok;
}

static void
scan_value(struct scan *s, const char *name, const char *value)
{
	struct buf error = BUF_INIT;
	int param = conf_param_find(span_of(name));

	/* Expanded by the program that uses it, with other names. */
	if (param >= 0 && conf_params[param].type == CONF_RAW)
		return;
	if (strchr(value, '$') &&
	    (!expand_scan(span_of(value), use_name_lookup, s, &error) ||
	     !can_expand(s, value, &error))) {
		log_warn("%s: %s: %s", s->where ? s->where : "default", name,
			 buf_cstr(&error));
		log_fatal("macro processing error");
	}
	buf_free(&error);
	if (!strcmp(name, "smtpd_restriction_classes"))
		scan_classes(s, value);
	if (s->where && strchr(value, ':'))
		pc_scan_tables(value, use_table_name, s);
}

/* Split "name=value" of a -o option. */
static bool
split_option(const char *text, char **name, char **value)
{
	struct span n;
	struct span v;
	const char *what = maincf_split(span_of(text), &n, &v);

	if (what) {
		log_warn("master.cf: %s: \"%s\"", what, text);
		return false;
	}
	*name = mem_strndup(n.data, n.len);
	*value = mem_strndup(v.data, v.len);
	return true;
}

static void
scan_service(struct postconf *pc, const struct master_service *m,
	     const char *path)
{
	struct strvec names = STRVEC_INIT;
	struct strvec values = STRVEC_INIT;
	struct scan s = {pc, path, &names};

	for (size_t i = 0; i + 1 < m->n_options; i++) {
		char *name;
		char *value;

		if (strcmp(m->argv.v[i], "-o"))
			continue;
		if (!split_option(m->argv.v[++i], &name, &value))
			continue;
		strvec_add(&names, name);
		strvec_add(&values, value);
		free(name);
		free(value);
	}
	for (size_t i = 0; i < names.n; i++)
		scan_value(&s, names.v[i], values.v[i]);
	strvec_free(&names);
	strvec_free(&values);
}

static int
compare_names(const void *a, const void *b)
{
	const struct pc_name *x = a;
	const struct pc_name *y = b;

	return strcmp(x->name, y->name);
}

void
pc_find_names(struct postconf *pc)
{
	char *master = mem_sprintf("%s/master.cf", pc->dir);
	size_t known;

	add_builtin(pc);
	add_services(pc);
	known = pc->n_names;
	for (size_t i = 0; i < known; i++) {
		struct scan s = {pc, NULL, NULL};
		const struct maincf_entry *e =
		    maincf_find(&pc->dict.main, span_of(pc->names[i].name));
		int param = pc->names[i].param;
		const char *dflt = pc->names[i].dflt ? pc->names[i].dflt
				   : param >= 0      ? conf_params[param].dflt
						     : "";

		if (e)
			s.where = pc->dict.main.path;
		scan_value(&s, pc->names[i].name, e ? e->value : dflt);
		/* A default that is replaced still makes its names known. */
		s.where = NULL;
		if (e)
			scan_value(&s, pc->names[i].name, dflt);
	}
	for (size_t i = 0; i < pc->master.n; i++)
		scan_service(pc, &pc->master.v[i], master);
	qsort(pc->names, pc->n_names, sizeof(*pc->names), compare_names);
	free(master);
}

void
pc_free_names(struct postconf *pc)
{
	for (size_t i = 0; i < pc->n_names; i++)
		free(pc->names[i].name);
	free(pc->names);
	pc->names = NULL;
	pc->n_names = pc->cap_names = 0;
}

static void
warn_unused_main(struct postconf *pc)
{
	const struct maincf *m = &pc->dict.main;

	for (size_t i = 0; i < m->n; i++) {
		const struct maincf_entry *e = &m->v[i];

		if (e->line && !pc_name(pc, e->name))
			log_warn("%s: unused parameter: %s=%s", m->path,
				 e->name, e->value);
	}
}

/* Does a value among the -o options of s mention $name? */
struct mention {
	const char *name;
	bool found;
};

static const char *
mention_lookup(void *arg, struct span name)
{
	struct mention *m = arg;

	m->found = m->found || span_equal_cstr(name, m->name);
	return NULL;
}

static bool
is_mentioned(const struct master_service *s, const char *name)
{
	struct mention m = {name, false};
	struct buf error = BUF_INIT;

	for (size_t i = 0; i + 1 < s->n_options; i++)
		if (!strcmp(s->argv.v[i], "-o"))
			expand_scan(span_of(s->argv.v[++i]), mention_lookup, &m,
				    &error);
	buf_free(&error);
	return m.found;
}

static void
warn_unused_master(struct postconf *pc)
{
	for (size_t i = 0; i < pc->master.n; i++) {
		const struct master_service *s = &pc->master.v[i];

		for (size_t j = 0; j + 1 < s->n_options; j++) {
			char *name;
			char *value;

			if (strcmp(s->argv.v[j], "-o") ||
			    !strchr(s->argv.v[++j], '=') ||
			    !split_option(s->argv.v[j], &name, &value))
				continue;
			if (!pc_name(pc, name) && !is_mentioned(s, name) &&
			    conf_param_find(span_of(name)) < 0)
				log_warn("%s/master.cf: unused parameter: "
					 "%s=%s",
					 pc->dir, name, value);
			free(name);
			free(value);
		}
	}
}

void
pc_warn_unused(struct postconf *pc)
{
	if (!(pc->mode & (PC_MASTER | PC_FIELDS | PC_PARAMS)))
		warn_unused_main(pc);
	warn_unused_master(pc);
}
