/* SPDX-License-Identifier: MIT */
/* authd - checks passwords of system users. See authd(8). */
#include "smtpd/authd.h"

#include "lib/service/service.h"

static bool stopping;

static void
serve(int fd)
{
	authd_client_new(service_event_base(), fd);
}

static void
on_idle(void)
{
	if (stopping)
		service_exit(0);
}

/* Who waits for an answer gets it. */
static void
stop(void)
{
	stopping = true;
	if (!authd_check_any())
		service_exit(0);
}

static void
start(struct event_base *base)
{
	(void)base;
	authd_check_on_idle(on_idle);
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "authd",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .event_start = start,
	    .event_client = serve,
	    .event_stop = stop,
	};

	return service_main(argc, argv, &def);
}
