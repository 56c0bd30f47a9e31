/* SPDX-License-Identifier: MIT */
#include "lib/smtp/cmd.h"

#include <ctype.h>

#include "lib/ipc/proto.h"

void
cmd_split(struct span line, struct span *verb, struct span *arg)
{
	size_t n = 0;

	line = span_trim(line);
	while (n < line.len && line.data[n] != ' ' && line.data[n] != '\t')
		n++;
	*verb = span_make(line.data, n);
	*arg = span_trim(span_from(line, n));
}

bool
cmd_next_param(struct span *rest, struct span *key, struct span *value)
{
	struct span token;
	long eq;

	if (!span_next_token(rest, " \t", &token))
		return false;
	eq = span_find(token, '=');
	if (eq < 0) {
		*key = token;
		*value = span_make(NULL, 0);
	} else {
		*key = span_make(token.data, (size_t)eq);
		*value =
		    span_make(token.data + eq + 1, token.len - (size_t)eq - 1);
	}
	return true;
}

int
cmd_parse_notify(struct span value)
{
	static const struct {
		const char *word;
		int flag;
	} words[] = {
	    {"NEVER", NOTIFY_NEVER},
	    {"SUCCESS", NOTIFY_SUCCESS},
	    {"FAILURE", NOTIFY_FAILURE},
	    {"DELAY", NOTIFY_DELAY},
	};
	struct span word;
	int flags = 0;

	while (span_next_token(&value, ", \t", &word)) {
		int flag = 0;

		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (span_equal_cstr_nocase(word, words[i].word))
				flag = words[i].flag;
		if (!flag)
			return 0;
		flags |= flag;
	}
	if ((flags & NOTIFY_NEVER) && flags != NOTIFY_NEVER)
		return 0;
	return flags;
}

int
cmd_parse_ret(struct span value)
{
	if (span_equal_cstr_nocase(value, "FULL"))
		return RET_FULL;
	if (span_equal_cstr_nocase(value, "HDRS"))
		return RET_HDRS;
	return RET_NONE;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
xtext_decode(struct span in, struct buf *out)
{
	size_t start = out->len;

	for (size_t i = 0; i < in.len; i++) {
		int hi, lo;

		if (in.data[i] != '+') {
			buf_append_byte(out, in.data[i]);
			continue;
		}
		hi = i + 2 < in.len ? hex_digit(in.data[i + 1]) : -1;
		lo = i + 2 < in.len ? hex_digit(in.data[i + 2]) : -1;
		if (hi < 0 || lo < 0) {
			buf_truncate(out, start);
			return false;
		}
		buf_append_byte(out, (char)(hi * 16 + lo));
		i += 2;
	}
	return true;
}

/* What an address or identifier may hold once decoded: it is logged, stored
 * and sent on. */
static bool
printable(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.data[i] < ' ' || s.data[i] == 127)
			return false;
	return true;
}

bool
xtext_decode_text(struct span in, struct buf *out)
{
	size_t start = out->len;

	if (xtext_decode(in, out) && printable(span_from(buf_span(out), start)))
		return true;
	buf_truncate(out, start);
	return false;
}

void
xtext_encode(struct span in, struct buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		unsigned char c = (unsigned char)in.data[i];

		if (c == '+' || c == '=' || c <= ' ' || c >= 127)
			buf_printf(out, "+%02X", c);
		else
			buf_append_byte(out, (char)c);
	}
}

bool
cmd_orcpt_is_valid(struct span orcpt)
{
	long semi = span_find(orcpt, ';');

	if (semi <= 0 || (size_t)semi + 1 == orcpt.len)
		return false;
	for (long i = 0; i < semi; i++)
		if (!isalnum((unsigned char)orcpt.data[i]) &&
		    orcpt.data[i] != '-')
			return false;
	return printable(orcpt);
}

bool
cmd_parse_orcpt(struct span value, struct buf *out)
{
	long semi = span_find(value, ';');
	size_t start = out->len;

	if (semi <= 0)
		return false;
	buf_append(out, value.data, (size_t)semi + 1);
	if (xtext_decode(span_from(value, (size_t)semi + 1), out) &&
	    cmd_orcpt_is_valid(span_from(buf_span(out), start)))
		return true;
	buf_truncate(out, start);
	return false;
}
