/* SPDX-License-Identifier: MIT */
/* postlock(1): run a command while a mailbox is locked. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/deliver/mbox.h"
#include "lib/sys/proc.h"

struct options {
	const char *config_dir, *style;
};

static void
parse_arguments(int argc, char **argv, struct options *o)
{
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "+c:l:v")) != -1) {
		if (c == 'c')
			o->config_dir = optarg;
		else if (c == 'l')
			o->style = optarg;
		else if (c == 'v')
			log_set_verbose(++verbose);
		else
			optind = argc;
	}
	if (argc < optind + 2)
		log_fatal_code(EX_TEMPFAIL,
			       "usage: postlock [-c config_dir] [-l "
			       "lock_style] [-v] folder command...");
}

/* A failure to read main.cf would end with another status. */
static void
require_main_cf(const char *dir)
{
	const char *env = getenv("MAIL_CONFIG");
	int fd;

	if (!dir)
		dir = env && *env ? env : CONF_DEFAULT_DIR;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || faccessat(fd, "main.cf", R_OK, AT_EACCESS) < 0)
		log_fatal_code(EX_TEMPFAIL, "open %s/main.cf: %m", dir);
	close(fd);
}

static unsigned
lock_methods(const char *style)
{
	struct span rest = span_of(style), word;
	unsigned all = 0;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		char *name = mem_strndup(word.data, word.len);
		unsigned one;

		if (!mbox_parse_locks(name, &one))
			log_fatal_code(EX_TEMPFAIL,
				       "unknown mailbox_delivery_lock value "
				       "\"%s\" in \"%s\"",
				       name, style);
		all |= one;
		free(name);
	}
	return all;
}

static int
run(char **argv)
{
	pid_t pid = proc_fork();
	int status;

	if (pid < 0)
		log_fatal_code(EX_TEMPFAIL, "fork: %m");
	if (pid == 0) {
		execvp(argv[0], argv);
		log_fatal("execvp %s: %m", argv[0]);
	}
	proc_wait(pid, false, -1, &status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int
main(int argc, char **argv)
{
	struct options o = {NULL, NULL};
	struct conf_args args = {.program = "postlock"};
	struct mbox_request req = {.owner = -1};
	struct dotlock dot = DOTLOCK_INIT;
	struct why why = WHY_INIT;
	int fd, status;

	log_set_program("postlock");
	parse_arguments(argc, argv, &o);
	require_main_cf(o.config_dir);
	args.config_dir = o.config_dir;
	conf_load(&args);
	req.path = argv[optind];
	req.locks =
	    lock_methods(o.style ? o.style : conf->mailbox_delivery_lock);
	req.attempts = conf->deliver_lock_attempts;
	req.delay = conf->deliver_lock_delay;
	req.stale = conf->stale_lock_time;
	fd = mbox_lock(&req, &dot, &why);
	if (fd < 0)
		log_fatal_code(EX_TEMPFAIL, "open file %s: %s", req.path,
			       buf_cstr(&why.text));
	status = run(argv + optind + 1);
	close(fd);
	dotlock_release(&dot);
	why_free(&why);
	return status;
}
