/* SPDX-License-Identifier: MIT */
/* num - checked numbers from text. */
#ifndef LIB_BASE_NUM_H
#define LIB_BASE_NUM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

/* All of s, decimal digits with an optional '-'; false when it does not fit
 * min..max or is not a number (then *out is untouched). */
bool num_parse(struct span s, int64_t min, int64_t max, int64_t *out);
/* The same in base 8 or 16 without a sign. */
bool num_parse_base(struct span s, int base, uint64_t max, uint64_t *out);

#endif
