/* SPDX-License-Identifier: MIT */
#include "lib/service/service_debug.h"

#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"

enum { ATTACH_SECONDS = 5 };

void
service_debug(const char *process)
{
	char *command;

	if (!*conf->debugger_command)
		return;
	command = mem_sprintf("(%s) &", conf->debugger_command);
	log_info("%s: running: %s", process, command);
	if (system(command) < 0)
		log_warn("cannot run debugger_command: %m");
	sleep(ATTACH_SECONDS);
	free(command);
}
