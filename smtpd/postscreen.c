/* SPDX-License-Identifier: MIT */
/* postscreen - the zombie blocker in front of smtpd. See postscreen(8). */
#include <event2/event.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service_run.h"
#include "smtpd/postscreen_cache.h"
#include "smtpd/postscreen_client.h"
#include "smtpd/postscreen_dnsbl.h"

static bool stopping;
static struct event *watchdog;

/* Each client takes a descriptor, and one more while it is handed over. */
static void
raise_file_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		rl.rlim_cur = rl.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
			log_warn("setrlimit RLIMIT_NOFILE: %m");
	}
}

static void
init(void)
{
	raise_file_limit();
	postscreen_dnsbl_open();
	postscreen_access_open();
	postscreen_text_open();
	postscreen_engine_open();
	postscreen_proxy_open();
	postscreen_start_open();
	postscreen_tls_open();
	/* Last: the process before gives it up for this one. */
	postscreen_cache_open();
}

/* The loop must come here before postscreen_watchdog_timeout; SIGALRM ends a
 * process that hangs, and master starts another one. */
static void
feed_watchdog(evutil_socket_t fd, short what, void *arg)
{
	int64_t usec = conf->postscreen_watchdog_timeout;
	struct timeval tv = {(time_t)(usec / 3000000), usec / 3 % 1000000};

	(void)fd;
	(void)what;
	(void)arg;
	alarm((unsigned)(usec / 1000000));
	event_add(watchdog, &tv);
}

static void
start(struct event_base *base)
{
	postscreen_dnsbl_start(base);
	postscreen_cache_start(base);
	watchdog = event_new(base, -1, 0, feed_watchdog, NULL);
	feed_watchdog(-1, 0, NULL);
}

/* Clients that are here are finished; there is no new one. */
void
postscreen_client_gone(void)
{
	if (stopping && postscreen_client_count() == 0)
		service_exit(0);
}

/* At a reload the next process is not kept waiting for the clients here. */
static void
stop(void)
{
	stopping = true;
	postscreen_cache_stop();
	if (postscreen_client_count() == 0)
		service_exit(0);
	service_tell_master(SERVICE_SAYS_DRAIN);
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "postscreen",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = init,
	    .watch_fd = postscreen_tls_watch_fd,
	    .watch_changed = postscreen_tls_watch_changed,
	    .event_start = start,
	    .event_client = postscreen_start,
	    .event_stop = stop,
	};

	return service_main(argc, argv, &def);
}
