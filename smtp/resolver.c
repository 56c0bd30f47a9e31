/* SPDX-License-Identifier: MIT */
/* resolver - DNS for the suite. See resolver(8). */
#include <sys/resource.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "smtp/resolver_client.h"
#include "smtp/resolver_engine.h"
#include "smtp/resolver_hosts.h"
#include "smtp/resolver_lookup.h"

enum { FILES_WANTED = 20000 };

/* Each question on its way takes a socket. */
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
resolver_start(struct event_base *base)
{
	struct resolver_engine_conf engine = {
	    .servers = conf->postrider_resolver_servers,
	    .trust_anchor = conf->postrider_resolver_trust_anchor,
	    .insecure = conf->postrider_resolver_insecure_zones,
	    .probe = conf->dnssec_probe,
	};

	if (conf->postrider_resolver_hosts[0])
		resolver_hosts_set_path(conf->postrider_resolver_hosts);
	resolver_engine_start(base, &engine);
	resolver_lookup_start(base);
}

static void
resolver_serve(int fd)
{
	resolver_client_new(service_event_base(), fd);
}

int
main(int argc, char **argv)
{
	static const struct service def = {
	    .name = "resolver",
	    .model = SERVICE_EVENT,
	    .flags = SERVICE_SINGLE,
	    .init = raise_file_limit,
	    .event_start = resolver_start,
	    .event_client = resolver_serve,
	};

	return service_main(argc, argv, &def);
}
