/* SPDX-License-Identifier: MIT */
/* resolver_client - the processes that ask, on private/resolver. */
#ifndef SMTP_RESOLVER_CLIENT_H
#define SMTP_RESOLVER_CLIENT_H

struct event_base;

enum {
	RESOLVER_CLIENT_ASKS_MAX = 2000,       /* unanswered questions of one */
	RESOLVER_CLIENT_OUT_MAX = 1024 * 1024, /* bytes it does not read */
};

/* Serve a connection, take over fd. */
void resolver_client_new(struct event_base *base, int fd);

#endif
