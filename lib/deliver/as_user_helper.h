/* SPDX-License-Identifier: MIT */
/* as_user_helper - the process that keeps root (as_user.h). */
#ifndef LIB_DELIVER_AS_USER_HELPER_H
#define LIB_DELIVER_AS_USER_HELPER_H

#include "lib/deliver/as_user_wire.h"

/*
 * Serve requests from fd (SOCK_SEQPACKET) until every worker has closed its
 * end. Requests count only from processes with the uid client.
 */
_Noreturn void as_user_helper(int fd, uid_t client,
			      const struct as_user_setup *setup);

#endif
