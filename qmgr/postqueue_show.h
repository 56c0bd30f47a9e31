/* SPDX-License-Identifier: MIT */
/* postqueue_show - one message of a queue listing, as mailq or as JSON. */
#ifndef QMGR_POSTQUEUE_SHOW_H
#define QMGR_POSTQUEUE_SHOW_H

#include <stdbool.h>

#include "lib/queue/showq_proto.h"

enum show_form {
	SHOW_TEXT,
	SHOW_JSON,
};

struct show {
	enum show_form form;
	bool wide; /* enable_long_queue_ids */
	int64_t bytes;
	long messages;
};

void show_message(struct show *s, const struct showq_message *m);
/* The last lines. */
void show_end(struct show *s);

#endif
