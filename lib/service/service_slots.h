/* SPDX-License-Identifier: MIT */
/*
 * service_slots - the memory that a sessions parent shares with its workers:
 * one slot per worker, with nothing in it that the parent must trust.
 *
 * Whether somebody is idle is found by looking at the slots, not by a counter:
 * a worker may be killed at any moment.
 */
#ifndef LIB_SERVICE_SERVICE_SLOTS_H
#define LIB_SERVICE_SERVICE_SLOTS_H

#include <stdatomic.h>
#include <stdbool.h>

enum { SLOTS_MAX = 4096 }; /* workers of a service without process limit */

enum slot_state {
	SLOT_FREE,
	SLOT_IDLE,
	SLOT_BUSY,
};

struct slot {
	_Atomic int state;
	_Atomic int served; /* clients, at most max_use */
};

struct slots {
	_Atomic bool restart; /* a worker saw a changed table */
	_Atomic bool drain;   /* workers shall end */
	_Atomic int used;     /* slots beyond were never taken */
	int n;
	struct slot slot[];
};

/* Shared by all processes forked afterwards; n slots. */
struct slots *slots_new(int n);
/* How many a service with this process limit (0: none) needs. */
int slots_for_limit(int limit);
/* Parent: a free slot becomes idle; its index, or -1: all are taken. */
int slots_take(struct slots *s);
/* Parent: its worker is gone. */
void slots_give_back(struct slots *s, int i);
bool slots_any_idle(const struct slots *s);

#endif
