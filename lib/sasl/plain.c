/* SPDX-License-Identifier: MIT */
#include "lib/sasl/plain.h"

bool
plain_valid_text(struct span text, size_t max)
{
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 127)
			return false;
	return text.len > 0 && text.len <= max;
}

/* What stands in front of the next NUL. */
static bool
cut(struct span *rest, struct span *part)
{
	long nul = span_find(*rest, '\0');

	if (nul < 0)
		return false;
	*part = span_make(rest->data, (size_t)nul);
	*rest = span_from(*rest, (size_t)nul + 1);
	return true;
}

bool
plain_parse(struct span data, struct span *user, struct span *password)
{
	struct span authz, name;

	*user = *password = span_make(NULL, 0);
	if (!cut(&data, &authz) || !cut(&data, &name) ||
	    !plain_valid_text(name, PLAIN_USER_MAX))
		return false;
	*user = name;
	if (authz.len && !span_equal(authz, name))
		return false;
	*password = data;
	return plain_valid_text(data, PLAIN_PASSWORD_MAX);
}
