/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/service/service_run.h"
#include "lib/sys/io.h"
#include "lib/sys/logsink.h"
#include "lib/sys/proc.h"
#include "master/master.h"

enum {
	/* A service that fails again within this time is throttled. */
	FAIL_AGAIN_USEC = 10 * 1000000,
	LOG_WAIT_MSEC = 500,
};

/* ---- the child's side ---- */

/* 3 is the socket to master, 4 and up are the listeners, then comes the pipe
 * to postlogd, which does not send itself its lines; nothing else. */
static void
place_descriptors(const struct service_entry *s, int status)
{
	bool logs = master.log_pipe >= 0 && !s->has_log_pipe;
	size_t n = 1 + s->n_listen + logs;
	int beyond = SERVICE_MASTER_FD + (int)n;
	int *fd = mem_calloc(n, sizeof(int));

	/* Out of the way first: a source may be another's destination. */
	for (size_t i = 0; i < n; i++) {
		int from = i == 0             ? status
			   : i <= s->n_listen ? s->listen[i - 1].fd
					      : master.log_pipe;

		fd[i] = fcntl(from, F_DUPFD_CLOEXEC, beyond);
	}
	for (size_t i = 0; i < n; i++) {
		if (fd[i] < 0 || dup2(fd[i], SERVICE_MASTER_FD + (int)i) < 0)
			log_fatal("master_spawn: dup2: %m");
	}
	free(fd);
	if (logs)
		conf_log_export_pipe(beyond - 1);
	close_range((unsigned)beyond, ~0U, 0);
}

static void
add_number(struct strvec *argv, const char *option, size_t n)
{
	char text[24];

	snprintf(text, sizeof(text), "%zu", n);
	strvec_add(argv, option);
	strvec_add(argv, text);
}

static bool
is_loopback(const struct sock_addr *a)
{
	char text[SOCK_TEXT_MAX];

	sock_addr_format(a, text);
	return !strncmp(text, "127.", 4) || !strcmp(text, "::1");
}

/* May strangers connect? Who has only clients of this host is never under
 * stress. */
static bool
is_public(const struct service_entry *s)
{
	for (size_t i = 0; s->type == MASTER_INET && i < s->n_listen; i++)
		if (!is_loopback(&s->listen[i].addr))
			return true;
	return false;
}

static void
build_argv(const struct service_entry *s, bool renewal, struct strvec *argv)
{
	strvec_add(argv, s->command);
	if (renewal)
		strvec_add(argv, "-R");
	if (s->maxproc == 1)
		strvec_add(argv, "-l");
	if (strcmp(s->name, s->command) != 0) {
		strvec_add(argv, "-n");
		strvec_add(argv, s->name);
	}
	strvec_add(argv, "-t");
	strvec_add(argv, master_type_name(s->type));
	if (s->unpriv)
		strvec_add(argv, "-u");
	if (s->chroot)
		strvec_add(argv, "-c");
	if (s->n_listen > 1)
		add_number(argv, "-s", s->n_listen);
	if (s->maxproc > 1)
		add_number(argv, "-p", (size_t)s->maxproc);
	if (is_public(s)) {
		strvec_add(argv, "-o");
		strvec_add(argv, s->stress ? "stress=yes" : "stress=");
	}
	if (master.debug)
		strvec_add(argv, "-D");
	for (int i = 0; i < master.verbose; i++)
		strvec_add(argv, "-v");
	for (size_t i = 0; i < s->argv.n; i++)
		strvec_add(argv, s->argv.v[i]);
}

_Noreturn static void
become_service(const struct service_entry *s, const char *path, int status,
	       bool renewal)
{
	struct strvec argv = STRVEC_INIT;

	build_argv(s, renewal, &argv);
	place_descriptors(s, status);
	execv(path, argv.v);
	/* The socket to the log was closed; the sink opens it again. */
	log_fatal("master_spawn: exec %s: %m", path);
}

/* ---- master's side ---- */

static void
free_child(struct child *c)
{
	for (struct child **p = &master.children; *p; p = &(*p)->next) {
		if (*p == c) {
			*p = c->next;
			break;
		}
	}
	event_free(c->event);
	close(c->fd);
	free(c->path);
	free(c);
}

static void
tell_to_finish(struct child *c)
{
	if (c->draining)
		return;
	c->draining = true;
	kill(c->pid, SIGTERM);
}

/* Reload: the next process takes over though it may not be ready yet. */
static bool
promote_next(struct service_entry *s)
{
	s->current = s->next_one;
	s->next_one = NULL;
	return s->current != NULL;
}

/* The service has no process for new clients any more. */
static void
lose_current(struct service_entry *s)
{
	if (promote_next(s))
		return;
	if (!master.stopping && !s->throttled_until)
		master_listen_watch(s, true);
}

static void
child_is_ready(struct child *c)
{
	struct service_entry *s = c->svc;
	struct child *old;

	c->ready = true;
	if (!s || s->next_one != c)
		return;
	old = s->current;
	s->next_one = NULL;
	s->current = c;
	if (old)
		tell_to_finish(old);
}

static void
child_drains(struct child *c)
{
	struct service_entry *s = c->svc;

	c->draining = true;
	if (s && s->current == c) {
		/* It needs nobody's place: the next one need not wait. */
		s->restart_on_exit = false;
		lose_current(s);
	}
}

static struct child *spawn(struct service_entry *s, bool renewal);

/* A successor beside the process that asks for one, also where only one is
 * allowed: it serves nobody before it takes over. */
static bool
may_renew(const struct child *c)
{
	const struct service_entry *s = c->svc;

	return s && s->current == c && !s->next_one && !master.stopping &&
	       !c->draining;
}

static void
child_renews(struct child *c)
{
	if (may_renew(c))
		c->svc->next_one = spawn(c->svc, true);
}

/* The successor has the other settings. */
static void
child_stress(struct child *c, bool on)
{
	if (!may_renew(c) || !is_public(c->svc))
		return;
	c->svc->stress = on;
	c->svc->next_one = spawn(c->svc, true);
}

static void
on_child_message(evutil_socket_t fd, short what, void *arg)
{
	struct child *c = arg;
	char buf[16];
	ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		event_del(c->event); /* waitpid() tells the rest */
		return;
	}
	for (ssize_t i = 0; i < n; i++) {
		if (buf[i] == SERVICE_SAYS_READY)
			child_is_ready(c);
		else if (buf[i] == SERVICE_SAYS_DRAIN)
			child_drains(c);
		else if (buf[i] == SERVICE_SAYS_RELOADS)
			c->reloads = true;
		else if (buf[i] == SERVICE_SAYS_RENEW)
			child_renews(c);
		else if (buf[i] == SERVICE_SAYS_STRESS)
			child_stress(c, true);
		else if (buf[i] == SERVICE_SAYS_CALM)
			child_stress(c, false);
	}
}

static struct child *
new_child(struct service_entry *s, pid_t pid, int fd, char *path)
{
	struct child *c = mem_alloc(sizeof(*c));

	c->pid = pid;
	c->svc = s;
	c->fd = fd;
	c->path = path;
	c->event = event_new(master.base, fd, EV_READ | EV_PERSIST,
			     on_child_message, c);
	if (!c->event || event_add(c->event, NULL) < 0)
		log_fatal("cannot watch a socket");
	c->next = master.children;
	master.children = c;
	return c;
}

static void
arm(struct event *timer, int64_t usec)
{
	struct timeval tv = {usec / 1000000, usec % 1000000};

	event_add(timer, &tv);
}

static void
on_throttle_end(evutil_socket_t fd, short what, void *arg)
{
	struct service_entry *s = arg;

	(void)fd;
	(void)what;
	s->throttled_until = 0;
	if (s->current || master.stopping)
		return;
	master_listen_watch(s, true);
	if (s->wakeup && !s->wakeup_if_used)
		master_spawn_start(s);
}

static void
throttle(struct service_entry *s, int64_t usec)
{
	if (!s->throttle)
		s->throttle = event_new(master.base, -1, 0, on_throttle_end, s);
	s->throttled_until = io_monotonic() + usec;
	master_listen_watch(s, false);
	arm(s->throttle, usec);
}

void
master_spawn_unthrottle(struct service_entry *s)
{
	s->failed_at = 0;
	if (!s->throttled_until)
		return;
	event_del(s->throttle);
	s->throttled_until = 0;
	if (!s->current)
		master_listen_watch(s, true);
}

static struct child *
spawn(struct service_entry *s, bool renewal)
{
	char *path = mem_sprintf("%s/%s", conf->daemon_directory, s->command);
	int pair[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		log_warn("master_spawn: socketpair: %m -- throttling");
		free(path);
		return NULL;
	}
	pid = proc_fork();
	if (pid == 0)
		become_service(s, path, pair[1], renewal);
	close(pair[1]);
	if (pid < 0) {
		log_warn("master_spawn: fork: %m -- throttling");
		close(pair[0]);
		free(path);
		return NULL;
	}
	s->used = true;
	if (strcmp(s->command, "postlogd") == 0)
		logsink_set_wait(LOG_WAIT_MSEC);
	return new_child(s, pid, pair[0], path);
}

void
master_spawn_start(struct service_entry *s)
{
	if (s->current || s->throttled_until || master.stopping ||
	    s->restart_on_exit)
		return;
	s->current = spawn(s, false);
	if (!s->current) {
		throttle(s, conf->service_throttle_time);
		return;
	}
	master_listen_watch(s, false);
}

void
master_spawn_replace(struct service_entry *s)
{
	master_spawn_unthrottle(s);
	if (!s->current)
		return;
	if (s->current->reloads && !s->changed) {
		kill(s->current->pid, SIGHUP);
		return;
	}
	if (s->next_one) {
		tell_to_finish(s->next_one);
		s->next_one = NULL;
	}
	if (s->maxproc != 1) {
		s->next_one = spawn(s, false);
		if (s->next_one)
			return;
	}
	s->restart_on_exit = true;
	tell_to_finish(s->current);
}

void
master_spawn_forget(struct service_entry *s)
{
	for (struct child *c = master.children; c; c = c->next) {
		if (c->svc == s) {
			tell_to_finish(c);
			c->svc = NULL;
		}
	}
	if (s->throttle)
		event_free(s->throttle);
	if (s->wake)
		event_free(s->wake);
	s->throttle = s->wake = NULL;
	s->current = s->next_one = NULL;
}

static bool
is_logger(const struct child *c)
{
	return c->svc && strcmp(c->svc->command, "postlogd") == 0;
}

void
master_spawn_signal_all(int sig)
{
	for (struct child *c = master.children; c; c = c->next) {
		c->draining = true;
		if (!is_logger(c) || sig == SIGKILL)
			kill(c->pid, sig);
	}
	master_spawn_end_logger();
}

/* The one that writes the log reads what the others said last. */
void
master_spawn_end_logger(void)
{
	for (struct child *c = master.children; c; c = c->next) {
		if (!is_logger(c))
			return;
	}
	for (struct child *c = master.children; c; c = c->next)
		kill(c->pid, SIGTERM);
}

/* ---- wakeup ---- */

static void
wake(struct service_entry *s)
{
	const char message = MASTER_SAYS_WAKEUP;

	if (s->wakeup_if_used && !s->used)
		return;
	master_spawn_start(s);
	if (s->current && !s->current->draining &&
	    send(s->current->fd, &message, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		log_debug("%s: wakeup: %m", s->name);
}

static void
on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct service_entry *s = arg;

	(void)fd;
	(void)what;
	wake(s);
	arm(s->wake, (int64_t)s->wakeup * 1000000);
}

void
master_spawn_set_wakeup(struct service_entry *s, bool now)
{
	if (!s->wakeup) {
		if (s->wake)
			event_del(s->wake);
		return;
	}
	if (!s->wake)
		s->wake = event_new(master.base, -1, 0, on_wake, s);
	if (now)
		wake(s);
	arm(s->wake, (int64_t)s->wakeup * 1000000);
}

/* ---- the end of a process ---- */

static void
report_end(const struct child *c, int status)
{
	/* A process that we told to end may have had no time to be nice. */
	if (WIFSIGNALED(status) && c->draining && WTERMSIG(status) == SIGTERM)
		return;
	if (WIFSIGNALED(status))
		log_warn("process %s pid %ld killed by signal %d", c->path,
			 (long)c->pid, WTERMSIG(status));
	else if (WEXITSTATUS(status))
		log_warn("process %s pid %ld exit status %d", c->path,
			 (long)c->pid, WEXITSTATUS(status));
}

/* One accident is forgiven, two in a row are not. */
static bool
failed_again(struct service_entry *s)
{
	int64_t now = io_monotonic();
	bool again = s->failed_at && now - s->failed_at < FAIL_AGAIN_USEC;

	s->failed_at = now;
	return again;
}

static void
current_ended(struct service_entry *s, const struct child *c, bool abnormal)
{
	bool restart = s->restart_on_exit;

	s->restart_on_exit = false;
	if (promote_next(s) || master.stopping)
		return;
	if (abnormal && !restart && (!c->ready || failed_again(s))) {
		log_warn("%s: bad command startup -- throttling", c->path);
		throttle(s, conf->service_throttle_time);
		return;
	}
	master_listen_watch(s, true);
	if (s->wakeup && !s->wakeup_if_used)
		wake(s);
	else if (restart)
		master_spawn_start(s);
}

static void
child_ended(struct child *c, int status)
{
	struct service_entry *s = c->svc;

	report_end(c, status);
	if (s && s->current == c) {
		current_ended(s, c, status != 0);
	} else if (s && s->next_one == c) {
		s->next_one = NULL;
		if (status != 0 && !c->draining)
			log_warn("%s: bad command startup -- the old process "
				 "stays",
				 c->path);
	}
	free_child(c);
}

void
master_spawn_reap(void)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct child *c = master.children;

		while (c && c->pid != pid)
			c = c->next;
		if (c) /* else: process 1 inherits strangers */
			child_ended(c, status);
	}
}
