/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_macros.h"

#include "lib/conf/conf.h"

#define SEPARATORS " \t\r\n,"

int
milter_macros_stage(char event)
{
	switch (event) {
	case MILTER_CONNECT:
		return MACROS_CONNECT;
	case MILTER_HELO:
		return MACROS_HELO;
	case MILTER_MAIL:
		return MACROS_MAIL;
	case MILTER_RCPT:
		return MACROS_RCPT;
	case MILTER_DATA:
		return MACROS_DATA;
	case MILTER_HEADER:
	case MILTER_END_HEADERS:
		return MACROS_END_HEADERS;
	case MILTER_BODY:
	case MILTER_END:
		return MACROS_END;
	default:
		return -1;
	}
}

static const char *
configured(char event)
{
	switch (milter_macros_stage(event)) {
	case MACROS_CONNECT:
		return conf->milter_connect_macros;
	case MACROS_HELO:
		return conf->milter_helo_macros;
	case MACROS_MAIL:
		return conf->milter_mail_macros;
	case MACROS_RCPT:
		return conf->milter_rcpt_macros;
	case MACROS_DATA:
		return conf->milter_data_macros;
	case MACROS_END_HEADERS:
		return conf->milter_end_of_header_macros;
	case MACROS_END:
		return conf->milter_end_of_data_macros;
	default:
		return conf->milter_unknown_command_macros;
	}
}

static struct span
without_braces(struct span name)
{
	if (name.len > 2 && name.data[0] == '{' &&
	    name.data[name.len - 1] == '}')
		return span_trim(span_make(name.data + 1, name.len - 2));
	return name;
}

/* The next "name=value" or "{ name = value }" of milter_macro_defaults. */
static bool
next_default(struct span *rest, struct span *name, struct span *value)
{
	struct span pair;
	long at;
	size_t depth = 0, n = 0;

	while (rest->len && strchr(SEPARATORS, rest->data[0]))
		*rest = span_from(*rest, 1);
	for (; n < rest->len; n++) {
		if (rest->data[n] == '{')
			depth++;
		else if (rest->data[n] == '}' && depth)
			depth--;
		else if (!depth && strchr(SEPARATORS, rest->data[n]))
			break;
	}
	if (n == 0)
		return false;
	pair = span_make(rest->data, n);
	*rest = span_from(*rest, n);
	if (pair.data[0] == '{' && pair.data[n - 1] == '}')
		pair = span_trim(span_make(pair.data + 1, n - 2));
	at = span_find(pair, '=');
	*name = at < 0 ? pair : span_make(pair.data, (size_t)at);
	*name = without_braces(span_trim(*name));
	*value = span_trim(at < 0 ? span_from(pair, n)
				  : span_from(pair, (size_t)at + 1));
	return true;
}

static bool
find_default(struct span wanted, struct span *value)
{
	struct span rest = span_of(conf->milter_macro_defaults), name;

	while (next_default(&rest, &name, value))
		if (span_equal(name, wanted))
			return true;
	return false;
}

static void
put_one(struct buf *out, struct span name, struct span value)
{
	if (name.len > 1)
		buf_append_byte(out, '{');
	buf_append_span(out, name);
	if (name.len > 1)
		buf_append_byte(out, '}');
	buf_append_byte(out, '\0');
	milter_put_string(out, value);
}

void
milter_macros_put(struct buf *out, char event, struct span names,
		  milter_macro_fn macro, void *arg)
{
	size_t begun = milter_packet_begin(out, MILTER_MACROS);
	struct span name,
	    rest = names.data ? names : span_of(configured(event));

	buf_append_byte(out, event);
	while (span_next_token(&rest, SEPARATORS, &name)) {
		const char *known;
		struct span value;

		name = without_braces(name);
		known = macro(arg, name);
		if (known)
			put_one(out, name, span_of(known));
		else if (find_default(name, &value))
			put_one(out, name, value);
	}
	milter_packet_end(out, begun);
}
