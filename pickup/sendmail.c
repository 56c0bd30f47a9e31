/* SPDX-License-Identifier: MIT */
/* sendmail - the command that programs use to send mail (sendmail(1)); also
 * mailq and newaliases, by the name it is called with. */
#include "pickup/sendmail.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"

/* Callers take this status as "keep the message, and try again". */
static void
fail_temporarily(void)
{
	_exit(EX_TEMPFAIL);
}

/* Become dir/program; args are its arguments. */
_Noreturn static void
execute(const char *dir, const char *program, const struct strvec *args)
{
	char *path = mem_sprintf("%s/%s", dir, program);
	char **argv = mem_calloc(args->n + 2, sizeof(*argv));

	argv[0] = mem_strdup(program);
	for (size_t i = 0; i < args->n; i++)
		argv[i + 1] = args->v[i];
	execv(path, argv);
	log_fatal("cannot execute %s: %m", path);
}

static void
add_verbose(struct strvec *args)
{
	for (int i = 0; i < log_verbose(); i++)
		strvec_add(args, "-v");
}

_Noreturn static void
run_flush(const struct sendmail_options *o)
{
	struct strvec args = STRVEC_INIT;

	add_verbose(&args);
	if (o->queue_id) {
		strvec_add(&args, "-i");
		strvec_add(&args, o->queue_id);
	} else if (o->site) {
		strvec_add(&args, "-s");
		strvec_add(&args, o->site);
	} else {
		strvec_add(&args, "-f");
	}
	execute(conf->command_directory, "postqueue", &args);
}

_Noreturn static void
run_newaliases(const struct sendmail_options *o)
{
	struct strvec args = STRVEC_INIT;
	size_t options;

	add_verbose(&args);
	options = args.n;
	strvec_split(&args,
		     span_of(o->aliases ? o->aliases : conf->alias_database),
		     ", \t\r\n", true);
	if (args.n == options)
		exit(0);
	execute(conf->command_directory, "postalias", &args);
}

_Noreturn static void
run_command(const struct sendmail_options *o)
{
	struct strvec args = STRVEC_INIT;

	switch (o->mode) {
	case MODE_FLUSH:
		run_flush(o);
	case MODE_NEWALIASES:
		run_newaliases(o);
	case MODE_MAILQ:
		add_verbose(&args);
		strvec_add(&args, "-p");
		execute(conf->command_directory, "postqueue", &args);
	case MODE_DAEMON:
		add_verbose(&args);
		strvec_add(&args, "start");
		execute(conf->command_directory, "postfix", &args);
	case MODE_SERVER:
		strvec_add(&args, "-S");
		add_verbose(&args);
		execute(conf->daemon_directory, "smtpd", &args);
	default:
		exit(0);
	}
}

/* A closed descriptor 0, 1 or 2 must not become one of ours. */
static void
fill_standard_descriptors(void)
{
	for (int fd = 0; fd < 3; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			exit(EX_OSERR);
}

int
main(int argc, char **argv)
{
	struct sendmail_options o = {0};
	struct conf_args args = {.program = "sendmail"};

	fill_standard_descriptors();
	log_set_cleanup(fail_temporarily);
	signal(SIGPIPE, SIG_IGN);
	sendmail_parse(argc, argv, &o);
	if (o.config_dir)
		setenv("MAIL_CONFIG", o.config_dir, 1);
	free(o.config_dir);
	conf_load(&args);
	conf_log_open("sendmail", 0);
	log_set_stderr_too(true);
	if (o.mode != MODE_ENQUEUE)
		run_command(&o);
	sendmail_enqueue(&o);
	strvec_free(&o.recipients);
	return 0;
}
