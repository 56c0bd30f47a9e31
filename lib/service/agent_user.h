/* SPDX-License-Identifier: MIT */
/*
 * agent_user - main() of a delivery agent that does everything for a recipient
 * with the recipient's rights (lib/deliver/as_user.h): local, virtual, pipe.
 */
#ifndef LIB_SERVICE_AGENT_USER_H
#define LIB_SERVICE_AGENT_USER_H

#include "lib/service/agent.h"

struct agent_user {
	const char *name; /* of the program */
	/* service.init; calls as_user_start(). */
	void (*init)(void);
	/* agent_ops.deliver; the relay that is logged is the service's name
	 * already. */
	void (*deliver)(struct agent_request *req);
};

/* agent stays as long as the process. */
int agent_user_main(int argc, char **argv, const struct agent_user *agent);

#endif
