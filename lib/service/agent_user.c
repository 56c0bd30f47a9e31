/* SPDX-License-Identifier: MIT */
#include "lib/service/agent_user.h"

#include "lib/deliver/as_user.h"
#include "lib/service/service.h"

static const struct agent_user *self;

static void
deliver(struct agent_request *req)
{
	as_user_new_message();
	agent_set_relay(req, "%s", service_name());
	self->deliver(req);
}

static void
serve(int fd)
{
	static const struct agent_ops ops = {.deliver = deliver};

	agent_serve(fd, &ops);
	as_user_forget();
}

int
agent_user_main(int argc, char **argv, const struct agent_user *agent)
{
	const struct service def = {
	    .name = agent->name,
	    .model = SERVICE_SESSIONS,
	    .init = agent->init,
	    .after_jail = as_user_drop_root,
	    .serve = serve,
	};

	self = agent;
	return service_main(argc, argv, &def);
}
