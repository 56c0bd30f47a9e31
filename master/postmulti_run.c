/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/proc.h"
#include "master/postmulti.h"

static const char *
or_dash(const char *s)
{
	return *s ? s : "-";
}

int
postmulti_list(const struct instances *all, const struct postmulti_request *r)
{
	for (size_t i = 0; i < all->n; i++) {
		const struct instance *in =
		    &all->v[r->reverse ? all->n - 1 - i : i];

		if (!instance_selected(in, r))
			continue;
		printf("%-15s %-15s %-9s %s\n", or_dash(in->name),
		       or_dash(in->group), in->enabled ? "y" : "n",
		       in->config_directory);
	}
	if (fflush(stdout) != 0)
		log_fatal("write error: %m");
	return 0;
}

/* ---- running a command ---- */

static void export(const struct instance *in)
{
	const char *path = getenv("PATH");
	char *with = mem_sprintf("%s%s%s", conf->command_directory,
				 path ? ":" : "", path ? path : "");

	setenv("PATH", with, 1);
	free(with);
	setenv("MAIL_CONFIG", in->config_directory, 1);
	setenv("command_directory", conf->command_directory, 1);
	setenv("daemon_directory", conf->daemon_directory, 1);
	setenv("config_directory", in->config_directory, 1);
	setenv("queue_directory", in->queue_directory, 1);
	setenv("data_directory", in->data_directory, 1);
	setenv("multi_instance_name", in->name, 1);
	setenv("multi_instance_group", in->group, 1);
	setenv("multi_instance_enable", in->enabled ? "yes" : "no", 1);
}

bool
postmulti_run(const struct instance *in, char *const *argv)
{
	pid_t pid = proc_fork();
	int status = -1;

	if (pid < 0)
		log_fatal("fork: %m");
	if (pid == 0) {
		export(in);
		execvp(argv[0], argv);
		log_fatal("execvp %s: %m", argv[0]);
	}
	return proc_wait(pid, false, -1, &status) && status == 0;
}

/* ---- postfix commands ---- */

static bool
in_list(const char *list, const char *word)
{
	struct span rest = span_of(list), w;

	while (span_next_token(&rest, ", \t\r\n", &w))
		if (span_equal_cstr(w, word))
			return true;
	return false;
}

/* What to run instead of argv for this instance; NULL: nothing. */
static char **
postfix_command(const struct instance *in, const char *verb, char **argv,
		char **check)
{
	if (in->enabled)
		return argv;
	if (in_list(conf->postmulti_start_commands, verb))
		return check;
	if (in_list(conf->postmulti_stop_commands, verb) ||
	    in_list(conf->postmulti_control_commands, verb))
		return NULL;
	return argv;
}

int
postmulti_iterate(const struct instances *all,
		  const struct postmulti_request *r)
{
	bool wrapper = r->mode == MODE_POSTFIX, ok = true;
	bool reverse =
	    r->reverse ||
	    (wrapper && in_list(conf->postmulti_stop_commands, r->rest[0]));
	char *postfix = mem_sprintf("%s/postfix", conf->command_directory);
	char *check[] = {postfix, (char[]){"check"}, NULL};
	char **argv = mem_realloc(NULL, (size_t)r->n_rest + 2, sizeof(*argv));
	size_t matched = 0;

	argv[0] = postfix;
	for (int i = 0; i <= r->n_rest; i++)
		argv[i + 1] = r->rest[i];
	for (size_t i = 0; i < all->n; i++) {
		const struct instance *in =
		    &all->v[reverse ? all->n - 1 - i : i];
		char **run;

		if (!instance_selected(in, r))
			continue;
		matched++;
		run = wrapper ? postfix_command(in, r->rest[0], argv, check)
			      : argv + 1;
		if (run && !postmulti_run(in, run))
			ok = false;
	}
	if (!matched)
		log_fatal("No matching instances");
	free(argv);
	free(postfix);
	return ok ? 0 : 1;
}
