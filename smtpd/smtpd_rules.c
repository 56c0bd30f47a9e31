/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_rules.h"

#include <stdlib.h>
#include <strings.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_policy.h"

/* Values for rows that share a function. */
enum { SOFT = 1 };

static const struct rule_row rows[] = {
    {"permit", check_permit, 0},
    {"reject", check_reject, 0},
    {"defer", check_defer, 0},
    {"warn_if_reject", check_warn_if_reject, 0},
    {"defer_if_permit", check_defer_if_permit, 0},
    {"defer_if_reject", check_defer_if_reject, 0},
    {"sleep", check_sleep, 0},
    {"permit_mynetworks", check_mynetworks, 0},
    {"permit_inet_interfaces", check_inet_interfaces, 0},
    {"permit_naked_ip_address", check_naked_address, 0},
    {"permit_sasl_authenticated", check_sasl_authenticated, 0},
    {"permit_auth_destination", check_permit_auth_destination, 0},
    {"permit_mx_backup", check_mx_backup, 0},
    {"reject_unauth_destination", check_unauth_destination, 0},
    {"defer_unauth_destination", check_unauth_destination, SOFT},
    {"check_relay_domains", check_unauth_destination, 0},
    {"reject_unlisted_sender", check_unlisted_sender, 0},
    {"reject_unlisted_recipient", check_unlisted_recipient, 0},
    {"reject_non_fqdn_helo_hostname", check_non_fqdn_helo, 0},
    {"reject_non_fqdn_hostname", check_non_fqdn_helo, 0},
    {"reject_invalid_helo_hostname", check_invalid_helo, 0},
    {"reject_invalid_hostname", check_invalid_helo, 0},
    {"reject_unknown_helo_hostname", check_unknown_helo, 0},
    {"reject_unknown_hostname", check_unknown_helo, 0},
    {"reject_unknown_client_hostname", check_unknown_client, 0},
    {"reject_unknown_client", check_unknown_client, 0},
    {"reject_unknown_reverse_client_hostname", check_unknown_reverse_client, 0},
    {"reject_non_fqdn_sender", check_non_fqdn_sender, 0},
    {"reject_non_fqdn_recipient", check_non_fqdn_recipient, 0},
    {"reject_unknown_sender_domain", check_unknown_sender_domain, 0},
    {"reject_unknown_address", check_unknown_sender_domain, 0},
    {"reject_unknown_recipient_domain", check_unknown_recipient_domain, 0},
    {"reject_unauth_pipelining", check_unauth_pipelining, 0},
    {"reject_multi_recipient_bounce", check_multi_recipient_bounce, 0},
    {"reject_rbl_client", check_rbl_client, 0},
    {"reject_rbl", check_rbl_client, 0},
    {"reject_maps_rbl", check_maps_rbl, 0},
    {"reject_rhsbl_client", check_rhsbl, DNS_OF_CLIENT},
    {"reject_rhsbl_reverse_client", check_rhsbl, DNS_OF_REVERSE_CLIENT},
    {"reject_rhsbl_helo", check_rhsbl, DNS_OF_HELO},
    {"reject_rhsbl_sender", check_rhsbl, DNS_OF_SENDER},
    {"reject_rhsbl_recipient", check_rhsbl, DNS_OF_RECIPIENT},
    {"permit_dnswl_client", check_dnswl_client, 0},
    {"permit_rhswl_client", check_rhswl_client, 0},
    {"check_client_access", check_client_map, 0},
    {"check_reverse_client_hostname_access", check_reverse_client_map, 0},
    {"check_helo_access", check_helo_map, 0},
    {"check_sender_access", check_sender_map, 0},
    {"check_recipient_access", check_recipient_map, 0},
    {"check_etrn_access", check_etrn_map, 0},
    {"check_address_map", check_address_map, 0},
    {"check_client_mx_access", check_mx_map, DNS_OF_CLIENT},
    {"check_client_ns_access", check_ns_map, DNS_OF_CLIENT},
    {"check_client_a_access", check_a_map, DNS_OF_CLIENT},
    {"check_reverse_client_hostname_mx_access", check_mx_map,
     DNS_OF_REVERSE_CLIENT},
    {"check_reverse_client_hostname_ns_access", check_ns_map,
     DNS_OF_REVERSE_CLIENT},
    {"check_reverse_client_hostname_a_access", check_a_map,
     DNS_OF_REVERSE_CLIENT},
    {"check_helo_mx_access", check_mx_map, DNS_OF_HELO},
    {"check_helo_ns_access", check_ns_map, DNS_OF_HELO},
    {"check_helo_a_access", check_a_map, DNS_OF_HELO},
    {"check_sender_mx_access", check_mx_map, DNS_OF_SENDER},
    {"check_sender_ns_access", check_ns_map, DNS_OF_SENDER},
    {"check_sender_a_access", check_a_map, DNS_OF_SENDER},
    {"check_recipient_mx_access", check_mx_map, DNS_OF_RECIPIENT},
    {"check_recipient_ns_access", check_ns_map, DNS_OF_RECIPIENT},
    {"check_recipient_a_access", check_a_map, DNS_OF_RECIPIENT},
    {"check_ccert_access", check_ccert_map, 0},
    {"permit_tls_clientcerts", check_clientcerts, 0},
    {"permit_tls_all_clientcerts", check_clientcerts, 1},
    {"reject_plaintext_session", check_plaintext_session, 0},
    {"check_sasl_access", check_sasl_map, 0},
    {"reject_sender_login_mismatch", check_sender_login, 0},
    {"reject_authenticated_sender_login_mismatch", check_auth_sender_login, 0},
    {"reject_unauthenticated_sender_login_mismatch", check_unauth_sender_login,
     0},
    {"reject_known_sender_login_mismatch", check_known_sender_login, 0},
    {"check_policy_service", check_policy_service, 0},
    {"reject_unverified_recipient", check_unverified_recipient, 0},
    {"reject_unverified_sender", check_unverified_sender, 0},
};

/* The name of a class stands for its list. */
static const struct rule_row class_row = {"restriction class", NULL, 0};
static const struct restriction class_facts = {"restriction class", ARG_NONE,
					       0};

static struct htab *classes; /* name to struct rule_list */

/* A compilation: main.cf (fatal) or the result of a table. */
struct compile {
	const char *where;
	bool from_table;
	struct restriction_reader words;
	struct rule_list *out;
	bool failed;
};

static const struct rule_row *
find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!strcasecmp(name, rows[i].name))
			return &rows[i];
	log_panic("restriction %s has no function", name);
}

static bool
is_class(const char *word)
{
	return classes && htab_get(classes, span_of(word));
}

static void complain(struct compile *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
complain(struct compile *c, const char *fmt, ...)
{
	struct buf text = BUF_INIT, where = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	c->failed = true;
	if (!c->from_table) {
		conf_where(c->where, &where);
		log_fatal("%s: %s", buf_cstr(&where), buf_cstr(&text));
	}
	log_warn("%s", buf_cstr(&text));
	buf_free(&text);
}

static struct rule *
add_rule(struct rule_list *l, const struct restriction *def,
	 const struct rule_row *row)
{
	l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n] = (struct rule){.def = def, .row = row};
	return &l->v[l->n++];
}

static void
add_table_rule(struct compile *c, const struct rule_row *row)
{
	const char *name = c->words.row->name, *spec = c->words.arg;

	if (c->from_table) {
		bool bare = spec == c->words.word;

		log_warn("access table %s has entry with lookup table: %s%s%s",
			 c->where, bare ? "" : name, bare ? "" : " ", spec);
		log_warn("do not specify lookup tables inside SMTPD access "
			 "maps");
		log_warn("define a restriction class and specify its name "
			 "instead.");
		c->failed = true;
		return;
	}
	add_rule(c->out, c->words.row, row)->table =
	    table_open(spec, TABLE_FOLD_FIXED | TABLE_FOLD_REGEX |
				 (conf->smtputf8_enable ? TABLE_UTF8 : 0));
}

static void
add_domain_rule(struct compile *c, const struct rule_row *row)
{
	struct rule *r = add_rule(c->out, c->words.row, row);

	r->domain = mem_strndup(c->words.domain.data, c->words.domain.len);
	r->spec = mem_strdup(c->words.arg);
	if (!c->words.has_filter)
		return;
	r->filter = mem_alloc(sizeof(*r->filter));
	*r->filter = c->words.filter;
}

static void
add_policy_rule(struct compile *c, const struct rule_row *row)
{
	struct buf error = BUF_INIT;
	struct policy *p = smtpd_policy_open(c->words.arg, &error);

	if (p)
		add_rule(c->out, c->words.row, row)->policy = p;
	else
		complain(c, "%s", buf_cstr(&error));
	buf_free(&error);
}

/* "cert_fingerprint, pubkey_fingerprint" */
static bool
parse_search_order(struct span text, enum ccert_key *keys)
{
	struct span word;
	size_t n = 0;

	while (span_next_token(&text, ", \t", &word)) {
		if (n == CCERT_KEYS)
			return false;
		if (span_equal_cstr_nocase(word, "cert_fingerprint"))
			keys[n++] = CCERT_CERT;
		else if (span_equal_cstr_nocase(word, "pubkey_fingerprint"))
			keys[n++] = CCERT_PUBKEY;
		else
			return false;
	}
	return n > 0;
}

/* "{ type:table, { search_order = ... } }", the inner part optional. */
static bool
parse_ccert_braces(const char *arg, struct buf *spec, enum ccert_key *keys)
{
	struct span all = span_trim(span_of(arg)), name, value;
	struct strvec parts = STRVEC_INIT;
	bool ok = true;

	if (all.len < 2 || all.data[all.len - 1] != '}')
		return false;
	strvec_split(&parts, span_make(all.data + 1, all.len - 2), ", \t\r\n",
		     true);
	if (parts.n)
		buf_set_cstr(spec, parts.v[0]);
	for (size_t i = 1; i < parts.n && ok; i++) {
		struct span in = span_of(parts.v[i]);
		long at;

		if (in.len < 2 || in.data[0] != '{') {
			ok = false;
			break;
		}
		in = span_make(in.data + 1, in.len - 2);
		at = span_find(in, '=');
		name = span_trim(span_make(in.data, at < 0 ? 0 : (size_t)at));
		value = span_trim(span_from(in, (size_t)(at + 1)));
		ok = span_equal_cstr(name, "search_order") &&
		     parse_search_order(value, keys);
	}
	strvec_free(&parts);
	return ok;
}

static void
add_ccert_rule(struct compile *c, const struct rule_row *row)
{
	enum ccert_key keys[CCERT_KEYS] = {CCERT_NONE};
	const char *arg = c->words.arg;
	size_t before = c->out->n;
	struct buf spec = BUF_INIT;
	bool ok = arg != NULL;

	if (ok && arg[0] == '{')
		ok = parse_ccert_braces(arg, &spec, keys);
	else if (ok)
		buf_set_cstr(&spec, arg);
	if (!ok || !strchr(buf_cstr(&spec), ':')) {
		complain(c, "bad argument of restriction \"%s\": %s",
			 c->words.row->name, arg ? arg : "");
	} else {
		c->words.arg = buf_cstr(&spec);
		add_table_rule(c, row);
		c->words.arg = arg;
	}
	if (keys[0] == CCERT_NONE) {
		keys[0] = CCERT_CERT;
		keys[1] = CCERT_PUBKEY;
	}
	if (c->out->n > before)
		memcpy(c->out->v[before].ccert_keys, keys, sizeof(keys));
	buf_free(&spec);
}

static void
add_known_rule(struct compile *c)
{
	const struct restriction *def = c->words.row;
	const struct rule_row *row = find_row(def->name);
	int64_t seconds = 0;

	switch (def->arg) {
	case ARG_TABLE:
		add_table_rule(c, row);
		break;
	case ARG_ANY:
		if (row->fn == check_ccert_map)
			add_ccert_rule(c, row);
		else if (c->from_table)
			add_table_rule(c, row);
		else
			add_policy_rule(c, row);
		break;
	case ARG_DOMAIN:
		add_domain_rule(c, row);
		break;
	case ARG_TIME:
		num_parse(span_of(c->words.arg), 0, INT32_MAX, &seconds);
		add_rule(c->out, def, row)->seconds = (int)seconds;
		break;
	default:
		add_rule(c->out, def, row);
	}
}

static void
compile(struct compile *c, const char *text, enum rule_list_kind kind)
{
	restriction_reader_init(&c->words, text, kind, is_class);
	while (!c->failed) {
		switch (restriction_next(&c->words)) {
		case RESTRICTION_END:
			restriction_reader_free(&c->words);
			return;
		case RESTRICTION_OK:
			add_known_rule(c);
			break;
		case RESTRICTION_CLASS:
			add_rule(c->out, &class_facts, &class_row)->class =
			    htab_get(classes, span_of(c->words.word));
			break;
		case RESTRICTION_BAD:
			complain(c, "%s", buf_cstr(&c->words.error));
			/* As in Postfix: it has no list to ask. */
			if (c->words.row && c->words.row->arg == ARG_DOMAIN &&
			    !c->words.arg) {
				c->failed = false;
				restriction_reader_free(&c->words);
				return;
			}
		}
	}
	restriction_reader_free(&c->words);
}

static void
fill_list(struct rule_list *l, const char *text, enum rule_list_kind kind)
{
	struct compile c = {.where = l->name, .out = l};

	compile(&c, text, kind);
}

/* Every class exists before the first is compiled: they may name each other. */
static void
open_classes(void)
{
	struct strvec names = STRVEC_INIT;

	classes = htab_new();
	strvec_split(&names, span_of(conf->smtpd_restriction_classes),
		     ", \t\r\n", false);
	for (size_t i = 0; i < names.n; i++) {
		struct rule_list *l = mem_alloc(sizeof(*l));

		l->name = mem_strdup(names.v[i]);
		if (restriction_find(names.v[i]))
			log_fatal("parameter smtpd_restriction_classes: \"%s\" "
				  "is the name of a restriction",
				  names.v[i]);
		htab_put(classes, span_of(names.v[i]), l);
	}
	for (size_t i = 0; i < names.n; i++) {
		const char *text = conf_get(names.v[i]);

		if (!text)
			log_fatal("parameter smtpd_restriction_classes: \"%s\" "
				  "has no value",
				  names.v[i]);
		fill_list(htab_get(classes, span_of(names.v[i])), text,
			  LIST_RECIPIENT);
	}
	strvec_free(&names);
}

struct rule_list *
smtpd_rules_compile(const char *param, const char *text,
		    enum rule_list_kind kind)
{
	struct rule_list *l = mem_alloc(sizeof(*l));

	if (!classes)
		open_classes();
	l->name = param;
	fill_list(l, text, kind);
	return l;
}

struct rule_list *
smtpd_rules_compile_result(const char *table, const char *text)
{
	struct compile c = {.where = table,
			    .from_table = true,
			    .out = mem_alloc(sizeof(struct rule_list))};

	c.out->name = "access table";
	compile(&c, text, LIST_RECIPIENT);
	if (c.failed) {
		smtpd_rules_free(c.out);
		return NULL;
	}
	return c.out;
}

static void
free_rule(struct rule *r)
{
	table_free(r->table);
	free(r->domain);
	free(r->spec);
	free(r->filter);
}

void
smtpd_rules_free(struct rule_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free_rule(&l->v[i]);
	free(l->v);
	free(l);
}

static bool
guards(const struct rule_list *l, int depth)
{
	for (size_t i = 0; i < l->n && depth < RULE_DEPTH_MAX; i++) {
		const struct rule *r = &l->v[i];

		if (i > 0 && l->v[i - 1].row->fn == check_warn_if_reject)
			continue;
		if ((r->def->flags & RULE_GUARDS_RELAY) ||
		    (r->class && guards(r->class, depth + 1)))
			return true;
	}
	return false;
}

bool
smtpd_rules_guard_relay(const struct rule_list *l)
{
	return guards(l, 0);
}
