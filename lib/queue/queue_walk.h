/* SPDX-License-Identifier: MIT */
/*
 * queue_walk - the files of a queue directory and its hash directories
 * (whose names are one character), some at a time.
 *
 * What is renamed, added or removed meanwhile may or may not be met.
 */
#ifndef LIB_QUEUE_QUEUE_WALK_H
#define LIB_QUEUE_QUEUE_WALK_H

#include <stdbool.h>
#include <sys/stat.h>

struct queue_walk;

/* Nothing is opened yet. */
struct queue_walk *queue_walk_new(const char *queue_name);
void queue_walk_free(struct queue_walk *w);
/*
 * The next file: its name, its path, both valid until the next call, and when
 * st is not NULL its status. false at the end, or with errno not 0 when the
 * queue's own directory cannot be read; the walk is at its start again.
 */
bool queue_walk_next(struct queue_walk *w, const char **name, const char **path,
		     struct stat *st);

#endif
