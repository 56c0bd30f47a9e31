/* SPDX-License-Identifier: MIT */
/* service_worker - the life of one worker of a sessions service. */
#ifndef LIB_SERVICE_SERVICE_WORKER_H
#define LIB_SERVICE_SERVICE_WORKER_H

#include <sys/types.h>

#include "lib/service/service_slots.h"

/*
 * Called in the forked process. slot is its index, poke the parent's eventfd,
 * parent_fd the socket to the parent or -1.
 */
_Noreturn void service_worker_run(struct slots *slots, int slot, int poke,
				  int parent_fd, pid_t parent);

#endif
