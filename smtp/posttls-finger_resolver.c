/* SPDX-License-Identifier: MIT */
#include "smtp/posttls-finger_resolver.h"

#include <event2/event.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/sys/proc.h"
#include "smtp/resolver_client.h"
#include "smtp/resolver_engine.h"
#include "smtp/resolver_hosts.h"
#include "smtp/resolver_lookup.h"

_Noreturn static void
serve(int fd)
{
	const struct resolver_engine_conf engine = {
	    .servers = conf->postrider_resolver_servers,
	    .trust_anchor = conf->postrider_resolver_trust_anchor,
	    .insecure = conf->postrider_resolver_insecure_zones,
	    .probe = conf->dnssec_probe,
	};
	struct event_base *base = event_base_new();

	if (!base)
		log_fatal("cannot create an event loop");
	if (conf->postrider_resolver_hosts[0])
		resolver_hosts_set_path(conf->postrider_resolver_hosts);
	resolver_engine_start(base, &engine);
	resolver_lookup_start(base);
	resolver_client_new(base, fd);
	event_base_dispatch(base);
	_exit(0);
}

static void
start_own(void)
{
	pid_t parent = getpid();
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) < 0)
		log_fatal("socketpair: %m");
	switch (proc_fork()) {
	case -1:
		log_fatal("fork: %m");
	case 0:
		close(fd[0]);
		/* It has no other reason to end. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		serve(fd[1]);
	default:
		close(fd[1]);
		dns_use(fd[0]);
	}
}

void
finger_resolver_open(void)
{
	if (chdir(conf->queue_directory) < 0 || !dns_is_reachable())
		start_own();
}
