/* SPDX-License-Identifier: MIT */
/*
 * table_peer - a connection to a look-up server: tcp_table(5) and
 * socketmap_table(5) differ only in what they say on it.
 *
 * The address is looked up when the table is opened, before chroot, and again
 * when that found nothing. A connection is made for the first question, kept
 * for the next ones, and never shared with a process that was forked.
 */
#ifndef LIB_TABLE_TABLE_PEER_H
#define LIB_TABLE_TABLE_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/buf.h"
#include "lib/sys/sock.h"

enum {
	TABLE_PEER_SECONDS = 100, /* for a question and its answer */
	TABLE_PEER_TRIES = 2,     /* a kept connection may be gone */
};

struct table_peer {
	char *name; /* "host:port", or a path; for messages */
	bool is_unix;
	char *host;
	int port;
	struct sock_addrs addrs;
	int fd; /* or -1 */
	pid_t owner;
	struct buf in; /* what came and was not used */
	int64_t deadline;
};

/* endpoint: a path, or "host:port", "[host]:port". NULL: error says why; free
 * it. */
struct table_peer *table_peer_open(bool is_unix, struct span endpoint,
				   char **error);
void table_peer_free(struct table_peer *p);

/* Send a question, on a new connection when there is none; the time starts
 * here. false: errno; disconnected. */
bool table_peer_ask(struct table_peer *p, struct span question);
/* Wait for more in p->in. false: errno, 0 at the end; disconnected. */
bool table_peer_read(struct table_peer *p);
void table_peer_disconnect(struct table_peer *p);

#endif
