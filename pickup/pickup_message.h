/* SPDX-License-Identifier: MIT */
/* pickup_message - one file of maildrop: through cleanup, or to corrupt/. */
#ifndef PICKUP_PICKUP_MESSAGE_H
#define PICKUP_PICKUP_MESSAGE_H

#include <stdbool.h>

/*
 * name lies in maildrop/. true: done with it (taken, moved away, still being
 * written). false: the queue does not take mail now; try all again later.
 */
bool pickup_message(const char *name);

#endif
