/* SPDX-License-Identifier: MIT */
/* A client's first moment: limits, the access list, the cache. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_cache.h"
#include "smtpd/postscreen_client.h"
#include "smtpd/postscreen_dnsbl.h"

struct screen_counts screen_counts;
struct screen_actions screen_actions;

/* Connections by address; the value is the number itself. */
static struct htab *by_addr;

static void
set_action(const char *name, const char *value, enum screen_action *out)
{
	if (!screen_action_parse(value, out))
		log_fatal("bad %s value: %s", name, value);
}

void
postscreen_start_open(void)
{
	struct screen_actions *a = &screen_actions;

	set_action("postscreen_denylist_action",
		   conf->postscreen_denylist_action, &a->deny);
	set_action("postscreen_greet_action", conf->postscreen_greet_action,
		   &a->greet);
	set_action("postscreen_dnsbl_action", conf->postscreen_dnsbl_action,
		   &a->dnsbl);
	set_action("postscreen_pipelining_action",
		   conf->postscreen_pipelining_action, &a->pipelining);
	set_action("postscreen_non_smtp_command_action",
		   conf->postscreen_non_smtp_command_action, &a->non_smtp);
	set_action("postscreen_bare_newline_action",
		   conf->postscreen_bare_newline_action, &a->bare_newline);
	if (*conf->postscreen_greet_banner)
		a->enabled |= 1U << TEST_PREGREET;
	if (postscreen_dnsbl_enabled())
		a->enabled |= 1U << TEST_DNSBL;
	if (conf->postscreen_pipelining_enable)
		a->enabled |= 1U << TEST_PIPELINING;
	if (conf->postscreen_non_smtp_command_enable)
		a->enabled |= 1U << TEST_NON_SMTP;
	if (conf->postscreen_bare_newline_enable)
		a->enabled |= 1U << TEST_BARE_NEWLINE;
	by_addr = htab_new();
}

/* ---- stress ---- */

/* Only the defaults depend on stress: a value that was set stays. */
int64_t
postscreen_greet_wait(void)
{
	int64_t usual = conf->postscreen_greet_wait;

	return screen_counts.stress && usual == 6000000 ? 2000000 : usual;
}

int64_t
postscreen_command_time(void)
{
	int64_t usual = conf->postscreen_command_time_limit;

	return screen_counts.stress && usual == 300000000 ? 10000000 : usual;
}

/* From 90% of the limit on, until it is 70%. */
static void
look_at_stress(void)
{
	int limit = conf->postscreen_pre_queue_limit;
	int high = (int)(limit * INT64_C(9) / 10);
	int low = (int)(limit * INT64_C(7) / 10);
	int n = screen_counts.checking;

	if (!screen_counts.stress && n >= high) {
		screen_counts.stress = true;
		log_info("entering STRESS mode with %d connections", n);
	} else if (screen_counts.stress && n <= low) {
		screen_counts.stress = false;
		log_info("leaving STRESS mode with %d connections", n);
	}
}

/* ---- counting ---- */

static uintptr_t
count_addr(const char *addr, int step)
{
	uintptr_t n = (uintptr_t)htab_get(by_addr, span_of(addr));

	n += (uintptr_t)step;
	if (n)
		htab_put(by_addr, span_of(addr), (void *)n);
	else
		htab_remove(by_addr, span_of(addr));
	return n;
}

void
postscreen_start_forget(struct screen *s)
{
	if (s->counted)
		count_addr(s->addr, -1);
	if (s->passing)
		screen_counts.passing--;
	if (s->checking) {
		screen_counts.checking--;
		look_at_stress();
	}
	s->counted = s->passing = s->checking = false;
}

void
postscreen_start_passing(struct screen *s)
{
	if (s->checking) {
		screen_counts.checking--;
		look_at_stress();
	}
	s->checking = false;
	s->passing = true;
	screen_counts.passing++;
}

static bool
too_many(struct screen *s)
{
	int limit = conf->postscreen_client_connection_count_limit;

	s->counted = true;
	if (count_addr(s->addr, 1) <= (uintptr_t)limit || limit <= 0)
		return false;
	log_info("NOQUEUE: reject: CONNECT from %s: too many connections",
		 postscreen_who(s));
	postscreen_end_with(s, "421 4.7.0 Error: too many connections");
	return true;
}

static bool
servers_busy(struct screen *s)
{
	if (screen_counts.passing < conf->postscreen_post_queue_limit)
		return false;
	log_info("NOQUEUE: reject: CONNECT from %s: all server ports busy",
		 postscreen_who(s));
	postscreen_end_with(s, "421 4.3.2 All server ports are busy");
	return true;
}

static bool
screens_busy(struct screen *s)
{
	if (screen_counts.checking < conf->postscreen_pre_queue_limit - 1) {
		s->checking = true;
		screen_counts.checking++;
		look_at_stress();
		return false;
	}
	log_info("reject: connect from %s: all screening ports busy",
		 postscreen_who(s));
	postscreen_end_with(s, "421 4.3.2 All screening ports are busy");
	return true;
}

/* ---- the way of a client ---- */

static const char *
polite(const char *now, const char *before)
{
	return conf->respectful_logging ? now : before;
}

/* false: the client is gone, or on its way. */
static bool
check_lists(struct screen *s)
{
	switch (postscreen_access(s->addr)) {
	case ACCESS_PERMIT:
		log_info("%s %s", polite("ALLOWLISTED", "WHITELISTED"),
			 postscreen_who(s));
		postscreen_pass(s);
		return false;
	case ACCESS_REJECT:
		log_info("%s %s", polite("DENYLISTED", "BLACKLISTED"),
			 postscreen_who(s));
		s->tests.failed = true;
		if (screen_actions.deny == ACTION_DROP) {
			postscreen_end_with(
			    s, "521 5.3.2 Service currently unavailable");
			return false;
		}
		if (screen_actions.deny == ACTION_ENFORCE) {
			s->enforce = true;
			s->reason = "550 5.3.2 Service currently unavailable";
		}
		return true;
	case ACCESS_DUNNO:
		break;
	}
	if (screen_tests_known(&s->tests)) {
		log_info("PASS OLD %s", postscreen_who(s));
		postscreen_pass(s);
		return false;
	}
	if (!postscreen_access_interface(s->local_addr)) {
		log_info("%s VETO %s", polite("ALLOWLIST", "WHITELIST"),
			 postscreen_who(s));
		s->veto = true;
	}
	return true;
}

static void
begin_tests(struct screen *s)
{
	struct buf entry = BUF_INIT;

	postscreen_cache_get(s->addr, &entry);
	if (!screen_tests_begin(&s->tests, buf_span(&entry),
				screen_actions.enabled, io_now() / 1000000))
		log_warn("postscreen_cache_map: bad entry for %s", s->addr);
	buf_free(&entry);
}

void
postscreen_start_known(struct screen *s)
{
	sock_addr_format(&s->peer, s->addr);
	sock_addr_format(&s->local, s->local_addr);
	s->port = sock_addr_port(&s->peer);
	s->local_port = sock_addr_port(&s->local);
	log_info("CONNECT from %s to [%s]:%d", postscreen_who(s), s->local_addr,
		 s->local_port);
	if (too_many(s) || servers_busy(s))
		return;
	begin_tests(s);
	if (!check_lists(s) || screens_busy(s))
		return;
	postscreen_early(s);
}

void
postscreen_start(int fd)
{
	struct screen *s = postscreen_client_new(fd);

	if (!sock_peer(fd, &s->peer) || !sock_local(fd, &s->local)) {
		/* It went away while it waited to be accepted. */
		postscreen_client_free(s);
		return;
	}
	if (postscreen_proxy_enabled())
		postscreen_proxy(s);
	else
		postscreen_start_known(s);
}
