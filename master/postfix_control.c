/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/mastercf.h"
#include "lib/sys/io.h"
#include "lib/sys/lock.h"
#include "lib/sys/proc.h"
#include "master/postfix_script.h"

#define PID_FILE "pid/master.pid"

enum {
	STOP_SECONDS = 12, /* master gives its clients 5 */
	KILL_SECONDS = 5,
	POLL_MSEC = 20,
};

/* The running master, or 0. The working directory is queue_directory. */
static pid_t
find_master(void)
{
	int fd = open(PID_FILE, O_RDONLY | O_CLOEXEC);
	struct buf text = BUF_INIT;
	int64_t pid = 0;

	if (fd < 0)
		return 0;
	if (!lock_fd_now(fd, false, LOCK_BY_FLOCK) &&
	    (!io_read_file(PID_FILE, 100, &text) ||
	     !num_parse(span_trim(buf_span(&text)), 2, INT32_MAX, &pid)))
		pid = 0;
	/* Process 1 of a container is one, too. */
	if (span_equal_cstr(span_trim(buf_span(&text)), "1"))
		pid = 1;
	close(fd);
	buf_free(&text);
	return (pid_t)pid;
}

static pid_t
require_master(void)
{
	pid_t pid = find_master();

	if (!pid)
		log_fatal("the Postfix mail system is not running");
	return pid;
}

static bool
wait_for_end(int seconds)
{
	int64_t deadline = io_monotonic() + (int64_t)seconds * 1000000;

	while (find_master()) {
		if (io_monotonic() >= deadline)
			return false;
		poll(NULL, 0, POLL_MSEC);
	}
	return true;
}

/* Run a program with our standard output and error; its exit status. */
static int
run(const char *path, char *const *argv)
{
	struct proc_spec p = {
	    .path = path,
	    .argv = argv,
	    .in = -1,
	    .out = STDOUT_FILENO,
	    .err = STDERR_FILENO,
	};
	pid_t pid = proc_spawn(&p);
	int status;

	if (pid < 0)
		log_fatal("cannot execute %s: %m", path);
	proc_wait(pid, false, -1, &status);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void
master_argv(struct strvec *argv, const struct postfix_options *o,
	    const char *mode)
{
	char *path = mem_sprintf("%s/master", conf->daemon_directory);

	strvec_add(argv, path);
	strvec_add(argv, mode);
	if (o->debug)
		strvec_add(argv, "-D");
	for (int i = 0; i < o->verbose; i++)
		strvec_add(argv, "-v");
	free(path);
}

int
postfix_start(const struct postfix_options *o, bool check)
{
	struct strvec argv = STRVEC_INIT;
	int status;

	if (find_master())
		log_fatal("the Postfix mail system is already running");
	if (check && !postfix_check(o))
		log_fatal("Postfix integrity check failed!");
	log_info("starting the Postfix mail system");
	master_argv(&argv, o, "-w");
	status = run(argv.v[0], argv.v);
	strvec_free(&argv);
	if (status != 0)
		log_fatal("mail system startup failed");
	return 0;
}

int
postfix_start_fg(const struct postfix_options *o)
{
	struct strvec argv = STRVEC_INIT;

	if (*conf->multi_instance_directories)
		log_fatal("start-fg does not support "
			  "multi_instance_directories");
	if (find_master())
		log_fatal("the Postfix mail system is already running");
	if (!postfix_check(o))
		log_fatal("Postfix integrity check failed!");
	log_info("starting the Postfix mail system");
	master_argv(&argv, o, getpid() == 1 ? "-i" : "-s");
	execv(argv.v[0], argv.v);
	log_fatal("cannot execute %s: %m", argv.v[0]);
}

int
postfix_stop(bool wait)
{
	pid_t pid = require_master();

	log_info("stopping the Postfix mail system");
	if (kill(pid, SIGTERM) < 0)
		log_fatal("kill %ld: %m", (long)pid);
	if (!wait || wait_for_end(STOP_SECONDS))
		return 0;
	log_warn("stopping the Postfix mail system with force");
	if (pid > 1)
		kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	return wait_for_end(KILL_SECONDS) ? 0 : 1;
}

int
postfix_abort(void)
{
	pid_t pid = require_master();

	log_info("aborting the Postfix mail system");
	if (kill(pid, SIGQUIT) < 0)
		log_fatal("kill %ld: %m", (long)pid);
	wait_for_end(KILL_SECONDS);
	/* Processes of its processes: all are in its process group. */
	if (pid > 1)
		kill(-pid, SIGKILL);
	return wait_for_end(KILL_SECONDS) ? 0 : 1;
}

int
postfix_reload(void)
{
	char *path = mem_sprintf("%s/master.cf", conf_directory());
	struct mastercf cf = {.v = NULL};
	struct strvec errors = STRVEC_INIT;
	pid_t pid = require_master();

	if (!mastercf_read(path, &cf, &errors)) {
		for (size_t i = 0; i < errors.n; i++)
			log_error("%s", errors.v[i]);
		log_fatal("cannot use %s", path);
	}
	mastercf_free(&cf);
	strvec_free(&errors);
	free(path);
	log_info("refreshing the Postfix mail system");
	if (kill(pid, SIGHUP) < 0)
		log_fatal("kill %ld: %m", (long)pid);
	return 0;
}

int
postfix_status(void)
{
	pid_t pid = find_master();

	if (!pid) {
		log_info("the Postfix mail system is not running");
		return 1;
	}
	log_info("the Postfix mail system is running: PID: %ld", (long)pid);
	return 0;
}

int
postfix_flush(void)
{
	char *path = mem_sprintf("%s/postqueue", conf->command_directory);
	char *argv[] = {path, (char[]){"-f"}, NULL};
	int status = run(path, argv);

	free(path);
	return status;
}

static char *
find_compressor(const char *name)
{
	static const char *const dirs[] = {"/bin", "/usr/bin", "/sbin",
					   "/usr/sbin"};

	if (*name == '/')
		return mem_strdup(name);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char *path = mem_sprintf("%s/%s", dirs[i], name);

		if (access(path, X_OK) == 0)
			return path;
		free(path);
	}
	return NULL;
}

static void
compress(char *file)
{
	struct strvec argv = STRVEC_INIT;
	char *program;

	strvec_split(&argv, span_of(conf->maillog_file_compressor), ", \t\r\n",
		     false);
	if (argv.n == 0)
		return;
	program = find_compressor(argv.v[0]);
	strvec_add(&argv, file);
	if (!program || run(program, argv.v) != 0)
		log_warn("cannot compress %s with %s", file, argv.v[0]);
	free(program);
	strvec_free(&argv);
}

int
postfix_logrotate(void)
{
	char suffix[256];
	time_t now = time(NULL);
	struct tm tm;
	char *file;

	if (!*conf->maillog_file)
		log_fatal("empty 'maillog_file' parameter value - logfile "
			  "rotation failed");
	if (strncmp(conf->maillog_file, "/dev/", 5) == 0)
		log_fatal("not rotating '%s' - logfile rotation failed",
			  conf->maillog_file);
	localtime_r(&now, &tm);
	if (strftime(suffix, sizeof(suffix), conf->maillog_file_rotate_suffix,
		     &tm) == 0 ||
	    strchr(suffix, '/'))
		log_fatal("bad 'maillog_file_rotate_suffix' parameter value - "
			  "logfile rotation failed");
	file = mem_sprintf("%s.%s", conf->maillog_file, suffix);
	/* postlogd looks before each write, and opens a new file. */
	if (rename(conf->maillog_file, file) < 0)
		log_fatal("rename %s: %m - logfile rotation failed",
			  conf->maillog_file);
	compress(file);
	free(file);
	return 0;
}
