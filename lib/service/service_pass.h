/* SPDX-License-Identifier: MIT */
/*
 * service_pass - a connected client goes from one service to another: to a
 * line of type pass in master.cf, over a UNIX stream socket.
 *
 * One message carries the descriptor (SCM_RIGHTS) and a line of text: empty,
 * or "ADDRESS PORT ADDRESS PORT" (client, server) when a proxy in front said
 * who the client is. The receiver answers one byte when it has the client;
 * a connection that ends without it has not been taken.
 */
#ifndef LIB_SERVICE_SERVICE_PASS_H
#define LIB_SERVICE_SERVICE_PASS_H

#include <stdbool.h>

#include "lib/sys/sock.h"

struct service_peer {
	bool given; /* else the socket itself knows */
	struct sock_addr client, server;
};

enum service_pass {
	PASS_DONE,
	PASS_AGAIN, /* nothing to be had now: wait until conn is ready */
	PASS_FAILED,
};

/* Sender. Does not wait. fd stays the caller's. */
enum service_pass service_pass_send(int conn, int fd,
				    const struct service_peer *peer);
/* Sender: has it been taken? */
enum service_pass service_pass_taken(int conn);
/* Receiver: waits until deadline (io_monotonic()). The descriptor, or -1. */
int service_pass_receive(int conn, int64_t deadline, struct service_peer *peer);

#endif
