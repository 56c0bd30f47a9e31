/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/dict.h"
#include "master/postmulti.h"

/* ---- what main.cf says ---- */

static char *
value_of(struct dict *d, const char *name)
{
	const char *text = dict_lookup(d, span_of(name));
	struct buf out = BUF_INIT, error = BUF_INIT;

	if (!text || !dict_expand(d, text, &out, &error))
		log_fatal("%s: %s: %s", d->main.path, name, buf_cstr(&error));
	buf_append(&out, "", 0);
	buf_free(&error);
	return buf_steal(&out);
}

static char *
value_or_empty(struct dict *d, const char *name)
{
	char *value = value_of(d, name);

	return value ? value : mem_strdup("");
}

void
instance_read(struct instance *in, const char *dir)
{
	struct dict d = {
	    .config_dir = dir, .program = "postmulti", .service = ""};
	struct strvec errors = STRVEC_INIT, warnings = STRVEC_INIT;
	char *enable;

	if (!maincf_read(&d.main, dir, &errors, &warnings) || errors.n) {
		log_error("open %s: %s", d.main.path,
			  errors.n ? errors.v[0] : strerror(errno));
		log_fatal("Failed to obtain all required %s/main.cf parameters",
			  dir);
	}
	*in = (struct instance){
	    .config_directory = mem_strdup(dir),
	    .queue_directory = value_or_empty(&d, "queue_directory"),
	    .data_directory = value_or_empty(&d, "data_directory"),
	    .name = value_or_empty(&d, "multi_instance_name"),
	    .group = value_or_empty(&d, "multi_instance_group"),
	};
	enable = value_or_empty(&d, "multi_instance_enable");
	if (!conf_parse_bool(enable, &in->enabled))
		log_fatal("%s: multi_instance_enable: bad boolean value: %s",
			  d.main.path, enable);
	free(enable);
	strvec_free(&errors);
	strvec_free(&warnings);
	dict_free(&d);
}

void
instance_free(struct instance *in)
{
	free(in->config_directory);
	free(in->queue_directory);
	free(in->data_directory);
	free(in->name);
	free(in->group);
	*in = (struct instance){0};
}

/* ---- conflicts ---- */

/* What no two instances share, and one has once. */
struct claim {
	const char *parameter, *value;
};

enum { CLAIMS = 4 };

static void
claims_of(const struct instance *in, struct claim *c)
{
	c[0] = (struct claim){"config_directory", in->config_directory};
	c[1] = (struct claim){"queue_directory", in->queue_directory};
	c[2] = (struct claim){"data_directory", in->data_directory};
	c[3] = (struct claim){"multi_instance_name", in->name};
}

static void
check_pair(const struct instance *a, const struct instance *b)
{
	bool same = !strcmp(a->config_directory, b->config_directory);
	struct claim x[CLAIMS], y[CLAIMS];

	claims_of(a, x);
	claims_of(b, y);
	for (int i = 0; i < CLAIMS; i++) {
		/* A directory may be listed twice. */
		for (int k = 0; k < (same ? i : CLAIMS); k++) {
			if (!*x[i].value || strcmp(x[i].value, y[k].value))
				continue;
			log_fatal("instance %s, %s=%s conflicts with instance "
				  "%s, %s=%s",
				  a->config_directory, x[i].parameter,
				  x[i].value, b->config_directory,
				  y[k].parameter, y[k].value);
		}
	}
}

void
instances_check(const struct instances *all, const struct instance *in)
{
	for (size_t i = 0; i < all->n; i++)
		check_pair(in, &all->v[i]);
	check_pair(in, in);
}

void
instances_check_new(const struct instances *all, const char *dir)
{
	struct claim c[CLAIMS];

	for (size_t i = 0; i < all->n; i++) {
		claims_of(&all->v[i], c);
		for (int k = 0; k < CLAIMS; k++)
			if (!strcmp(c[k].value, dir))
				log_fatal("new config_directory=%s is already "
					  "in use by instance %s, %s=%s",
					  dir, all->v[i].config_directory,
					  c[k].parameter, c[k].value);
	}
}

/* ---- all ---- */

void
instances_load(struct instances *all)
{
	struct strvec dirs = STRVEC_INIT;

	strvec_split(&dirs, span_of(conf->multi_instance_directories),
		     ", \t\r\n", false);
	if (dirs.n >= INSTANCES_MAX)
		log_fatal("multi_instance_directories: more than %d",
			  INSTANCES_MAX);
	all->v = mem_realloc(NULL, dirs.n + 1, sizeof(*all->v));
	instance_read(&all->v[0], conf_directory());
	all->v[0].primary = true;
	all->n = 1;
	/* Alone, it is what every command is for. */
	if (dirs.n == 0)
		all->v[0].enabled = true;
	for (size_t i = 0; i < dirs.n; i++) {
		instance_read(&all->v[all->n], dirs.v[i]);
		instances_check(all, &all->v[all->n]);
		all->n++;
	}
	strvec_free(&dirs);
}

void
instances_free(struct instances *all)
{
	for (size_t i = 0; i < all->n; i++)
		instance_free(&all->v[i]);
	free(all->v);
	*all = (struct instances){NULL, 0};
}

/* ---- selection ---- */

bool
instance_is(const struct instance *in, const char *name)
{
	if (!strcmp(name, "-"))
		return in->primary;
	if (*name == '/')
		return !strcmp(in->config_directory, name);
	return *name && !strcmp(in->name, name);
}

bool
instance_selected(const struct instance *in, const struct postmulti_request *r)
{
	if (r->name)
		return instance_is(in, r->name);
	if (r->group)
		return *r->group && !strcmp(in->group, r->group);
	return true;
}
