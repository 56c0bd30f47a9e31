/* SPDX-License-Identifier: MIT */
/* postfix(1): control the mail system. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/sys/proc.h"
#include "master/postfix_script.h"

#define USAGE                                                                  \
	"Usage: postfix start (or stop, reload, abort, flush, check, status, " \
	"set-permissions, upgrade-configuration, logrotate)"

static void
check_accounts(void)
{
	if (!getpwnam(conf->mail_owner))
		log_fatal("file %s/main.cf: parameter mail_owner: unknown user "
			  "name value: %s",
			  conf_directory(), conf->mail_owner);
	if (!getgrnam(conf->setgid_group))
		log_fatal("file %s/main.cf: parameter setgid_group: unknown "
			  "group name: %s",
			  conf_directory(), conf->setgid_group);
}

/* An ordinary user may run a mail system in a directory of his own. */
static void
require_own_queue(void)
{
	struct stat st;

	if (stat(conf->queue_directory, &st) == 0
		? st.st_uid == geteuid()
		: errno == ENOENT && mkdir(conf->queue_directory, 0755) == 0)
		return;
	log_error("to submit mail, use the Postfix sendmail command");
	log_fatal("the postfix command is reserved for the superuser");
}

static void
check_directories(void)
{
	if (chdir(conf->command_directory) < 0)
		log_fatal("chdir(%s): %m", conf->command_directory);
	if (chdir(conf->daemon_directory) < 0)
		log_fatal("chdir(%s): %m", conf->daemon_directory);
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir(%s): %m", conf->queue_directory);
	if (*conf->maillog_file && !conf_log_file_allowed())
		log_fatal("maillog_file value '%s' does not match any prefix "
			  "in maillog_file_prefixes",
			  conf->maillog_file);
}

static void
set_environment(void)
{
	struct strvec env = STRVEC_INIT;

	setenv("MAIL_CONFIG", conf_directory(), 1);
	proc_environment(conf->import_environment, &env);
	proc_environment("MAIL_CONFIG MAIL_VERBOSE "
			 "PATH=/bin:/usr/bin:/sbin:/usr/sbin",
			 &env);
	clearenv();
	for (size_t i = 0; i < env.n; i++) {
		char *equals = strchr(env.v[i], '=');

		*equals = '\0';
		setenv(env.v[i], equals + 1, 1);
	}
	strvec_free(&env);
	conf_log_export();
}

/* Several instances: the wrapper runs this command once for each. */
static void
hand_to_wrapper(char **argv, int first)
{
	struct strvec command = STRVEC_INIT;

	strvec_split(&command, span_of(conf->multi_instance_wrapper),
		     ", \t\r\n", false);
	if (command.n == 0)
		log_fatal("multi-instance support is requested, but "
			  "multi_instance_wrapper is empty");
	for (; argv[first]; first++)
		strvec_add(&command, argv[first]);
	execv(command.v[0], command.v);
	log_fatal("multi_instance_wrapper: cannot execute %s: %m",
		  command.v[0]);
}

/* The lines of the verbs come from a script in Postfix, and have its name. */
static void
become_script(void)
{
	static char *ident;

	ident = mem_sprintf("%s/postfix-script", conf->syslog_name);
	conf_log_open_ident(ident, CONF_LOG_DIRECT);
	log_set_program(ident);
	log_set_stderr_too(isatty(STDERR_FILENO));
}

static int
run_verb(const char *verb, const struct postfix_options *o)
{
	if (strcmp(verb, "start") == 0)
		return postfix_start(o, true);
	if (strcmp(verb, "quick-start") == 0)
		return postfix_start(o, false);
	if (strcmp(verb, "start-fg") == 0)
		return postfix_start_fg(o);
	if (strcmp(verb, "stop") == 0 || strcmp(verb, "drain") == 0)
		return postfix_stop(true);
	if (strcmp(verb, "quick-stop") == 0)
		return postfix_stop(false);
	if (strcmp(verb, "abort") == 0)
		return postfix_abort();
	if (strcmp(verb, "reload") == 0)
		return postfix_reload();
	if (strcmp(verb, "status") == 0)
		return postfix_status();
	if (strcmp(verb, "flush") == 0)
		return postfix_flush();
	if (strcmp(verb, "check") == 0)
		return postfix_check(o) ? 0 : 1;
	if (strcmp(verb, "logrotate") == 0)
		return postfix_logrotate();
	if (strcmp(verb, "set-permissions") == 0)
		return postfix_set_permissions(o);
	if (strcmp(verb, "upgrade-configuration") == 0)
		return 0; /* no line of master.cf is needed that is not there */
	if (strcmp(verb, "tls") == 0)
		log_fatal("the command 'tls' is not part of this mail system "
			  "yet");
	log_fatal("unknown command: '%s'. " USAGE, verb);
}

/* The index of the verb. */
static int
parse_arguments(int argc, char **argv, struct conf_args *args,
		struct postfix_options *o)
{
	int c;

	while ((c = getopt(argc, argv, "+c:Dv")) != -1) {
		switch (c) {
		case 'c':
			if (*optarg != '/')
				log_fatal("-c requires absolute pathname");
			args->config_dir = optarg;
			break;
		case 'D':
			o->debug = true;
			setenv("MAIL_DEBUG", "", 1);
			break;
		case 'v':
			log_set_verbose(++o->verbose);
			setenv("MAIL_VERBOSE", "", 1);
			break;
		default:
			log_fatal("usage: postfix [-c config_dir] [-Dv] "
				  "command");
		}
	}
	return optind;
}

int
main(int argc, char **argv)
{
	struct conf_args args = {.program = "postfix"};
	struct postfix_options o = {.unprivileged = geteuid() != 0};
	const char *env = getenv("MAIL_CONFIG");
	int verb;

	umask(022);
	log_set_program("postfix");
	verb = parse_arguments(argc, argv, &args, &o);
	conf_load(&args);
	conf_log_open_ident("postfix", CONF_LOG_DIRECT);
	log_set_stderr_too(true);
	if (o.unprivileged)
		require_own_queue();
	else
		check_accounts();
	check_directories();
	if (!args.config_dir && !(env && *env) &&
	    *conf->multi_instance_directories)
		hand_to_wrapper(argv, verb);
	set_environment();
	become_script();
	return run_verb(argv[verb] ? argv[verb] : "", &o);
}
