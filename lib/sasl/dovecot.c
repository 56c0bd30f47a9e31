/* SPDX-License-Identifier: MIT */
#include "lib/sasl/dovecot.h"

#include "lib/base/num.h"
#include "lib/sasl/authn.h"

enum { MECH_NAME_MAX = 20 };

static const struct {
	const char *word;
	enum dovecot_command command;
	int args; /* at least that many fields follow */
} commands[] = {
    {"VERSION", DOVECOT_VERSION, 2}, {"MECH", DOVECOT_MECH, 1},
    {"SPID", DOVECOT_SPID, 0},       {"CUID", DOVECOT_CUID, 0},
    {"COOKIE", DOVECOT_COOKIE, 0},   {"DONE", DOVECOT_DONE, 0},
    {"OK", DOVECOT_OK, 1},           {"FAIL", DOVECOT_FAIL, 1},
    {"CONT", DOVECOT_CONT, 1},       {"CPID", DOVECOT_CPID, 1},
    {"AUTH", DOVECOT_AUTH, 2},       {"CANCEL", DOVECOT_CANCEL, 1},
};

static const struct {
	const char *word;
	unsigned flag;
} mech_flags[] = {
    {"plaintext", MECH_PLAINTEXT},
    {"active", MECH_ACTIVE},
    {"dictionary", MECH_DICTIONARY},
    {"anonymous", MECH_ANONYMOUS},
    {"private", MECH_PRIVATE},
    {"forward-secrecy", MECH_FORWARD_SECRECY},
    {"mutual-auth", MECH_MUTUAL_AUTH},
};

/* The next field, which may be empty. false: there is none. */
static bool
next_field(struct span *rest, struct span *field)
{
	long tab;

	if (!rest->data)
		return false;
	tab = span_find(*rest, '\t');
	if (tab < 0) {
		*field = *rest;
		*rest = span_make(NULL, 0);
	} else {
		*field = span_make(rest->data, (size_t)tab);
		*rest = span_from(*rest, (size_t)tab + 1);
	}
	return true;
}

static bool
parse_u32(struct span text, uint32_t *out)
{
	int64_t n;

	if (!num_parse(text, 0, UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

static void
mech_flag(struct span field, struct dovecot_msg *m)
{
	for (size_t i = 0; i < sizeof(mech_flags) / sizeof(mech_flags[0]); i++)
		if (span_equal_cstr(field, mech_flags[i].word))
			m->flags |= mech_flags[i].flag;
}

static bool
is_param(struct span field, const char *name, struct span *value)
{
	size_t len = strlen(name);

	if (field.len <= len || memcmp(field.data, name, len) ||
	    field.data[len] != '=')
		return false;
	*value = span_from(field, len + 1);
	return true;
}

static void
param(struct span field, struct dovecot_msg *m)
{
	if (m->command == DOVECOT_MECH) {
		mech_flag(field, m);
	} else if (m->command == DOVECOT_AUTH) {
		if (!is_param(field, "resp", &m->data))
			is_param(field, "rip", &m->rip);
	} else if (span_equal_cstr(field, "temp") ||
		   span_equal_cstr(field, "code=temp_fail")) {
		m->temporary = true;
	} else if (!is_param(field, "user", &m->user)) {
		is_param(field, "reason", &m->reason);
	}
}

static bool
parse_rest(struct span rest, struct dovecot_msg *m)
{
	struct span field;
	int n = 0;

	while (next_field(&rest, &field)) {
		if (++n > DOVECOT_FIELDS_MAX)
			return false;
		param(field, m);
	}
	return true;
}

static bool
parse_fields(struct span rest, struct dovecot_msg *m)
{
	struct span field = {NULL, 0};

	if (m->command == DOVECOT_MECH)
		return next_field(&rest, &m->mech) && m->mech.len &&
		       parse_rest(rest, m);
	next_field(&rest, &field);
	if (m->command == DOVECOT_VERSION)
		return parse_u32(field, &m->major);
	if (!parse_u32(field, &m->id))
		return false;
	if (m->command == DOVECOT_CONT) {
		next_field(&rest, &m->data);
		return true;
	}
	if (m->command == DOVECOT_AUTH && !next_field(&rest, &m->mech))
		return false;
	return parse_rest(rest, m);
}

bool
dovecot_parse(struct span line, struct dovecot_msg *out)
{
	struct span word = {NULL, 0}, rest = line;

	*out = (struct dovecot_msg){.command = DOVECOT_OTHER};
	if (line.len > DOVECOT_LINE_MAX || memchr(line.data, 0, line.len))
		return false;
	next_field(&rest, &word);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!span_equal_cstr(word, commands[i].word))
			continue;
		out->command = commands[i].command;
		return commands[i].args == 0 || parse_fields(rest, out);
	}
	return true;
}

bool
dovecot_valid_mech(struct span mech)
{
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz0123456789-_";

	for (size_t i = 0; i < mech.len; i++)
		if (!memchr(ok, mech.data[i], sizeof(ok) - 1))
			return false;
	return mech.len > 0 && mech.len <= MECH_NAME_MAX;
}

bool
dovecot_valid_base64(struct span text)
{
	static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "abcdefghijklmnopqrstuvwxyz0123456789+/=";

	for (size_t i = 0; i < text.len; i++)
		if (!memchr(ok, text.data[i], sizeof(ok) - 1))
			return false;
	return true;
}

void
dovecot_put_hello(struct buf *out, uint32_t pid)
{
	buf_printf(out, "VERSION\t%d\t%d\nCPID\t%u\n", DOVECOT_MAJOR,
		   DOVECOT_MINOR, (unsigned)pid);
}

void
dovecot_put_auth(struct buf *out, uint32_t id, const struct dovecot_request *r)
{
	buf_printf(out, "AUTH\t%u\t%.*s\tservice=%s\tnologin\tlip=%s\trip=%s",
		   (unsigned)id, SPAN_ARG(r->mech), r->service, r->server_addr,
		   r->addr);
	if (r->secured)
		buf_append_cstr(out, "\tsecured");
	if (r->response.data) {
		buf_append_cstr(out, "\tresp=");
		buf_append_span(out, r->response);
	}
	buf_append_byte(out, '\n');
}

void
dovecot_put_cont(struct buf *out, uint32_t id, struct span data)
{
	buf_printf(out, "CONT\t%u\t", (unsigned)id);
	buf_append_span(out, data);
	buf_append_byte(out, '\n');
}
