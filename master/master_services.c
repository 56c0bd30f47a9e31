/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "master/master.h"

/* Their work is done elsewhere: by a library, or by another process. */
static const char *const no_process[] = {
    "cleanup",  "tlsmgr",  "anvil", "scache",  "trivial-rewrite",
    "proxymap", "flush",   "error", "discard", "retry",
    "tlsproxy", "dnsblog", NULL,
};

/* Programs of Postfix that this version does not have. A file of that name
 * in daemon_directory was left behind by Postfix. */
static const char *const absent[] = {
    "qmqpd",
    "nqmgr",
    "oqmgr",
    NULL,
};

static bool
is_in(const char *const *list, const char *name)
{
	for (; *list; list++) {
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

struct service_entry *
master_services_find(const char *name, enum master_type type)
{
	for (struct service_entry *s = master.services; s; s = s->next) {
		if (s->type == type && strcmp(s->name, name) == 0)
			return s;
	}
	return NULL;
}

static bool
can_execute(const char *command)
{
	char *path = mem_sprintf("%s/%s", conf->daemon_directory, command);
	bool ok = access(path, X_OK) == 0;

	free(path);
	return ok;
}

/* One pattern of master_service_disable: "inet", "submission/inet". */
static bool
pattern_matches(struct span pattern, const struct master_service *m)
{
	const char *type = master_type_name(m->type);
	long slash = span_rfind(pattern, '/');

	if (slash < 0)
		slash = span_rfind(pattern, '.');
	if (slash < 0)
		return span_equal_cstr(pattern, type);
	return span_equal_cstr(span_from(pattern, (size_t)slash + 1), type) &&
	       span_equal_cstr(span_make(pattern.data, (size_t)slash), m->name);
}

static bool
is_disabled(const struct master_service *m)
{
	struct span rest = span_of(conf->master_service_disable), pattern;

	while (span_next_token(&rest, ", \t\r\n", &pattern)) {
		bool disable = true;

		while (pattern.len && pattern.data[0] == '!') {
			disable = !disable;
			pattern = span_from(pattern, 1);
		}
		if (pattern_matches(pattern, m))
			return disable;
	}
	return false;
}

/* Does the line get a socket and a process? */
static bool
wants_process(const struct master_service *m)
{
	if (is_in(no_process, m->command) || is_disabled(m))
		return false;
	if (is_in(absent, m->command)) {
		log_warn("master.cf: service %s %s: program %s is not part of "
			 "this mail system yet -- the service is not started",
			 m->name, master_type_name(m->type), m->command);
		return false;
	}
	if (strcmp(m->command, "qmgr") == 0 &&
	    strcmp(m->name, conf->queue_service_name) != 0) {
		log_warn("master.cf: service %s %s: the queue has one manager, "
			 "%s (queue_service_name) -- the service is not "
			 "started",
			 m->name, master_type_name(m->type),
			 conf->queue_service_name);
		return false;
	}
	return true;
}

/* Would a process be started with other arguments now? */
static bool
differs(const struct service_entry *s, const struct master_service *m)
{
	if (!s->command || strcmp(s->command, m->command) != 0 ||
	    s->unpriv != m->unpriv || s->chroot != m->chroot ||
	    s->argv.n != m->argv.n)
		return true;
	for (size_t i = 0; i < m->argv.n; i++) {
		if (strcmp(s->argv.v[i], m->argv.v[i]) != 0)
			return true;
	}
	return false;
}

static void
copy_settings(struct service_entry *s, const struct master_service *m)
{
	s->changed = differs(s, m);
	s->is_private = m->private;
	s->unpriv = m->unpriv;
	s->chroot = m->chroot;
	s->wakeup = m->wakeup;
	s->wakeup_if_used = m->wakeup_if_used;
	s->maxproc = m->maxproc < 0 ? conf->default_process_limit : m->maxproc;
	free(s->command);
	s->command = mem_strdup(m->command);
	strvec_reset(&s->argv);
	for (size_t i = 0; i < m->argv.n; i++)
		strvec_add(&s->argv, m->argv.v[i]);
}

/* Old configurations have FIFOs where today's clients need a socket. */
static enum master_type
type_of(const struct master_service *m)
{
	if (m->type == MASTER_FIFO && (strcmp(m->command, "qmgr") == 0 ||
				       strcmp(m->command, "pickup") == 0))
		return MASTER_UNIX;
	return m->type;
}

static struct service_entry *
append_entry(const char *name, enum master_type type)
{
	struct service_entry **p = &master.services;
	struct service_entry *s = mem_alloc(sizeof(*s));

	while (*p)
		p = &(*p)->next;
	s->name = mem_strdup(name);
	s->type = type;
	*p = s;
	return s;
}

static void
add_line(const struct master_service *m)
{
	struct service_entry *s;

	s = master_services_find(m->name, type_of(m));
	if (!s)
		s = append_entry(m->name, type_of(m));
	s->keep = true;
	copy_settings(s, m);
}

/* Services that master.cf need not mention. */
static void
add_builtin(const struct mastercf *cf, const char *name, const char *command,
	    enum master_type type, bool is_private, bool unpriv)
{
	struct master_service m = {
	    .name = (char *)(uintptr_t)name,
	    .type = type,
	    .private = is_private,
	    .unpriv = unpriv,
	    .maxproc = 1,
	    .command = (char *)(uintptr_t)command,
	};

	if (!mastercf_find(cf, name, type) && can_execute(command))
		add_line(&m);
}

static void
fill_table(const struct mastercf *cf)
{
	for (size_t i = 0; i < cf->n; i++) {
		if (wants_process(&cf->v[i]))
			add_line(&cf->v[i]);
	}
	add_builtin(cf, "lookup", "lookup", MASTER_UNIX, true, true);
	add_builtin(cf, "resolver", "resolver", MASTER_UNIX, true, true);
	add_builtin(cf, "mta-sts", "mtasts", MASTER_UNIX, true, true);
	add_builtin(cf, "authd", "authd", MASTER_UNIX, true, false);
	if (*conf->maillog_file)
		add_builtin(cf, conf->postlog_service_name, "postlogd",
			    MASTER_UNIX_DGRAM, false, true);
}

static void
remove_entry(struct service_entry *s)
{
	master_spawn_forget(s);
	master_listen_close(s);
	for (struct service_entry **p = &master.services; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	strvec_free(&s->argv);
	free(s->listen);
	free(s->name);
	free(s->command);
	free(s->path);
	free(s);
}

static void
remove_the_rest(void)
{
	struct service_entry *s = master.services;

	while (s) {
		struct service_entry *next = s->next;

		if (!s->keep)
			remove_entry(s);
		s = next;
	}
}

bool
master_services_is_log(const struct service_entry *s)
{
	return s->type == MASTER_UNIX_DGRAM &&
	       strcmp(s->name, conf->postlog_service_name) == 0;
}

/* Listen, and start (or replace) what shall run; the log service first. */
static bool
apply(bool first, bool log_service)
{
	bool ok = true;

	for (struct service_entry *s = master.services; s; s = s->next) {
		if (master_services_is_log(s) != log_service)
			continue;
		if (!master_listen_open(s)) {
			ok = false;
			continue;
		}
		if (!first)
			master_spawn_replace(s);
		if (log_service && *conf->maillog_file)
			master_spawn_start(s);
		if (!s->current)
			master_listen_watch(s, true);
		else
			master_listen_watch(s, false);
	}
	return ok;
}

static bool
read_file(struct mastercf *cf)
{
	char *path = mem_sprintf("%s/master.cf", conf_directory());
	struct strvec errors = STRVEC_INIT;
	bool ok = mastercf_read(path, cf, &errors);

	for (size_t i = 0; i < errors.n; i++)
		log_error("%s", errors.v[i]);
	if (!ok && errors.n == 0)
		log_error("open %s: %m", path);
	strvec_free(&errors);
	free(path);
	return ok;
}

bool
master_services_load(bool first)
{
	struct mastercf cf = {.v = NULL};
	bool ok = read_file(&cf);

	if (!ok) {
		mastercf_free(&cf);
		return false;
	}
	for (struct service_entry *s = master.services; s; s = s->next)
		s->keep = false;
	fill_table(&cf);
	mastercf_free(&cf);
	remove_the_rest();
	ok = apply(first, true);
	ok = apply(first, false) && ok;
	for (struct service_entry *s = master.services; s; s = s->next)
		master_spawn_set_wakeup(s, s->n_listen > 0);
	return ok;
}
