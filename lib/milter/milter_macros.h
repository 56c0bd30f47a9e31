/* SPDX-License-Identifier: MIT */
/*
 * milter_macros - which macros are sent at which stage (milter_*_macros), and
 * what they are worth when the session does not know (milter_macro_defaults).
 */
#ifndef LIB_MILTER_MILTER_MACROS_H
#define LIB_MILTER_MILTER_MACROS_H

#include "lib/milter/milter.h"

/* Stage of the macros that go with an event; -1: none. */
int milter_macros_stage(char event);
/* Append a MILTER_MACROS packet for event. names: those that the milter chose,
 * or data NULL for those of main.cf. */
void milter_macros_put(struct buf *out, char event, struct span names,
		       milter_macro_fn macro, void *arg);

#endif
