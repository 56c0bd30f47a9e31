/* SPDX-License-Identifier: MIT */
/* postkick(1): wake up a service. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"

/*
 * The queue manager reads frames here. It is told of new mail and looks at
 * incoming/ by itself, so that of Postfix's requests only the ones about
 * deferred mail, whatever its time (A) or its destination's state (F), are
 * left to ask for.
 */
static bool
kick_qmgr(const char *path, const char *request, int timeout)
{
	struct ipc c;
	bool ok;

	if (!ipc_connect(&c, path, timeout))
		return false;
	if (strpbrk(request, "AF")) {
		ipc_begin(&c, MSG_FLUSH);
		ipc_end(&c);
	}
	ok = ipc_flush(&c, timeout) == IPC_OK;
	ipc_close(&c);
	return ok;
}

/* Ends when the service has taken the request, or after the drain time. */
static void
wait_for_end(int fd)
{
	int64_t deadline = io_monotonic() + conf->application_event_drain_time;

	shutdown(fd, SHUT_WR);
	while (io_wait_readable(fd, deadline) < 0 && errno == EINTR)
		;
}

static bool
kick(const char *path, const char *request, int timeout)
{
	int fd = sock_connect_unix(path, timeout);
	size_t len = strlen(request);

	if (fd < 0)
		return false;
	/* Who does not read it was woken up by the connection. */
	if (send(fd, request, len, MSG_NOSIGNAL) == (ssize_t)len)
		wait_for_end(fd);
	close(fd);
	return true;
}

static const char *
parse_arguments(int argc, char **argv)
{
	const char *config_dir = NULL;
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "+c:v")) != -1) {
		if (c == 'c')
			config_dir = optarg;
		else if (c == 'v')
			log_set_verbose(++verbose);
		else
			optind = argc + 1;
	}
	if (argc != optind + 3)
		log_fatal("usage: postkick [-c config_dir] [-v] class service "
			  "request");
	return config_dir;
}

int
main(int argc, char **argv)
{
	struct conf_args args = {.program = "postkick"};
	const char *class, *service, *request;
	char *path;
	int timeout;

	log_set_program("postkick");
	args.config_dir = parse_arguments(argc, argv);
	class = argv[optind];
	service = argv[optind + 1];
	request = argv[optind + 2];
	conf_load(&args);
	if (chdir(conf->queue_directory) < 0)
		log_fatal("chdir %s: %m", conf->queue_directory);
	path = mem_sprintf("%s/%s", class, service);
	timeout = (int)(conf->trigger_timeout / 1000000);
	if (access(path, F_OK) < 0)
		log_warn("unable to look up %s: %m", path);
	else if (strcmp(path, "public/qmgr") == 0
		     ? kick_qmgr(path, request, timeout)
		     : kick(path, request, timeout))
		return 0;
	else
		log_warn("connect to %s: %m", path);
	log_warn("Cannot contact class %s service %s - perhaps the mail system "
		 "is down",
		 class, service);
	free(path);
	return 1;
}
