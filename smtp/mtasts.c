/* SPDX-License-Identifier: MIT */
/* mtasts - MTA-STS policies of other domains, and what is reported to them
 * about TLS. See mtasts(8). */
#include <sys/resource.h>

#include "lib/base/log.h"
#include "lib/service/service.h"
#include "smtp/mtasts_client.h"
#include "smtp/mtasts_policy.h"
#include "smtp/mtasts_report.h"

enum { FILES_WANTED = 10000 };

/* Each client has two connections, each fetch one. */
static void
raise_file_limit(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= FILES_WANTED)
		return;
	rl.rlim_cur = rl.rlim_max < FILES_WANTED ? rl.rlim_max : FILES_WANTED;
	if (setrlimit(RLIMIT_NOFILE, &rl) < 0)
		log_warn("setrlimit RLIMIT_NOFILE: %m");
}

static void
start(struct event_base *base)
{
	mtasts_policy_start(base);
	mtasts_report_start(base);
}

static void
stop(void)
{
	mtasts_report_flush();
	service_exit(0);
}

/* Nothing to do: settings are read when they are needed. But a successor
 * beside this process would count sessions a second time. */
static void
reload(void)
{
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "mtasts",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = raise_file_limit,
	    .event_start = start,
	    .event_client = mtasts_client_new,
	    .event_reload = reload,
	    .event_stop = stop,
	};

	return service_main(argc, argv, &def);
}
