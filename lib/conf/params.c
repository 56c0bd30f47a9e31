/* SPDX-License-Identifier: MIT */
#include "lib/conf/params.h"

#include <string.h>

/* strcmp() of a span and a C string. */
static int
compare(struct span a, const char *b)
{
	size_t len = strlen(b);
	int r = memcmp(a.data, b, a.len < len ? a.len : len);

	if (r)
		return r;
	return a.len < len ? -1 : a.len > len;
}

int
conf_param_find(struct span name)
{
	int low = 0;
	int high = CONF_PARAM_COUNT - 1;

	if (name.len == 0)
		return -1;
	while (low <= high) {
		int middle = (low + high) / 2;
		int r = compare(name, conf_params[middle].name);

		if (r == 0)
			return middle;
		if (r < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	return -1;
}

bool
conf_param_is_listed(const struct conf_param *p)
{
	switch ((enum conf_kind)p->kind) {
	case CONF_KIND_BUILTIN:
	case CONF_KIND_READONLY:
		return true;
	case CONF_KIND_NEWER:
		return p->status == CONF_STATUS_HERE;
	case CONF_KIND_SERVICE:
	case CONF_KIND_LEGACY:
		break;
	}
	return false;
}
