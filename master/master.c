/* SPDX-License-Identifier: MIT */
/* master(8): see master.h for what it does. */
#include "master/master.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/service/service_debug.h"
#include "lib/sys/io.h"
#include "lib/sys/logsink.h"
#include "lib/sys/proc.h"
#include "master/master_pidfile.h"

enum {
	STOP_SECONDS = 5,   /* for clients in progress, then SIGKILL */
	INIT_SECONDS = 100, /* -w waits at most */
	NOFILE_WANTED = 65536,
	RELOAD_LOG_WAIT_MSEC = 200,
};

struct master master = {.log_pipe = -1};

struct options {
	const char *config_dir;
	int exit_seconds; /* -e, 0: never */
	bool foreground;  /* -d */
	bool test;        /* -t */
	bool wait;        /* -w */
};

static void
usage(void)
{
	log_fatal("usage: master [-c config_dir] [-D (debug)] "
		  "[-d (don't detach from terminal)] [-e exit_time] "
		  "[-i (init mode)] [-s (keep stdout)] [-t (test)] "
		  "[-v] [-w (wait for initialization)]");
}

static void
parse_arguments(int argc, char **argv, struct options *o)
{
	int64_t n;
	int c;

	opterr = 0;
	while ((c = getopt(argc, argv, "c:Dde:istvw")) != -1) {
		switch (c) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'D':
			master.debug = true;
			break;
		case 'd':
			o->foreground = true;
			break;
		case 'e':
			if (!num_parse(span_of(optarg), 1, 1000000000, &n))
				usage();
			o->exit_seconds = (int)n;
			break;
		case 'i':
			master.init_mode = true;
			master.keep_stdout = true;
			break;
		case 's':
			master.keep_stdout = true;
			break;
		case 't':
			o->test = true;
			break;
		case 'v':
			log_set_verbose(++master.verbose);
			break;
		case 'w':
			o->wait = true;
			break;
		default:
			usage();
		}
	}
	if (optind < argc || (o->test && o->wait))
		usage();
	if (master.init_mode && getpid() != 1)
		log_fatal("-i is allowed only for PID 1 process");
}

/*
 * -w: the caller waits in this process until the real one says that it is
 * up. Returns in the child with the descriptor to say it on.
 */
static int
wait_for_child(void)
{
	int pipefd[2];
	char ok = 1;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		log_fatal("pipe: %m");
	pid = fork();
	if (pid < 0)
		log_fatal("fork: %m");
	if (pid == 0) {
		close(pipefd[0]);
		return pipefd[1];
	}
	close(pipefd[1]);
	if (io_wait_readable(pipefd[0],
			     io_monotonic() + INIT_SECONDS * INT64_C(1000000)) >
		0 &&
	    read(pipefd[0], &ok, 1) == 1 && ok == 0)
		_exit(0);
	_exit(1);
}

static void
redirect(int fd)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, fd) < 0)
		log_fatal("open /dev/null: %m");
	if (null > STDERR_FILENO)
		close(null);
}

static void
detach(const struct options *o)
{
	/* Children are ended as a process group; be its leader. */
	if (!master.init_mode && !o->foreground && getpgrp() != getpid() &&
	    setsid() < 0)
		log_fatal("setsid: %m");
	if (o->foreground)
		return;
	redirect(STDIN_FILENO);
	if (!master.keep_stdout)
		redirect(STDOUT_FILENO);
	redirect(STDERR_FILENO);
}

/* Nothing of the caller's environment but what main.cf names. */
static void
clean_environment(void)
{
	struct strvec env = STRVEC_INIT;

	proc_environment(conf->import_environment, &env);
	clearenv();
	for (size_t i = 0; i < env.n; i++) {
		char *equals = strchr(env.v[i], '=');

		if (!equals)
			continue;
		*equals = '\0';
		setenv(env.v[i], equals + 1, 1);
	}
	strvec_free(&env);
	setenv("MAIL_CONFIG", conf_directory(), 1);
	conf_log_export();
}

static void
raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= NOFILE_WANTED)
		return;
	rl.rlim_cur = rl.rlim_max < NOFILE_WANTED ? rl.rlim_max : NOFILE_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		log_warn("setrlimit(RLIMIT_NOFILE): %m");
}

static void
load_configuration(const struct options *o)
{
	struct conf_args args = {
	    .program = "master",
	    .config_dir = o->config_dir,
	    .daemon = true,
	};

	conf_load(&args);
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir(%s): %m", conf->queue_directory);
	conf_log_open("master", CONF_LOG_DAEMON | CONF_LOG_DIRECT);
}

/* ---- signals ---- */

static void
finish(int status)
{
	master_pidfile_release();
	exit(status);
}

static void
on_stop_deadline(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (!master.children)
		finish(0);
	log_warn("processes are still busy after %d seconds -- killing them",
		 STOP_SECONDS);
	master_spawn_signal_all(SIGKILL);
	master_pidfile_release();
	/* Workers and commands of theirs; ourselves too. */
	if (!master.init_mode && getpgrp() == getpid())
		kill(0, SIGKILL);
	exit(0);
}

static void
stop(int sig)
{
	struct timeval tv = {.tv_sec = STOP_SECONDS};
	struct event *deadline;

	if (master.stopping && sig != SIGQUIT)
		return;
	log_info("terminating on signal %d", sig);
	master.stopping = true;
	for (struct service_entry *s = master.services; s; s = s->next)
		master_listen_watch(s, false);
	master_spawn_signal_all(sig == SIGQUIT ? SIGKILL : SIGTERM);
	master_listen_refuse();
	deadline = event_new(master.base, -1, 0, on_stop_deadline, NULL);
	if (sig == SIGQUIT)
		tv.tv_sec = 0;
	if (!deadline || event_add(deadline, &tv) < 0 || !master.children)
		finish(0);
}

/*
 * An error in main.cf ends the process that reads it; let that be another
 * one, so that the mail system goes on with what it has.
 */
static bool
configuration_is_good(const struct options *o)
{
	int status = 0;
	pid_t pid = proc_fork();

	if (pid == 0) {
		logsink_set_wait(RELOAD_LOG_WAIT_MSEC);
		load_configuration(o);
		_exit(0);
	}
	if (pid < 0) {
		log_error("fork: %m");
		return false;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

static void
reload(void)
{
	struct options o = {.config_dir = conf_directory()};

	log_info("reload -- version %s, configuration %s", conf->mail_version,
		 conf_directory());
	if (!configuration_is_good(&o)) {
		log_error("reload: main.cf has errors -- "
			  "the old configuration stays in effect");
		return;
	}
	load_configuration(&o);
	conf_log_export();
	if (!master_services_load(false))
		log_error("reload: master.cf: not everything could be put "
			  "into effect");
}

static void
on_signal(evutil_socket_t sig, short what, void *arg)
{
	(void)what;
	(void)arg;
	switch ((int)sig) {
	case SIGHUP:
		if (!master.stopping)
			reload();
		break;
	case SIGCHLD:
		master_spawn_reap();
		if (!master.stopping)
			break;
		if (!master.children)
			finish(0);
		master_spawn_end_logger();
		break;
	default:
		stop((int)sig);
	}
}

static void
watch_signal(int sig)
{
	struct event *ev = event_new(master.base, sig, EV_SIGNAL | EV_PERSIST,
				     on_signal, NULL);

	if (!ev || event_add(ev, NULL) < 0)
		log_fatal("cannot watch signal %d", sig);
}

static void
on_exit_time(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	log_info("master exit time has arrived");
	finish(0);
}

static void
set_up_loop(const struct options *o)
{
	const int signals[] = {SIGHUP, SIGTERM, SIGINT, SIGQUIT, SIGCHLD};
	struct timeval tv = {.tv_sec = o->exit_seconds};
	struct event *ev;

	master.base = event_base_new();
	if (!master.base)
		log_fatal("cannot make an event loop: %m");
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		watch_signal(signals[i]);
	signal(SIGPIPE, SIG_IGN);
	if (!o->exit_seconds)
		return;
	ev = event_new(master.base, -1, 0, on_exit_time, NULL);
	if (!ev || event_add(ev, &tv) < 0)
		log_fatal("cannot set a timer");
}

static void
start(const struct options *o)
{
	int report = o->wait ? wait_for_child() : -1;
	const char ok = 0;

	detach(o);
	master_pidfile_take();
	clean_environment();
	raise_limits();
	logsink_set_wait(0); /* the one that starts postlogd cannot wait */
	set_up_loop(o);
	if (!master_services_load(true))
		log_fatal("cannot start the mail system, see above");
	if (*conf->maillog_file) /* its socket is there now */
		conf_log_open("master", CONF_LOG_DAEMON | CONF_LOG_DIRECT);
	log_info("daemon started -- version %s, configuration %s",
		 conf->mail_version, conf_directory());
	if (master.unprivileged)
		log_info("not started by root: every process keeps the uid %ld",
			 (long)geteuid());
	if (master.debug)
		service_debug("master");
	if (report >= 0) {
		if (write(report, &ok, 1) < 0)
			log_warn("write: %m");
		close(report);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {0};

	umask(077);
	/* Descriptors of the caller are not for our services. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	master.unprivileged = geteuid() != 0;
	log_set_program("master");
	parse_arguments(argc, argv, &o);
	if (!o.test)
		conf_log_open_early("master");
	if (isatty(STDERR_FILENO))
		log_set_stderr_too(true);
	load_configuration(&o);
	if (o.test)
		exit(master_pidfile_is_locked() ? 1 : 0);
	start(&o);
	event_base_dispatch(master.base);
	log_fatal("the event loop ended");
}
