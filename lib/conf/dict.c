/* SPDX-License-Identifier: MIT */
#include "lib/conf/dict.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/conf/expand.h"
#include "lib/conf/host.h"

/* The expanded value of a parameter, "" on error. */
static void
expanded(struct dict *d, const char *name, struct buf *out)
{
	struct buf error = BUF_INIT;
	const char *text = dict_lookup(d, span_of(name));

	buf_reset(out);
	/* An error here is found again where the parameter itself is read. */
	if (!text || !dict_expand(d, text, out, &error))
		buf_reset(out);
	buf_free(&error);
}

static char *
runtime_myhostname(struct dict *d)
{
	struct buf domain = BUF_INIT;
	struct buf name = BUF_INIT;

	if (maincf_find(&d->main, span_of("mydomain")) && d->busy++ < 2)
		expanded(d, "mydomain", &domain);
	host_name(domain.len ? buf_cstr(&domain) : "localdomain", &name);
	buf_free(&domain);
	return buf_steal(&name);
}

static char *
runtime_mydomain(struct dict *d)
{
	struct buf name = BUF_INIT;
	char *domain;

	if (d->busy++ < 2)
		expanded(d, "myhostname", &name);
	domain = mem_strdup(host_domain(buf_cstr(&name)));
	buf_free(&name);
	return domain;
}

static char *
runtime_mynetworks(struct dict *d)
{
	struct buf style = BUF_INIT;
	struct buf interfaces = BUF_INIT;
	struct buf protocols = BUF_INIT;
	struct buf nets = BUF_INIT;

	expanded(d, "mynetworks_style", &style);
	expanded(d, "inet_interfaces", &interfaces);
	expanded(d, "inet_protocols", &protocols);
	host_networks(buf_cstr(&style), buf_cstr(&interfaces),
		      buf_cstr(&protocols), &nets, &d->error);
	buf_free(&style);
	buf_free(&interfaces);
	buf_free(&protocols);
	buf_append(&nets, "", 0);
	return nets.data ? buf_steal(&nets) : mem_strdup("");
}

static char *
runtime_config_directory(struct dict *d)
{
	return mem_strdup(d->config_dir);
}

static char *
runtime_process_name(struct dict *d)
{
	return mem_strdup(d->program);
}

static char *
runtime_process_id(struct dict *d)
{
	(void)d;
	return mem_sprintf("%ld", (long)getpid());
}

static char *
runtime_service_name(struct dict *d)
{
	return mem_strdup(d->service ? d->service : "");
}

static const struct {
	const char *name;
	char *(*make)(struct dict *d);
} runtimes[] = {
    {"config_directory", runtime_config_directory},
    {"mydomain", runtime_mydomain},
    {"myhostname", runtime_myhostname},
    {"mynetworks", runtime_mynetworks},
    {"process_id", runtime_process_id},
    {"process_name", runtime_process_name},
    {"service_name", runtime_service_name},
};

enum { N_RUNTIMES = sizeof(runtimes) / sizeof(runtimes[0]) };
_Static_assert((int)N_RUNTIMES <= (int)DICT_RUNTIME_MAX, "dict.h");

const char *
dict_default(struct dict *d, int param)
{
	const struct conf_param *p = &conf_params[param];

	for (size_t i = 0; p->runtime && i < N_RUNTIMES; i++) {
		char *made;

		if (strcmp(runtimes[i].name, p->name))
			continue;
		if (d->runtime[i])
			return d->runtime[i];
		made = runtimes[i].make(d);
		/* A name that needs itself was computed further down. */
		free(d->runtime[i]);
		d->runtime[i] = made;
		d->busy = 0;
		return made;
	}
	return p->dflt;
}

const char *
dict_value(struct dict *d, int param)
{
	const struct conf_param *p = &conf_params[param];
	int set = d->main.by_param[param];

	if (set && p->kind != CONF_KIND_READONLY)
		return d->main.v[set - 1].value;
	return dict_default(d, param);
}

const char *
dict_lookup(void *dict, struct span name)
{
	struct dict *d = dict;
	int param = conf_param_find(name);
	const struct maincf_entry *e;

	if (param >= 0)
		return dict_value(d, param);
	e = maincf_find(&d->main, name);
	return e ? e->value : NULL;
}

bool
dict_expand(struct dict *d, const char *text, struct buf *out,
	    struct buf *error)
{
	return expand_text(span_of(text), dict_lookup, d, out, error);
}

void
dict_free(struct dict *d)
{
	maincf_free(&d->main);
	buf_free(&d->error);
	for (size_t i = 0; i < N_RUNTIMES; i++)
		free(d->runtime[i]);
	*d = (struct dict){0};
}
