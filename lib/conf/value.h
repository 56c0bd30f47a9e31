/* SPDX-License-Identifier: MIT */
/* value - the text of a parameter as a value of its type. */
#ifndef LIB_CONF_VALUE_H
#define LIB_CONF_VALUE_H

#include "lib/base/buf.h"
#include "lib/conf/params.h"

union conf_value {
	bool b;
	int64_t n; /* int, size; time in microseconds */
};

/*
 * Parse text (expanded) as p's type (bool, int, time or size) and check its
 * bounds. false: expected is set to what would have been right.
 */
bool conf_value_parse(const struct conf_param *p, const char *text,
		      union conf_value *out, struct buf *expected);

/* Seconds of one unit of smhdw (either case), or 0. */
int64_t conf_time_unit(char unit);

#endif
