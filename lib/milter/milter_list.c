/* SPDX-License-Identifier: MIT */
#include "lib/milter/milter_list.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/sys/sock.h"

#define SEPARATORS " \t\r\n,"

void
milter_list_free(struct milter_list *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].path);
		free(l->v[i].host);
	}
	free(l->v);
	*l = (struct milter_list){NULL, 0};
}

static bool
wrong(struct buf *error, const char *what, struct span text)
{
	buf_printf(error, "%s: \"%.*s\"", what, SPAN_ARG(text));
	return false;
}

/* "host:port", "[host]:port" */
static bool
parse_inet(struct milter_spec *m, struct span where, struct buf *error)
{
	long colon = span_rfind(where, ':');
	struct span host;
	char *port;
	bool ok;

	if (colon <= 0)
		return wrong(error, "milter endpoint needs host:port", where);
	host = span_make(where.data, (size_t)colon);
	if (host.data[0] == '[' && host.data[host.len - 1] == ']')
		host = span_make(host.data + 1, host.len - 2);
	port =
	    mem_strndup(where.data + colon + 1, where.len - (size_t)colon - 1);
	ok = host.len && sock_port(port, conf->known_tcp_ports, &m->port);
	free(port);
	m->host = mem_strndup(host.data, host.len);
	return ok || wrong(error, "bad milter endpoint", where);
}

static bool
parse_endpoint(struct milter_spec *m, struct span text, struct buf *error)
{
	long colon = span_find(text, ':');
	struct span where = span_from(text, (size_t)(colon + 1));

	m->name = mem_strndup(text.data, text.len);
	if (span_starts_nocase(text, "inet:"))
		return parse_inet(m, where, error);
	if ((span_starts_nocase(text, "unix:") ||
	     span_starts_nocase(text, "local:")) &&
	    where.len) {
		m->path = mem_strndup(where.data, where.len);
		return true;
	}
	return wrong(error, "milter endpoint is not inet: or unix:", text);
}

static bool
parse_action(struct milter_spec *m, struct span value, struct buf *error)
{
	static const struct {
		const char *name;
		enum milter_default action;
	} names[] = {
	    {"accept", MILTER_DEFAULT_ACCEPT},
	    {"reject", MILTER_DEFAULT_REJECT},
	    {"tempfail", MILTER_DEFAULT_TEMPFAIL},
	    {"quarantine", MILTER_DEFAULT_QUARANTINE},
	    {"shutdown", MILTER_DEFAULT_SHUTDOWN},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (span_equal_cstr_nocase(value, names[i].name)) {
			m->action = names[i].action;
			return true;
		}
	return wrong(error,
		     "milter default action is not accept, reject, "
		     "tempfail, quarantine or shutdown",
		     value);
}

/* "6", "6 no_header_reply" */
static bool
parse_protocol(struct milter_spec *m, struct span value, struct buf *error)
{
	struct span rest = value, word;

	m->version = 0;
	m->no_header_reply = false;
	while (span_next_token(&rest, SEPARATORS, &word)) {
		if (word.len == 1 && strchr("2346", word.data[0]))
			m->version = word.data[0] - '0';
		else if (span_equal_cstr_nocase(word, "no_header_reply"))
			m->no_header_reply = true;
		else
			return wrong(error, "bad milter protocol", value);
	}
	return m->version || wrong(error, "no milter protocol version", value);
}

static bool
parse_time(int64_t *to, struct span value, struct buf *error)
{
	char *text = mem_strndup(value.data, value.len);
	bool ok = conf_parse_time(text, 's', to) && *to > 0;

	free(text);
	return ok || wrong(error, "bad milter time limit", value);
}

static bool
parse_setting(struct milter_spec *m, struct span text, struct buf *error)
{
	struct span name, value;
	long at;

	if (text.len > 1 && text.data[0] == '{')
		text = span_trim(span_make(text.data + 1, text.len - 2));
	at = span_find(text, '=');
	if (at < 0)
		return wrong(error, "milter setting without \"=\"", text);
	name = span_trim(span_make(text.data, (size_t)at));
	value = span_trim(span_from(text, (size_t)at + 1));
	if (span_equal_cstr(name, "connect_timeout"))
		return parse_time(&m->connect_timeout, value, error);
	if (span_equal_cstr(name, "command_timeout"))
		return parse_time(&m->command_timeout, value, error);
	if (span_equal_cstr(name, "content_timeout"))
		return parse_time(&m->content_timeout, value, error);
	if (span_equal_cstr(name, "default_action"))
		return parse_action(m, value, error);
	if (span_equal_cstr(name, "protocol"))
		return parse_protocol(m, value, error);
	return wrong(error, "unknown milter setting", text);
}

static bool
parse_one(struct milter_spec *m, struct span text, struct buf *error)
{
	struct strvec words = STRVEC_INIT;
	bool ok;

	if (text.data[0] != '{')
		return parse_endpoint(m, text, error);
	if (text.data[text.len - 1] != '}')
		return wrong(error, "milter without closing brace", text);
	strvec_split(&words, span_make(text.data + 1, text.len - 2), SEPARATORS,
		     true);
	ok = words.n ? parse_endpoint(m, span_of(words.v[0]), error)
		     : wrong(error, "empty milter", text);
	for (size_t i = 1; i < words.n && ok; i++)
		ok = parse_setting(m, span_of(words.v[i]), error);
	strvec_free(&words);
	return ok;
}

bool
milter_list_parse(struct milter_list *l, struct span value, struct buf *error)
{
	struct strvec words = STRVEC_INIT;
	bool ok = true;

	*l = (struct milter_list){NULL, 0};
	strvec_split(&words, value, SEPARATORS, true);
	if (words.n > MILTERS_MAX)
		ok = wrong(error, "too many milters", span_of(words.v[0]));
	else if (words.n)
		l->v = mem_calloc(words.n, sizeof(*l->v));
	for (size_t i = 0; i < words.n && ok; i++) {
		struct milter_spec *m = &l->v[l->n++];

		m->connect_timeout = conf->milter_connect_timeout;
		m->command_timeout = conf->milter_command_timeout;
		m->content_timeout = conf->milter_content_timeout;
		ok = parse_action(m, span_of(conf->milter_default_action),
				  error) &&
		     parse_protocol(m, span_of(conf->milter_protocol), error) &&
		     parse_one(m, span_of(words.v[i]), error);
	}
	strvec_free(&words);
	if (!ok)
		milter_list_free(l);
	return ok;
}
