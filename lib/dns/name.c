/* SPDX-License-Identifier: MIT */
#include "lib/dns/name.h"

#include <idn2.h>

#include "lib/base/utf8.h"

enum {
	NAME_MAX_LEN = 253,
	LABEL_MAX_LEN = 63,
	UTF8_NAME_MAX = 1024, /* four bytes per character and some */
};

static bool
ascii_ok(struct span name)
{
	size_t label = 0;

	if (name.len == 0 || name.len > NAME_MAX_LEN)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];

		if (c <= ' ' || c >= 0x7f || c == '\\')
			return false;
		if (c != '.') {
			if (++label > LABEL_MAX_LEN)
				return false;
			continue;
		}
		if (label == 0)
			return false;
		label = 0;
	}
	return label > 0;
}

static bool
idn_to_ascii(struct span name, struct buf *out)
{
	struct buf copy = BUF_INIT;
	char *ascii = NULL;
	bool ok;

	if (name.len > UTF8_NAME_MAX || memchr(name.data, '\0', name.len) ||
	    !utf8_valid(name.data, name.len))
		return false;
	buf_set(&copy, name);
	ok = idn2_to_ascii_8z(buf_cstr(&copy), &ascii,
			      IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
		 IDN2_OK &&
	     ascii_ok(span_of(ascii));
	if (ok)
		buf_append_cstr(out, ascii);
	idn2_free(ascii);
	buf_free(&copy);
	return ok;
}

bool
dns_name_to_ascii(struct span name, struct buf *out)
{
	if (name.len && name.data[name.len - 1] == '.')
		name.len--;
	if (!utf8_is_ascii(name.data, name.len))
		return idn_to_ascii(name, out);
	if (!ascii_ok(name))
		return false;
	buf_append_span(out, name);
	return true;
}
