/* SPDX-License-Identifier: MIT */
/*
 * command - give a message to a program, as the user who runs this (local(8)
 * EXTERNAL COMMAND DELIVERY, pipe(8)).
 */
#ifndef LIB_DELIVER_COMMAND_H
#define LIB_DELIVER_COMMAND_H

#include "lib/base/strvec.h"
#include "lib/deliver/copy.h"
#include "lib/dsn/why.h"

enum { COMMAND_OUTPUT_MAX = 4096 }; /* bytes of output that are kept */

struct command_request {
	const char *command;       /* one line; or NULL: argv */
	const char *shell;         /* "/some/smrsh -c": always run by it; ""
				      or NULL: by /bin/sh where needed */
	const struct strvec *argv; /* run as it is */
	const struct strvec *env;  /* the whole environment, NAME=VALUE */
	const char *directory;     /* working directory; NULL or "": stays */
	struct copy_source source;
	struct span head;    /* what to put in front of the content */
	unsigned copy_flags; /* COPY_* */
	const char *eol;     /* NULL: LF */
	int64_t time_limit;  /* microseconds */
	const char *program; /* in front of messages: "local" */
};

/*
 * true: exit status 0; output is what the program wrote, made printable (NL
 * became a space). false: why, by <sysexits.h> or the status code at the
 * start of the output; its diagnostic is the output. warning gets lines for
 * the log or stays empty. SIGPIPE must be ignored, SIGCHLD must not be.
 */
bool command_run(const struct command_request *req, struct buf *output,
		 struct buf *warning, struct why *why);

/*
 * Run argv with fd as its standard input, output and error (spawn(8)), until
 * it ends or time_limit is over. false: why says how it ended.
 */
bool command_serve(const struct strvec *argv, const struct strvec *env, int fd,
		   int64_t time_limit, const char *program, struct why *why);

/* PATH and what export_environment names: the start of an environment. */
void command_base_env(struct strvec *env);

/* What why says about a command that ended with this wait status. Pure. */
void command_status(int wait_status, bool timed_out, const char *command,
		    struct span output, struct why *why);

/* Does this command line need a shell? Pure. */
bool command_needs_shell(const char *command);

#endif
