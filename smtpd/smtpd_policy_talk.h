/* SPDX-License-Identifier: MIT */
/*
 * smtpd_policy_talk - the connection to a policy server: made when needed,
 * kept, given up, tried again.
 */
#ifndef SMTPD_POLICY_TALK_H
#define SMTPD_POLICY_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"

struct policy_server {
	/* settings; times in microseconds */
	bool inet;
	char *address; /* "host:port" or a path, as logs show it */
	int64_t timeout, max_idle, max_ttl, retry_delay;
	int try_limit, request_limit;
	/* the connection */
	int fd;        /* -1: none */
	int64_t since; /* io_monotonic(): made, and last used */
	int64_t used;
	int requests;
};

/* "inet:host:port", "unix:path". false: it is neither. */
bool policy_server_parse(struct policy_server *s, const char *text);
/* The value of the action attribute. false: no attempt succeeded (logged). */
bool policy_server_ask(struct policy_server *s, struct span request,
		       struct buf *action);

#endif
