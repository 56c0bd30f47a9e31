/* SPDX-License-Identifier: MIT */
#include "lib/smtp/policy.h"

void
policy_put(struct buf *out, const char *name, struct span value)
{
	size_t at;

	buf_append_cstr(out, name);
	buf_append_byte(out, '=');
	at = out->len;
	buf_append_span(out, value);
	for (; at < out->len; at++)
		if (out->data[at] == '\n' || out->data[at] == '\0')
			out->data[at] = '?';
	buf_append_byte(out, '\n');
}

void
policy_put_num(struct buf *out, const char *name, int64_t value)
{
	buf_printf(out, "%s=%lld\n", name, (long long)value);
}

void
policy_put_end(struct buf *out)
{
	buf_append_byte(out, '\n');
}

enum policy_status
policy_parse(struct span data, struct span *action, size_t *used)
{
	struct span rest = data;
	bool found = false, bare = false;
	long end;

	while ((end = span_find(rest, '\n')) > 0) {
		struct span line = span_make(rest.data, (size_t)end);
		long eq = span_find(line, '=');

		if (!found && eq == 6 && !memcmp(line.data, "action", 6)) {
			*action = span_from(line, 7);
			found = true;
		}
		bare = bare || span_equal_cstr(line, "action");
		rest = span_from(rest, (size_t)end + 1);
	}
	if (end < 0)
		return data.len < POLICY_REPLY_MAX ? POLICY_MORE
						   : POLICY_NO_ACTION;
	*used = data.len - rest.len + 1;
	return found ? POLICY_DONE : bare ? POLICY_NO_VALUE : POLICY_NO_ACTION;
}

const char *
policy_part(struct span data)
{
	long line = span_rfind(data, '\n');
	struct span last = span_from(data, (size_t)(line + 1));

	if (data.len == 0)
		return NULL;
	return span_find(last, '=') >= 0 ? "value" : "name";
}
