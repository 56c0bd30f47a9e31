/* SPDX-License-Identifier: MIT */
/*
 * PAM's modules are anybody's code, may block, and keep what they like in
 * memory: each password is checked in a child that does nothing else and is
 * killed when it takes too long.
 */
#include "smtpd/authd.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sasl/plain.h"
#include "lib/sys/proc.h"

enum {
	CHILDREN_MAX = 20,
	CHECKS_MAX = 500, /* with those that wait for a child, or for delay */
	CHILD_SECONDS = 20,
	FAILURE_SECONDS = 2,
};

enum state {
	WAITING,
	RUNNING,
	DELAYED,
};

struct authd_check {
	TAILQ_ENTRY(authd_check) next;
	enum state state;
	struct event_base *base;
	char user[PLAIN_USER_MAX + 1];
	char password[PLAIN_PASSWORD_MAX + 1];
	char rip[64];
	authd_done_fn done; /* NULL: cancelled */
	void *arg;
	enum authd_verdict verdict;
	pid_t pid;
	int fd; /* the child's answer */
	struct event *readable, *timer;
};

static TAILQ_HEAD(, authd_check) checks = TAILQ_HEAD_INITIALIZER(checks);
static int n_checks, n_children;
static void (*idle)(void);

static void start_waiting(void);

static void
copy(char *to, size_t size, struct span from)
{
	size_t len = from.len < size ? from.len : size - 1;

	if (len)
		memcpy(to, from.data, len);
	to[len] = '\0';
}

/* ---- the end of a check ---- */

static void
finish(struct authd_check *c)
{
	authd_done_fn done = c->done;
	void *arg = c->arg;
	enum authd_verdict verdict = c->verdict;

	TAILQ_REMOVE(&checks, c, next);
	n_checks--;
	if (c->readable)
		event_free(c->readable);
	if (c->timer)
		event_free(c->timer);
	explicit_bzero(c->password, sizeof(c->password));
	free(c);
	if (done)
		done(arg, verdict);
	if (n_checks == 0 && idle)
		idle();
}

static void
on_delay_over(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static void
set_timer(struct authd_check *c, event_callback_fn fn, int seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	if (c->timer)
		event_free(c->timer);
	c->timer = evtimer_new(c->base, fn, c);
	if (!c->timer || evtimer_add(c->timer, &tv) < 0)
		log_fatal("cannot start a timer");
}

/* Guessing takes time; a client that is gone is not worth it. */
static void
decide(struct authd_check *c, enum authd_verdict verdict)
{
	c->verdict = verdict;
	c->state = DELAYED;
	if (verdict == AUTHD_FAIL && c->done)
		set_timer(c, on_delay_over, FAILURE_SECONDS);
	else
		finish(c);
}

/* ---- the child ---- */

_Noreturn static void
be_child(struct authd_check *c, int fd)
{
	enum authd_verdict verdict;
	char answer;

	alarm(CHILD_SECONDS + 5);
	verdict = authd_pam(c->user, c->password, c->rip);
	explicit_bzero(c->password, sizeof(c->password));
	answer = (char)('0' + verdict);
	_exit(write(fd, &answer, 1) == 1 ? 0 : 1);
}

static void
collect(struct authd_check *c)
{
	kill(c->pid, SIGKILL);
	while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
		;
	event_free(c->readable);
	c->readable = NULL;
	close(c->fd);
	n_children--;
}

static void
on_answer(evutil_socket_t fd, short what, void *arg)
{
	struct authd_check *c = arg;
	enum authd_verdict verdict = AUTHD_TEMP;
	char answer = 0;

	(void)what;
	if (read(fd, &answer, 1) < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (answer == '0' + AUTHD_OK)
		verdict = AUTHD_OK;
	else if (answer == '0' + AUTHD_FAIL)
		verdict = AUTHD_FAIL;
	else if (answer != '0' + AUTHD_TEMP)
		log_warn("the process that checks user %s died", c->user);
	collect(c);
	decide(c, verdict);
	start_waiting();
}

static void
on_timeout(evutil_socket_t fd, short what, void *arg)
{
	struct authd_check *c = arg;

	(void)fd;
	(void)what;
	log_warn("PAM: user %s: no answer within %d seconds", c->user,
		 CHILD_SECONDS);
	collect(c);
	decide(c, AUTHD_TEMP);
	start_waiting();
}

static bool
start_child(struct authd_check *c)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
		return false;
	c->pid = proc_fork();
	if (c->pid == 0)
		be_child(c, p[1]);
	explicit_bzero(c->password, sizeof(c->password));
	close(p[1]);
	if (c->pid < 0) {
		close(p[0]);
		return false;
	}
	c->fd = p[0];
	c->state = RUNNING;
	n_children++;
	c->readable =
	    event_new(c->base, c->fd, EV_READ | EV_PERSIST, on_answer, c);
	if (!c->readable || event_add(c->readable, NULL) < 0)
		log_fatal("cannot watch a child");
	set_timer(c, on_timeout, CHILD_SECONDS);
	return true;
}

/* Never calls back: authd_check_start() has not returned yet. */
static void
on_start(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	start_waiting();
}

static struct authd_check *
first_waiting(void)
{
	struct authd_check *c;

	TAILQ_FOREACH(c, &checks, next)
	if (c->state == WAITING)
		return c;
	return NULL;
}

static void
start_waiting(void)
{
	struct authd_check *c;

	while (n_children < CHILDREN_MAX && (c = first_waiting())) {
		if (!c->done) {
			finish(c);
		} else if (!start_child(c)) {
			log_warn("cannot start a process: %m");
			decide(c, AUTHD_TEMP);
		}
	}
}

/* ---- the interface ---- */

struct authd_check *
authd_check_start(struct event_base *base, struct span user,
		  struct span password, struct span rip, authd_done_fn done,
		  void *arg)
{
	struct authd_check *c;

	if (n_checks >= CHECKS_MAX)
		return NULL;
	c = mem_alloc(sizeof(*c));
	c->base = base;
	copy(c->user, sizeof(c->user), user);
	copy(c->password, sizeof(c->password), password);
	copy(c->rip, sizeof(c->rip), rip);
	c->done = done;
	c->arg = arg;
	TAILQ_INSERT_TAIL(&checks, c, next);
	n_checks++;
	set_timer(c, on_start, 0);
	return c;
}

void
authd_check_cancel(struct authd_check *c)
{
	c->done = NULL;
}

bool
authd_check_any(void)
{
	return n_checks > 0;
}

void
authd_check_on_idle(void (*fn)(void))
{
	idle = fn;
}
