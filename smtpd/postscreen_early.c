/* SPDX-License-Identifier: MIT */
/* The tests before the greeting: does the client wait, is it on a list? */
#include <errno.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_client.h"
#include "smtpd/postscreen_dnsbl.h"

static const char phase[] = "tests before SMTP handshake";

static void
end_waiting(struct screen *s)
{
	if (s->watch)
		postscreen_dnsbl_drop(s->watch);
	s->watch = NULL;
	event_free(s->read);
	event_free(s->timer);
	s->read = s->timer = NULL;
}

static void
go_on(struct screen *s)
{
	end_waiting(s);
	if (s->enforce || s->veto || screen_tests_due(&s->tests, TESTS_DEEP)) {
		postscreen_engine(s);
	} else {
		postscreen_conclude(s);
		postscreen_pass(s);
	}
}

static int64_t
dnsbl_until(const struct dnsbl_result *r)
{
	int64_t ttl = r->ttl;

	if (ttl > conf->postscreen_dnsbl_max_ttl / 1000000)
		ttl = conf->postscreen_dnsbl_max_ttl / 1000000;
	if (ttl < conf->postscreen_dnsbl_min_ttl / 1000000)
		ttl = conf->postscreen_dnsbl_min_ttl / 1000000;
	return io_now() / 1000000 + ttl;
}

/* Name the list, unless its name is a secret that cannot be translated. */
static void
set_blocked(struct screen *s, const char *domain)
{
	struct buf name = BUF_INIT;

	if (!postscreen_dnsbl_name(domain, &name))
		buf_set_cstr(&name, "a DNS block list");
	free(s->blocked);
	s->blocked =
	    mem_sprintf("550 5.7.1 Service unavailable; client [%s] blocked "
			"using %s",
			s->addr, buf_cstr(&name));
	buf_free(&name);
}

/* false: the client is gone. */
static bool
judge_dnsbl(struct screen *s)
{
	struct dnsbl_result r;

	if (!s->watch)
		return true;
	postscreen_dnsbl_result(s->watch, &r);
	if (r.score < conf->postscreen_dnsbl_threshold) {
		screen_test_pass(&s->tests, TEST_DNSBL, dnsbl_until(&r));
		return true;
	}
	log_info("DNSBL rank %d for %s", r.score, postscreen_who(s));
	set_blocked(s, r.domain);
	postscreen_fail(s, TEST_DNSBL, screen_actions.dnsbl, s->blocked);
	if (screen_actions.dnsbl != ACTION_DROP)
		return true;
	postscreen_end_with(s, "521%s", s->blocked + 3);
	return false;
}

static bool
waits_for_silence(const struct screen *s)
{
	return screen_tests_due(&s->tests, 1U << TEST_PREGREET) && !s->early;
}

static void
finish(struct screen *s)
{
	if (!judge_dnsbl(s))
		return;
	if (waits_for_silence(s))
		screen_test_pass(&s->tests, TEST_PREGREET,
				 io_now() / 1000000 +
				     conf->postscreen_greet_ttl / 1000000);
	go_on(s);
}

/* A good name makes all tests unnecessary. */
static bool
is_allowlisted(struct screen *s, const struct dnsbl_result *r)
{
	int threshold = conf->postscreen_dnsbl_allowlist_threshold;

	return threshold < 0 && r->score <= threshold && !s->tests.failed;
}

/* The greeting may only come early when nothing but lists was waited for. */
static void
on_dnsbl(void *arg)
{
	struct screen *s = arg;
	struct dnsbl_result r;

	postscreen_dnsbl_result(s->watch, &r);
	if (is_allowlisted(s, &r)) {
		screen_tests_pass_all(&s->tests, dnsbl_until(&r));
		go_on(s);
	} else if (r.complete && !waits_for_silence(s)) {
		finish(s);
	}
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	finish(arg);
}

static void
take_early(struct screen *s, struct span input)
{
	log_info("PREGREET %zu after %s from %s: %s", input.len,
		 postscreen_elapsed(s), postscreen_who(s),
		 postscreen_shown(input));
	postscreen_fail(s, TEST_PREGREET, screen_actions.greet,
			"550 5.5.1 Protocol error");
	s->early = true;
	if (screen_actions.greet == ACTION_DROP) {
		postscreen_end_with(s, "521 5.5.1 Protocol error");
	} else if (s->watch) {
		on_dnsbl(s); /* the lists may still have their say */
	} else {
		finish(s);
	}
}

static void
on_input(evutil_socket_t fd, short what, void *arg)
{
	static char input[CLIENT_READ];
	struct screen *s = arg;
	ssize_t n;

	(void)what;
	if (s->out.len && !postscreen_flush(s))
		n = 0;
	else
		n = recv(fd, input, sizeof(input), MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		event_add(s->read, NULL);
	} else if (n <= 0) {
		postscreen_hangup(s, phase);
	} else if (waits_for_silence(s)) {
		take_early(s, span_make(input, (size_t)n));
	}
	/* else it may speak; smtpd or the engine will read it */
}

static void
tease(struct screen *s)
{
	if (!screen_tests_due(&s->tests, 1U << TEST_PREGREET))
		return;
	postscreen_reply(s, "220-%s", conf->postscreen_greet_banner);
	postscreen_flush(s);
}

void
postscreen_early(struct screen *s)
{
	int64_t wait = postscreen_greet_wait();
	struct timeval tv = {(time_t)(wait / 1000000), wait % 1000000};
	struct event_base *base = service_event_base();
	struct dnsbl_result r;

	s->since = io_monotonic();
	s->read = event_new(base, s->fd, EV_READ, on_input, s);
	s->timer = event_new(base, -1, 0, on_timer, s);
	if (!screen_tests_due(&s->tests, TESTS_EARLY)) {
		go_on(s);
		return;
	}
	tease(s);
	event_add(s->read, NULL);
	event_add(s->timer, &tv);
	if (!screen_tests_due(&s->tests, 1U << TEST_DNSBL))
		return;
	s->watch = postscreen_dnsbl_ask(s->addr, on_dnsbl, s);
	postscreen_dnsbl_result(s->watch, &r);
	if (r.complete)
		on_dnsbl(s);
}
