/* SPDX-License-Identifier: MIT */
/* postcat_show - one message as text, in the layout of Postfix's postcat. */
#ifndef QMGR_POSTCAT_SHOW_H
#define QMGR_POSTCAT_SHOW_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/queue/queue.h"

struct postcat {
	bool envelope, header, body;
	bool offsets; /* in front of each line: where it is in the file */
	bool types;   /* and the number of its record type */
	bool verbose;
};

/* name is how the file is called; state (enum rcpt_state per recipient) may
 * be NULL. A message that cannot be read to its end is fatal. */
void postcat_show(const struct postcat *p, const char *name,
		  const struct queue_place *place, const struct envelope *env,
		  const uint8_t *state);

#endif
