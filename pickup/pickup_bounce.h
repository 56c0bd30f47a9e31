/* SPDX-License-Identifier: MIT */
/* pickup_bounce - tell the sender that a message cannot be taken: whoever
 * called sendmail(1) is gone. */
#ifndef PICKUP_PICKUP_BOUNCE_H
#define PICKUP_PICKUP_BOUNCE_H

#include <stdbool.h>

#include "lib/dsn/why.h"
#include "lib/queue/queue.h"

/* true: a notice is queued, or none is due. */
bool pickup_bounce(const char *id, const struct queue_place *place,
		   const struct envelope *env, const struct why *why);

#endif
