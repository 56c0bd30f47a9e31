/* SPDX-License-Identifier: MIT */
/* pickup - bring local mail from maildrop into the queue (pickup(8)). */
#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <sys/time.h>

#include "lib/base/log.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"
#include "lib/service/service.h"
#include "lib/table/table.h"
#include "pickup/pickup_message.h"

enum {
	BATCH = 20,         /* messages before the loop gets its turn */
	RETRY_SECONDS = 60, /* when the queue does not take mail */
};

/* A scan of maildrop in progress, and its continuation. */
static struct {
	DIR *dir;
	struct event *next;
	bool again; /* something came while scanning: scan once more */
	bool left;  /* a message was left for later */
	bool stop;
} scan;

static void
schedule(long seconds)
{
	struct timeval tv = {.tv_sec = seconds};

	event_add(scan.next, &tv);
}

static void
end_scan(void)
{
	closedir(scan.dir);
	scan.dir = NULL;
}

/* Between two messages nothing is lost by ending. */
static void
end_if_asked(void)
{
	if (scan.stop)
		service_exit(0);
	/* master starts it anew, with the tables as they are now. */
	if (maps_any_changed()) {
		log_info("table has changed -- restarting");
		service_exit(0);
	}
}

static void
start_scan(void)
{
	scan.again = scan.left = false;
	scan.dir = opendir("maildrop");
	if (!scan.dir) {
		log_warn("open directory maildrop: %m");
		schedule(RETRY_SECONDS);
	}
}

static void
on_next(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	(void)arg;
	if (!scan.dir) {
		end_if_asked();
		start_scan();
	}
	for (int n = 0; scan.dir && n < BATCH; n++) {
		struct dirent *e;

		errno = 0;
		e = readdir(scan.dir);
		if (!e) {
			end_scan();
			pickup_looked();
			if (scan.again)
				schedule(0);
			else if (scan.left)
				schedule(RETRY_SECONDS);
			return;
		}
		if (e->d_name[0] == '.')
			continue;
		end_if_asked();
		switch (pickup_message(e->d_name)) {
		case PICKUP_DONE:
			break;
		case PICKUP_LATER:
			scan.left = true;
			break;
		case PICKUP_NO_ROOM:
			end_scan();
			schedule(RETRY_SECONDS);
			return;
		}
	}
	if (scan.dir)
		schedule(0);
}

static void
on_wakeup(void)
{
	if (scan.dir)
		scan.again = true;
	else
		schedule(0);
}

/* Also for what was submitted while the mail system was down. */
static void
on_start(struct event_base *base)
{
	scan.next = event_new(base, -1, 0, on_next, NULL);
	if (!scan.next)
		log_fatal("cannot make a timer");
	schedule(0);
}

static void
on_stop(void)
{
	scan.stop = true;
	end_if_asked();
}

static void
init(void)
{
	route_open();
	cleanup_open();
}

int
main(int argc, char **argv)
{
	static const struct service pickup = {
	    .name = "pickup",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE | SERVICE_TAKES_MAIL,
	    .init = init,
	    .event_start = on_start,
	    .event_wakeup = on_wakeup,
	    .event_stop = on_stop,
	};

	return service_main(argc, argv, &pickup);
}
