/* SPDX-License-Identifier: MIT */
#include "lib/conf/value.h"

#include <limits.h>
#include <strings.h>

#include "lib/base/num.h"
#include "lib/conf/conf.h"

int64_t
conf_time_unit(char unit)
{
	switch (unit) {
	case 's':
	case 'S':
		return 1;
	case 'm':
	case 'M':
		return 60;
	case 'h':
	case 'H':
		return 3600;
	case 'd':
	case 'D':
		return 86400;
	case 'w':
	case 'W':
		return 604800;
	default:
		return 0;
	}
}

bool
conf_parse_bool(const char *text, bool *out)
{
	if (!strcasecmp(text, "yes"))
		*out = true;
	else if (!strcasecmp(text, "no"))
		*out = false;
	else
		return false;
	return true;
}

bool
conf_parse_time(const char *text, char dflt_unit, int64_t *usec)
{
	struct span s = span_of(text);
	int64_t unit;
	int64_t n;

	/* "5mh" is what ${postscreen_dnsbl_ttl}h makes of "5m". */
	if (s.len > 2 && conf_time_unit(s.data[s.len - 1]) &&
	    conf_time_unit(s.data[s.len - 2]))
		s.len--;
	if (s.len && conf_time_unit(s.data[s.len - 1])) {
		unit = conf_time_unit(s.data[s.len - 1]);
		s.len--;
	} else {
		unit = conf_time_unit(dflt_unit);
	}
	if (!num_parse(s, 0, INT_MAX, &n) ||
	    __builtin_mul_overflow(n, unit, &n) || n > INT_MAX)
		return false;
	*usec = n * 1000000;
	return true;
}

static bool
parse_number(const struct conf_param *p, const char *text, int64_t *out,
	     struct buf *expected)
{
	int64_t n;
	bool time = p->type == CONF_TIME;

	if (time) {
		if (!conf_parse_time(text, p->unit, &n)) {
			buf_append_cstr(expected,
					"a time: a number and one of s, m, "
					"h, d, w");
			return false;
		}
	} else if (!num_parse(span_of(text), INT64_MIN, INT64_MAX, &n)) {
		buf_append_cstr(expected, "a number");
		return false;
	}
	*out = n;
	if (time)
		n /= 1000000;
	if (n < p->min) {
		buf_printf(expected, "at least %lld%s", (long long)p->min,
			   time ? "s" : "");
		return false;
	}
	if (n > p->max) {
		buf_printf(expected, "at most %lld%s", (long long)p->max,
			   time ? "s" : "");
		return false;
	}
	return true;
}

bool
conf_value_parse(const struct conf_param *p, const char *text,
		 union conf_value *out, struct buf *expected)
{
	if (p->type != CONF_BOOL)
		return parse_number(p, text, &out->n, expected);
	if (conf_parse_bool(text, &out->b))
		return true;
	buf_append_cstr(expected, "yes or no");
	return false;
}
