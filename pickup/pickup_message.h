/* SPDX-License-Identifier: MIT */
/* pickup_message - one file of maildrop: through cleanup, or to corrupt/. */
#ifndef PICKUP_PICKUP_MESSAGE_H
#define PICKUP_PICKUP_MESSAGE_H

enum pickup_result {
	PICKUP_DONE,    /* taken, moved away, or still being written */
	PICKUP_LATER,   /* try this one again; others may fare better */
	PICKUP_NO_ROOM, /* the queue does not take mail now */
};

/* name lies in maildrop/. */
enum pickup_result pickup_message(const char *name);
/* All that lay there at the start was looked at. */
void pickup_looked(void);

#endif
