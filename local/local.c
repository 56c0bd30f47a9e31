/* SPDX-License-Identifier: MIT */
/*
 * local - the delivery agent for accounts of this host (local(8)).
 */
#include "local/local.h"

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/deliver/loop.h"
#include "lib/route/route.h"
#include "lib/service/agent_user.h"

static void
init(void)
{
	const struct as_user_setup setup = {
	    .program = "local",
	    .file_limit = conf->mailbox_size_limit,
	    .allow = local_rights_allowed,
	    .allow_root_path = local_root_path_allowed,
	};
	unsigned locks;

	if (conf->mailbox_size_limit > 0 &&
	    conf->mailbox_size_limit < conf->message_size_limit)
		log_fatal("configuration error: mailbox_size_limit is "
			  "smaller than message_size_limit");
	if (!mbox_parse_locks(conf->mailbox_delivery_lock, &locks))
		log_fatal("mailbox_delivery_lock: unknown method in \"%s\"",
			  conf->mailbox_delivery_lock);
	/* The helper first: it keeps what this process has in memory now. */
	as_user_start(&setup);
	local_alias_open();
	local_mailbox_open();
	route_open();
	cleanup_open();
}

static void
deliver(struct agent_request *req)
{
	struct htab *loops =
	    loop_scan(req->fd, req->content_offset, req->content_length);

	for (size_t i = 0; i < req->n_rcpts; i++)
		local_deliver_rcpt(req, i, loops);
	htab_free(loops, NULL);
}

int
main(int argc, char **argv)
{
	static const struct agent_user agent = {
	    .name = "local",
	    .init = init,
	    .deliver = deliver,
	};

	return agent_user_main(argc, argv, &agent);
}
