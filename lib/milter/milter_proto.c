/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_proto.h"

#include "lib/dsn/why.h"

/* ---- writing ---- */

void
milter_put_number(struct buf *out, uint32_t n)
{
	char bytes[4] = {(char)(n >> 24), (char)(n >> 16), (char)(n >> 8),
			 (char)n};

	buf_append(out, bytes, sizeof(bytes));
}

void
milter_put_string(struct buf *out, struct span s)
{
	if (s.len)
		buf_append(out, s.data, strnlen(s.data, s.len));
	buf_append_byte(out, '\0');
}

size_t
milter_packet_begin(struct buf *out, char type)
{
	size_t begun = out->len;

	milter_put_number(out, 0);
	buf_append_byte(out, type);
	return begun;
}

void
milter_packet_end(struct buf *out, size_t begun)
{
	uint32_t n = (uint32_t)(out->len - begun - 4);

	for (int i = 0; i < 4; i++)
		out->data[begun + (size_t)i] = (char)(n >> (24 - 8 * i));
}

/* ---- reading ---- */

static uint32_t
number(const char *p)
{
	const unsigned char *b = (const unsigned char *)p;

	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 |
	       (uint32_t)b[2] << 8 | (uint32_t)b[3];
}

static bool
take_number(struct span *data, uint32_t *n)
{
	if (data->len < 4)
		return false;
	*n = number(data->data);
	*data = span_from(*data, 4);
	return true;
}

static bool
take_string(struct span *data, struct span *s)
{
	const char *end =
	    data->len ? memchr(data->data, '\0', data->len) : NULL;

	if (!end)
		return false;
	*s = span_make(data->data, (size_t)(end - data->data));
	*data = span_from(*data, s->len + 1);
	return true;
}

bool
milter_parse_length(const unsigned char head[4], uint32_t *length)
{
	uint32_t n = number((const char *)head);

	*length = n;
	if (n < 1 || n > MILTER_PACKET_MAX)
		return false;
	*length = n - 1;
	return true;
}

bool
milter_parse_options(struct span data, struct milter_options *o)
{
	*o = (struct milter_options){0};
	if (!take_number(&data, &o->version) ||
	    !take_number(&data, &o->actions) ||
	    !take_number(&data, &o->protocol))
		return false;
	while (data.len) {
		uint32_t stage;
		struct span names;

		if (!take_number(&data, &stage) ||
		    !take_string(&data, &names) ||
		    names.len > MILTER_SYMBOLS_MAX)
			return false;
		if (stage < MILTER_STAGES) {
			o->symbols[stage] = names;
		} else {
			o->unknown_stages++;
			o->unknown_stage = stage;
		}
	}
	return true;
}

bool
milter_parse_reply(char type, struct span data, struct milter_reply *r)
{
	*r = (struct milter_reply){.type = type};
	switch (type) {
	case MILTER_INSERT_HEADER:
	case MILTER_CHANGE_HEADER:
		return take_number(&data, &r->index) &&
		       take_string(&data, &r->name) &&
		       take_string(&data, &r->value) && data.len == 0;
	case MILTER_ADD_HEADER:
		return take_string(&data, &r->name) &&
		       take_string(&data, &r->value) && data.len == 0;
	case MILTER_ADD_RCPT:
	case MILTER_DELETE_RCPT:
		return take_string(&data, &r->name) && data.len == 0;
	case MILTER_ADD_RCPT_ARGS:
	case MILTER_CHANGE_FROM:
		return take_string(&data, &r->name) &&
		       (data.len == 0 || take_string(&data, &r->value)) &&
		       data.len == 0;
	case MILTER_QUARANTINE:
	case MILTER_REPLY_CODE:
		return take_string(&data, &r->text) && data.len == 0;
	case MILTER_ACCEPT:
	case MILTER_CONTINUE:
	case MILTER_DISCARD:
	case MILTER_PROGRESS:
	case MILTER_REJECT:
	case MILTER_SHUTDOWN:
	case MILTER_SKIP:
	case MILTER_TEMPFAIL:
		return data.len == 0;
	default:
		r->text = data;
		return true;
	}
}

/* One line of a reply: the code, then nothing, or a space (hyphen) and text. */
static bool
good_line(struct span line, const char *code)
{
	struct span text;

	if (line.len < 3 || memcmp(line.data, code, 3) != 0 ||
	    (line.len > 3 && line.data[3] != ' ' && line.data[3] != '-'))
		return false;
	text = span_from(line, 4);
	if (dsn_code_length(text) && text.data[0] != code[0])
		return false;
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' && text.data[i] != '\t')
			return false;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
milter_parse_smtp(struct span text, struct buf *out)
{
	struct span rest;

	buf_reset(out);
	if (text.len < 3 || text.len > MILTER_REPLY_MAX ||
	    (text.data[0] != '4' && text.data[0] != '5') ||
	    !is_digit(text.data[1]) || !is_digit(text.data[2]))
		return false;
	for (size_t i = 0; i < text.len; i++) {
		buf_append_byte(out, text.data[i]);
		if (text.data[i] == '%' && i + 1 < text.len &&
		    text.data[i + 1] == '%')
			i++;
	}
	for (rest = buf_span(out); rest.len;) {
		long eol = span_find(rest, '\n');
		struct span line = rest;

		if (eol >= 0)
			line.len = (size_t)eol;
		rest = span_from(rest, eol >= 0 ? line.len + 1 : line.len);
		if (line.len && line.data[line.len - 1] == '\r')
			line.len--;
		if (!good_line(line, out->data))
			return false;
	}
	return true;
}

/* ---- names ---- */

struct name {
	char code;
	const char *name;
};

static const char *
find(const struct name *names, char code, const char *otherwise)
{
	for (; names->name; names++)
		if (names->code == code)
			return names->name;
	return otherwise;
}

const char *
milter_event_name(char event)
{
	static const struct name names[] = {
	    {MILTER_ABORT, "SMFIC_ABORT"},
	    {MILTER_BODY, "SMFIC_BODY"},
	    {MILTER_CONNECT, "SMFIC_CONNECT"},
	    {MILTER_MACROS, "SMFIC_MACRO"},
	    {MILTER_END, "SMFIC_BODYEOB"},
	    {MILTER_HELO, "SMFIC_HELO"},
	    {MILTER_HEADER, "SMFIC_HEADER"},
	    {MILTER_MAIL, "SMFIC_MAIL"},
	    {MILTER_END_HEADERS, "SMFIC_EOH"},
	    {MILTER_OPTIONS, "SMFIC_OPTNEG"},
	    {MILTER_QUIT, "SMFIC_QUIT"},
	    {MILTER_RCPT, "SMFIC_RCPT"},
	    {MILTER_DATA, "SMFIC_DATA"},
	    {MILTER_UNKNOWN, "SMFIC_UNKNOWN"},
	    {0, NULL},
	};

	return find(names, event, "(unknown MTA event)");
}

const char *
milter_answer_name(char answer)
{
	static const struct name names[] = {
	    {MILTER_ADD_RCPT, "SMFIR_ADDRCPT"},
	    {MILTER_DELETE_RCPT, "SMFIR_DELRCPT"},
	    {MILTER_ADD_RCPT_ARGS, "SMFIR_ADDRCPT_PAR"},
	    {MILTER_SHUTDOWN, "SMFIR_SHUTDOWN"},
	    {MILTER_ACCEPT, "SMFIR_ACCEPT"},
	    {MILTER_REPLACE_BODY, "SMFIR_REPLBODY"},
	    {MILTER_CONTINUE, "SMFIR_CONTINUE"},
	    {MILTER_DISCARD, "SMFIR_DISCARD"},
	    {MILTER_CHANGE_FROM, "SMFIR_CHGFROM"},
	    {MILTER_CONN_FAIL, "SMFIR_CONN_FAIL"},
	    {MILTER_ADD_HEADER, "SMFIR_ADDHEADER"},
	    {MILTER_INSERT_HEADER, "SMFIR_INSHEADER"},
	    {MILTER_CHANGE_HEADER, "SMFIR_CHGHEADER"},
	    {MILTER_PROGRESS, "SMFIR_PROGRESS"},
	    {MILTER_QUARANTINE, "SMFIR_QUARANTINE"},
	    {MILTER_REJECT, "SMFIR_REJECT"},
	    {MILTER_SKIP, "SMFIR_SKIP"},
	    {MILTER_TEMPFAIL, "SMFIR_TEMPFAIL"},
	    {MILTER_REPLY_CODE, "SMFIR_REPLYCODE"},
	    {0, NULL},
	};

	return find(names, answer, "(unknown filter reply)");
}
