/* SPDX-License-Identifier: MIT */
/*
 * htab - a hash table from byte strings to void pointers.
 *
 * Keys are copied, values belong to the caller. The hash is seeded per
 * process, so remote bytes cannot choose collisions.
 */
#ifndef LIB_BASE_HTAB_H
#define LIB_BASE_HTAB_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/span.h"

struct htab;

struct htab *htab_new(void);
/* free_value may be NULL. */
void htab_free(struct htab *h, void (*free_value)(void *));
size_t htab_count(const struct htab *h);
void *htab_get(const struct htab *h, struct span key);
/* Returns the value that was there before, or NULL. */
void *htab_put(struct htab *h, struct span key, void *value);
/* Returns the removed value, or NULL. */
void *htab_remove(struct htab *h, struct span key);
/*
 * Iterate: start with *pos = 0; false at the end. The table must not grow in
 * between; removing the entry just returned is allowed.
 */
bool htab_next(const struct htab *h, size_t *pos, struct span *key,
	       void **value);

#endif
