/* SPDX-License-Identifier: MIT */
/*
 * Lookup tables with settings of their own: type:name with name_attribute in
 * main.cf, or type:/file with the attributes in that file.
 */
#include <errno.h>
#include <stdlib.h>

#include "conf/postconf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

static const char *const ldap_attributes[] = {"bind",
					      "bind_dn",
					      "bind_pw",
					      "cache",
					      "cache_expiry",
					      "cache_size",
					      "chase_referrals",
					      "debuglevel",
					      "dereference",
					      "domain",
					      "expansion_limit",
					      "leaf_result_attribute",
					      "query_filter",
					      "recursion_limit",
					      "result_attribute",
					      "result_filter",
					      "result_format",
					      "sasl_authz_id",
					      "sasl_mechs",
					      "sasl_minssf",
					      "sasl_realm",
					      "scope",
					      "search_base",
					      "server_host",
					      "server_port",
					      "size_limit",
					      "special_result_attribute",
					      "start_tls",
					      "terminal_result_attribute",
					      "timeout",
					      "tls_ca_cert_dir",
					      "tls_ca_cert_file",
					      "tls_cert",
					      "tls_cipher_suite",
					      "tls_key",
					      "tls_random_file",
					      "tls_require_cert",
					      "version",
					      NULL};
static const char *const mysql_attributes[] = {"additional_conditions",
					       "dbname",
					       "domain",
					       "expansion_limit",
					       "hosts",
					       "option_file",
					       "option_group",
					       "password",
					       "query",
					       "require_result_set",
					       "result_format",
					       "select_field",
					       "table",
					       "tls_CAfile",
					       "tls_CApath",
					       "tls_cert_file",
					       "tls_ciphers",
					       "tls_key_file",
					       "tls_verify_cert",
					       "user",
					       "where_field",
					       NULL};
static const char *const pgsql_attributes[] = {"additional_conditions",
					       "dbname",
					       "domain",
					       "expansion_limit",
					       "hosts",
					       "password",
					       "query",
					       "result_format",
					       "select_field",
					       "select_function",
					       "table",
					       "user",
					       "where_field",
					       NULL};
static const char *const sqlite_attributes[] = {"additional_conditions",
						"dbpath",
						"domain",
						"expansion_limit",
						"query",
						"result_format",
						"select_field",
						"table",
						"where_field",
						NULL};
static const char *const memcache_attributes[] = {
    "backup",      "data_size_limit", "domain",  "flags",
    "key_format",  "line_size_limit", "max_try", "memcache",
    "retry_pause", "timeout",         "ttl",     NULL};

static const struct {
	const char *type;
	const char *const *attributes;
} types[] = {
    {"ldap", ldap_attributes},         {"mysql", mysql_attributes},
    {"pgsql", pgsql_attributes},       {"sqlite", sqlite_attributes},
    {"memcache", memcache_attributes},
};

static bool
is_known(const char *const *attributes, const char *name)
{
	for (size_t i = 0; attributes[i]; i++)
		if (!strcmp(attributes[i], name))
			return true;
	return false;
}

static void
check_file(const char *type, const char *path, const char *const *attributes)
{
	struct buf text = BUF_INIT;
	struct maincf m;
	struct strvec errors = STRVEC_INIT;

	if (!io_read_file(path, MAINCF_FILE_MAX, &text)) {
		log_warn("open \"%s\" configuration \"%s\": %s", type, path,
			 strerror(errno));
		buf_free(&text);
		return;
	}
	maincf_parse(&m, path, buf_span(&text), &errors, &errors);
	for (size_t i = 0; i < errors.n; i++)
		log_warn("%s", errors.v[i]);
	for (size_t i = 0; i < m.n; i++)
		if (!is_known(attributes, m.v[i].name))
			log_warn("%s: unused parameter: %s=%s", path,
				 m.v[i].name, m.v[i].value);
	maincf_free(&m);
	strvec_free(&errors);
	buf_free(&text);
}

static void
scan_table(struct span type, struct span name,
	   void (*used)(void *arg, struct span), void *arg)
{
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		char *source;

		if (!span_equal_cstr(type, types[i].type) || !name.len)
			continue;
		source = mem_strndup(name.data, name.len);
		if (source[0] == '/' || source[0] == '.') {
			check_file(types[i].type, source, types[i].attributes);
			free(source);
			return;
		}
		for (size_t j = 0; types[i].attributes[j]; j++) {
			char *full = mem_sprintf("%s_%s", source,
						 types[i].attributes[j]);

			used(arg, span_of(full));
			free(full);
		}
		free(source);
	}
}

void
pc_scan_tables(const char *value, void (*used)(void *arg, struct span),
	       void *arg)
{
	struct span rest = span_of(value);
	struct span word;

	while (span_next_token(&rest, ", \t\r\n{}", &word)) {
		long colon;

		while (span_starts_nocase(word, "proxy:"))
			word = span_from(word, 6);
		colon = span_find(word, ':');
		if (colon > 0 && !strchr(value, '$'))
			scan_table(span_make(word.data, (size_t)colon),
				   span_from(word, (size_t)colon + 1), used,
				   arg);
	}
}
