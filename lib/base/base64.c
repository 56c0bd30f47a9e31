/* SPDX-License-Identifier: MIT */
#include "lib/base/base64.h"

#include <stdint.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct span in, struct buf *out)
{
	const unsigned char *u = (const unsigned char *)in.data;

	for (size_t i = 0; i < in.len; i += 3) {
		size_t left = in.len - i;
		uint32_t v = (uint32_t)u[i] << 16;

		if (left > 1)
			v |= (uint32_t)u[i + 1] << 8;
		if (left > 2)
			v |= u[i + 2];
		buf_append_byte(out, alphabet[v >> 18]);
		buf_append_byte(out, alphabet[v >> 12 & 63]);
		buf_append_byte(out, left > 1 ? alphabet[v >> 6 & 63] : '=');
		buf_append_byte(out, left > 2 ? alphabet[v & 63] : '=');
	}
}

static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool
base64_decode(struct span in, struct buf *out)
{
	size_t before = out->len, pad = 0;

	if (in.len % 4 != 0)
		return false;
	while (pad < 2 && pad < in.len && in.data[in.len - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < in.len; i += 4) {
		size_t n = i + 4 == in.len ? 4 - pad : 4;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < n ? value_of(in.data[i + k]) : 0;

			if (d < 0) {
				buf_truncate(out, before);
				return false;
			}
			v = v << 6 | (uint32_t)d;
		}
		buf_append_byte(out, (char)(v >> 16));
		if (n > 2)
			buf_append_byte(out, (char)(v >> 8));
		if (n > 3)
			buf_append_byte(out, (char)v);
	}
	return true;
}
