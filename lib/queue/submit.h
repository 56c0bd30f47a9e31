/* SPDX-License-Identifier: MIT */
/*
 * submit - hand a message to postdrop(1), in the form that pickup/postdrop.h
 * describes. For programs that may not write to the queue themselves.
 *
 *	s = submit_begin(&why);
 *	submit_envelope(s, &env);
 *	submit_content(s, ..); ...
 *	if (!submit_end(s, &why)) ...
 *
 * The caller ignores SIGPIPE. Errors are remembered for submit_end().
 */
#ifndef LIB_QUEUE_SUBMIT_H
#define LIB_QUEUE_SUBMIT_H

#include <stdbool.h>

#include "lib/dsn/why.h"
#include "lib/queue/envelope.h"

struct submit;

/* Start $command_directory/postdrop. NULL: why. */
struct submit *submit_begin(struct why *why);
/* The message's name in maildrop; waits for postdrop. NULL: why. */
const char *submit_id(struct submit *s, struct why *why);
void submit_envelope(struct submit *s, const struct envelope *env);
/* LF line ends. */
void submit_content(struct submit *s, struct span piece);
/* true: on disk. s is gone either way. */
bool submit_end(struct submit *s, struct why *why);
/* Nothing gets queued. */
void submit_abort(struct submit *s);

#endif
