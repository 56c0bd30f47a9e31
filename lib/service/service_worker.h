/* SPDX-License-Identifier: MIT */
/* service_worker - the life of one worker of a sessions service. */
#ifndef LIB_SERVICE_SERVICE_WORKER_H
#define LIB_SERVICE_SERVICE_WORKER_H

#include <sys/types.h>

#include "lib/service/service_slots.h"

/* Called in the forked process; poke is the parent's eventfd. */
_Noreturn void service_worker_run(struct slots *slots, int slot, int poke,
				  pid_t parent);

#endif
