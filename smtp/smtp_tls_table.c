/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_table.h"

#include "lib/addr/addr.h"
#include "lib/base/log.h"

static const char separators[] = ", \t\r\n";

enum attribute {
	A_PROTOCOLS,
	A_CIPHERS,
	A_EXCLUDE,
	A_SERVERNAME,
	A_MATCH,
	A_TAFILE,
	A_REUSE,
	A_N,
};

static const char *const names[A_N] = {
    "protocols", "ciphers", "exclude",          "servername",
    "match",     "tafile",  "connection_reuse",
};

static int
find_attribute(struct span name)
{
	for (int i = 0; i < A_N; i++)
		if (span_equal_cstr_nocase(name, names[i]))
			return i;
	return -1;
}

static bool
allowed(int attribute, enum tls_client_level level)
{
	bool by_name = level == TLS_CLIENT_VERIFY || level == TLS_CLIENT_SECURE;

	if (attribute == A_MATCH)
		return by_name || level == TLS_CLIENT_FINGERPRINT;
	return attribute != A_TAFILE || by_name;
}

static void
join(struct buf *to, char separator, struct span value)
{
	if (to->len)
		buf_append_byte(to, separator);
	buf_append_span(to, value);
}

static bool
set_once(struct buf *to, struct span value, const char *where, const char *name)
{
	if (to->len) {
		log_warn("%s: attribute \"%s\" is specified multiple times",
			 where, name);
		return false;
	}
	buf_set(to, value);
	return true;
}

static bool
set_reuse(struct smtp_tls_entry *e, struct span value, const char *where,
	  const char *name)
{
	bool yes = span_equal_cstr_nocase(value, "yes");

	if (e->has_reuse) {
		log_warn("%s: attribute \"%s\" is specified multiple times",
			 where, name);
		return false;
	}
	if (!yes && !span_equal_cstr_nocase(value, "no")) {
		log_warn("%s: attribute \"%s\" has bad value: \"%.*s\"", where,
			 name, SPAN_ARG(value));
		return false;
	}
	e->has_reuse = true;
	e->reuse = yes;
	return true;
}

static bool
set_servername(struct smtp_tls_entry *e, struct span value, const char *where,
	       const char *name)
{
	if (!addr_valid_hostname(value)) {
		log_warn("%s: \"servername=%.*s\" specifies an invalid "
			 "hostname",
			 where, SPAN_ARG(value));
		return false;
	}
	return set_once(&e->sni, value, where, name);
}

static bool
set(struct smtp_tls_entry *e, int attribute, struct span value,
    const char *where)
{
	const char *name = names[attribute];

	switch (attribute) {
	case A_PROTOCOLS:
		return set_once(&e->protocols, value, where, name);
	case A_CIPHERS:
		return set_once(&e->grade, value, where, name);
	case A_EXCLUDE:
		return set_once(&e->exclude, value, where, name);
	case A_SERVERNAME:
		return set_servername(e, value, where, name);
	case A_MATCH:
		join(&e->match, e->level == TLS_CLIENT_FINGERPRINT ? '|' : ':',
		     value);
		return true;
	case A_TAFILE:
		join(&e->tafiles, ',', value);
		return true;
	default:
		return set_reuse(e, value, where, name);
	}
}

static bool
add(struct smtp_tls_entry *e, struct span word, const char *where)
{
	long equals = span_find(word, '=');
	struct span name, value;
	int attribute;

	if (e->level == TLS_CLIENT_NONE) {
		log_warn("%s: ignoring attribute \"%.*s\" with TLS disabled",
			 where, SPAN_ARG(word));
		return true;
	}
	if (equals <= 0) {
		log_warn("%s: malformed attribute/value pair \"%.*s\": %s",
			 where, SPAN_ARG(word),
			 equals < 0 ? "missing '=' after attribute name"
				    : "missing attribute name");
		return false;
	}
	name = span_make(word.data, (size_t)equals);
	value = span_from(word, (size_t)equals + 1);
	attribute = find_attribute(name);
	if (attribute < 0) {
		log_warn("%s: invalid attribute name: \"%.*s\"", where,
			 SPAN_ARG(name));
		return false;
	}
	if (!allowed(attribute, e->level)) {
		log_warn("%s: attribute \"%s\" invalid at security level "
			 "\"%s\"",
			 where, names[attribute],
			 tls_client_level_name(e->level));
		return false;
	}
	if (!value.len && attribute != A_SERVERNAME) {
		log_warn("%s: attribute \"%s\" has empty value", where,
			 names[attribute]);
		return false;
	}
	return set(e, attribute, value, where);
}

bool
smtp_tls_entry_parse(struct span text, const char *where,
		     struct smtp_tls_entry *e)
{
	struct span word;

	*e = (struct smtp_tls_entry){0};
	if (!span_next_token(&text, separators, &word)) {
		log_warn("%s: invalid empty policy", where);
		return false;
	}
	if (!tls_client_level_parse(word, &e->level)) {
		log_warn("%s: invalid security level \"%.*s\"", where,
			 SPAN_ARG(word));
		return false;
	}
	while (span_next_token(&text, separators, &word))
		if (!add(e, word, where))
			return false;
	return true;
}

void
smtp_tls_entry_free(struct smtp_tls_entry *e)
{
	buf_free(&e->protocols);
	buf_free(&e->grade);
	buf_free(&e->exclude);
	buf_free(&e->sni);
	buf_free(&e->match);
	buf_free(&e->tafiles);
}
