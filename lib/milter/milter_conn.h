/* SPDX-License-Identifier: MIT */
/*
 * milter_conn - the connection to one milter: packets with time limits.
 *
 * The descriptor is non-blocking; every wait has a deadline. What fails is
 * said in error, in words for a log line; the connection is of no use then.
 */
#ifndef LIB_MILTER_MILTER_CONN_H
#define LIB_MILTER_MILTER_CONN_H

#include "lib/base/buf.h"
#include "lib/milter/milter_list.h"

struct milter_conn {
	int fd;        /* -1: none */
	struct buf in; /* bytes that were read, from the first packet on */
	size_t used;   /* of these, by the packet that was given out */
	struct buf error;
};

#define MILTER_CONN_INIT                  \
	{                                 \
		-1, BUF_INIT, 0, BUF_INIT \
	}

/* Within the spec's time limit. Host names are asked of the resolver. */
bool milter_conn_open(struct milter_conn *c, const struct milter_spec *spec);
void milter_conn_close(struct milter_conn *c);
/* Give memory back when nothing is waiting in it. */
void milter_conn_rest(struct milter_conn *c);
/* deadline: io_monotonic(). */
bool milter_conn_write(struct milter_conn *c, struct span data,
		       int64_t deadline);
/*
 * The next packet; data points into the connection until the next call. after
 * is the event that it answers, for the error text.
 */
bool milter_conn_read(struct milter_conn *c, char after, int64_t deadline,
		      char *type, struct span *data);

#endif
