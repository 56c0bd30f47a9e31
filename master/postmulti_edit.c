/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/sys/proc.h"
#include "master/postmulti.h"

void
postmulti_become_script(void)
{
	static char *ident;

	if (ident)
		return;
	ident = mem_sprintf("%s/postmulti-script", conf->syslog_name);
	conf_log_open_ident(ident, CONF_LOG_DIRECT);
	log_set_program(ident);
	log_set_stderr_too(isatty(STDERR_FILENO));
}

/* ---- editing main.cf ---- */

void
postmulti_postconf(const char *dir, const char *flag,
		   const struct strvec *settings)
{
	char *path = mem_sprintf("%s/postconf", conf->command_directory);
	struct strvec argv = STRVEC_INIT;
	struct proc_spec p = {
	    .path = path, .in = -1, .out = STDOUT_FILENO, .err = STDERR_FILENO};
	int status = -1;
	pid_t pid;

	strvec_add(&argv, path);
	strvec_add(&argv, "-c");
	strvec_add(&argv, dir);
	strvec_add(&argv, flag);
	for (size_t i = 0; i < settings->n; i++)
		strvec_add(&argv, settings->v[i]);
	p.argv = argv.v;
	pid = proc_spawn(&p);
	if (pid < 0)
		log_fatal("cannot execute %s: %m", path);
	/* It has said why. */
	if (!proc_wait(pid, false, -1, &status) || status != 0)
		exit(1);
	strvec_free(&argv);
	free(path);
}

static void
add_setting(struct strvec *settings, const char *name, const char *value)
{
	char *text = mem_sprintf("%s=%s", name, value);

	strvec_add(settings, text);
	free(text);
}

static void
set_one(const char *dir, const char *name, const char *value)
{
	struct strvec s = STRVEC_INIT;

	add_setting(&s, name, value);
	postmulti_postconf(dir, "-e", &s);
	strvec_free(&s);
}

static void
add_name(struct strvec *settings, const char *parameter, const char *value,
	 bool is_new)
{
	if (!value || !*value)
		return;
	if (strcmp(value, "-"))
		add_setting(settings, parameter, value);
	else if (!is_new)
		add_setting(settings, parameter, "");
}

/* -I and -G, "-" for none, which a new one has already. */
static void
set_names(const char *dir, const struct postmulti_request *r)
{
	struct strvec s = STRVEC_INIT;
	bool is_new = r->action == ACTION_CREATE;

	add_name(&s, "multi_instance_name", r->new_name, is_new);
	add_name(&s, "multi_instance_group", r->new_group, is_new);
	if (s.n)
		postmulti_postconf(dir, "-e", &s);
	strvec_free(&s);
}

/* The list in the primary's main.cf, with dir (NULL: nothing) put before the
 * one with that index, and without the one called gone. */
static void
set_list(const struct instances *all, const char *dir, size_t before,
	 const char *gone)
{
	struct buf list = BUF_INIT;

	for (size_t i = 1; i <= all->n; i++) {
		if (dir && i == before)
			buf_printf(&list, "%s%s", list.len ? " " : "", dir);
		if (i < all->n &&
		    (!gone || strcmp(all->v[i].config_directory, gone)))
			buf_printf(&list, "%s%s", list.len ? " " : "",
				   all->v[i].config_directory);
	}
	set_one(all->v[0].config_directory, "multi_instance_directories",
		buf_cstr(&list));
	buf_free(&list);
}

/* ---- init ---- */

static int
init(const struct instances *all)
{
	struct strvec s = STRVEC_INIT;

	if (!*conf->multi_instance_wrapper)
		add_setting(&s, "multi_instance_wrapper",
			    "${command_directory}/postmulti -p --");
	if (!conf->multi_instance_enable)
		add_setting(&s, "multi_instance_enable", "yes");
	if (s.n)
		postmulti_postconf(all->v[0].config_directory, "-e", &s);
	strvec_free(&s);
	return 0;
}

static void
require_init(void)
{
	postmulti_become_script();
	if (!*conf->multi_instance_wrapper)
		log_fatal("multi_instance_wrapper is empty, run 'postmulti -e "
			  "init' first.");
	if (!conf->multi_instance_enable)
		log_fatal("multi_instance_enable!=yes, run 'postmulti -e init' "
			  "first.");
}

/* ---- create, import ---- */

/* Where the new one goes: an index of the list, at most all->n. */
static size_t
find_place(const struct instances *all, const struct postmulti_request *r)
{
	if (r->all)
		return 1;
	if (!r->name && !r->group)
		return all->n;
	for (size_t i = 1; i < all->n; i++)
		if (instance_selected(&all->v[i], r))
			return i;
	log_fatal("No matching secondary instances");
}

static void
take_override(struct instance *in, const struct postmulti_request *r,
	      const char *text)
{
	struct span all = span_of(text), value;
	long at = span_find(all, '=');
	char *name, **to = NULL;

	if (at <= 0)
		log_fatal("Malformed parameter setting '%s'", text);
	name = mem_strndup(text, (size_t)at);
	value = span_from(all, (size_t)at + 1);
	if (!strcmp(name, "config_directory"))
		to = &in->config_directory;
	else if (r->action == ACTION_CREATE && !strcmp(name, "queue_directory"))
		to = &in->queue_directory;
	else if (r->action == ACTION_CREATE && !strcmp(name, "data_directory"))
		to = &in->data_directory;
	if (!to)
		log_fatal("Parameter '%s' not valid with action %s", name,
			  postmulti_action_name(r->action));
	if (value.len == 0 || value.data[0] != '/')
		log_fatal("Parameter setting '%s' is not an absolute path",
			  name);
	free(*to);
	*to = mem_strndup(value.data, value.len);
	free(name);
}

/* The primary's path with another last component. */
static void
set_sibling(char **to, const char *primary, const char *name,
	    const char *parameter)
{
	const char *slash = strrchr(primary, '/');

	if (*to)
		return;
	if (!name || !slash)
		log_fatal("Missing %s parameter value", parameter);
	*to = mem_sprintf("%.*s/%s", (int)(slash - primary), primary, name);
}

static void
plan(const struct instances *all, const struct postmulti_request *r,
     struct instance *in)
{
	const struct instance *first = &all->v[0];
	const char *name = r->new_name;

	if (name && (!*name || !strcmp(name, "-")))
		name = NULL;
	for (int i = 0; i < r->n_rest; i++)
		take_override(in, r, r->rest[i]);
	set_sibling(&in->config_directory, first->config_directory, name,
		    "config_directory");
	if (r->action == ACTION_IMPORT) {
		char *dir = in->config_directory;

		instances_check_new(all, dir);
		instance_read(in, dir);
		free(dir);
	} else {
		set_sibling(&in->queue_directory, first->queue_directory, name,
			    "queue_directory");
		set_sibling(&in->data_directory, first->data_directory, name,
			    "data_directory");
		instances_check_new(all, in->config_directory);
	}
	if (name || !in->name) {
		free(in->name);
		in->name = mem_strdup(name ? name : "");
	}
	if (!in->group)
		in->group = mem_strdup("");
	instances_check(all, in);
}

static int
create(const struct instances *all, const struct postmulti_request *r)
{
	struct instance in = {0};
	size_t place = find_place(all, r);

	plan(all, r, &in);
	require_init();
	if (r->action == ACTION_CREATE)
		instance_make(&in);
	set_names(in.config_directory, r);
	set_list(all, in.config_directory, place, NULL);
	instance_free(&in);
	return 0;
}

/* ---- those that are there ---- */

static void
require_stopped(const struct instance *in)
{
	char *path = mem_sprintf("%s/postfix", conf->command_directory);
	char *argv[] = {path, (char[]){"status"}, NULL};

	if (postmulti_run(in, argv))
		log_fatal("Instance '%s' is not stopped", in->config_directory);
	free(path);
}

static int
remove_from_list(const struct instances *all, const struct instance *in,
		 bool destroy)
{
	if (in->primary)
		log_fatal("Cannot remove the primary instance");
	if (in->enabled)
		log_fatal("Cannot remove enabled instances");
	require_init();
	require_stopped(in);
	if (destroy)
		instance_remove(in);
	set_list(all, NULL, 0, in->config_directory);
	return 0;
}

static int
assign(const struct instances *all, const struct instance *in,
       const struct postmulti_request *r)
{
	struct instance next = *in;

	if (r->new_name && strcmp(r->new_name, "-")) {
		next.name = mem_strdup(r->new_name);
		instances_check(all, &next);
		free(next.name);
	}
	require_init();
	set_names(in->config_directory, r);
	return 0;
}

int
postmulti_edit(const struct instances *all, const struct postmulti_request *r)
{
	const struct instance *in = NULL;

	if (r->action == ACTION_INIT)
		return init(all);
	if (r->action == ACTION_CREATE || r->action == ACTION_IMPORT)
		return create(all, r);
	for (size_t i = 0; !in && i < all->n; i++)
		if (instance_is(&all->v[i], r->name))
			in = &all->v[i];
	if (!in)
		log_fatal("No instance named %s", r->name);
	if (r->action == ACTION_DESTROY || r->action == ACTION_DEPORT)
		return remove_from_list(all, in, r->action == ACTION_DESTROY);
	if (r->action == ACTION_ASSIGN)
		return assign(all, in, r);
	require_init();
	set_one(in->config_directory, "multi_instance_enable",
		r->action == ACTION_ENABLE ? "yes" : "no");
	return 0;
}
