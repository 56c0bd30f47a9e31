/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_rules.h"

#include <stdlib.h>
#include <strings.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"

/* Values for rows that share a function. */
enum { SOFT = 1 };

static const struct restriction restrictions[] = {
    {"permit", check_permit, ARG_NONE, 0, 0},
    {"reject", check_reject, ARG_NONE, RULE_GUARDS_RELAY, 0},
    {"defer", check_defer, ARG_NONE, RULE_GUARDS_RELAY, 0},
    {"warn_if_reject", check_warn_if_reject, ARG_NONE, 0, 0},
    {"defer_if_permit", check_defer_if_permit, ARG_NONE, RULE_GUARDS_RELAY, 0},
    {"defer_if_reject", check_defer_if_reject, ARG_NONE, 0, 0},
    {"sleep", check_sleep, ARG_TIME, 0, 0},
    {"permit_mynetworks", check_mynetworks, ARG_NONE, 0, 0},
    {"permit_inet_interfaces", check_inet_interfaces, ARG_NONE, 0, 0},
    /* No client can have authenticated: there is no AUTH. */
    {"permit_sasl_authenticated", check_never, ARG_NONE, 0, 0},
    {"permit_auth_destination", check_permit_auth_destination, ARG_NONE,
     KNOW_RECIPIENT, 0},
    {"reject_unauth_destination", check_unauth_destination, ARG_NONE,
     KNOW_RECIPIENT | RULE_GUARDS_RELAY, 0},
    {"defer_unauth_destination", check_unauth_destination, ARG_NONE,
     KNOW_RECIPIENT | RULE_GUARDS_RELAY, SOFT},
    {"check_relay_domains", check_unauth_destination, ARG_NONE,
     KNOW_RECIPIENT | RULE_GUARDS_RELAY | RULE_OLD, 0},
    {"reject_unlisted_sender", check_unlisted_sender, ARG_NONE, KNOW_SENDER, 0},
    {"reject_unlisted_recipient", check_unlisted_recipient, ARG_NONE,
     KNOW_RECIPIENT, 0},
    {"reject_non_fqdn_helo_hostname", check_non_fqdn_helo, ARG_NONE, KNOW_HELO,
     0},
    {"reject_non_fqdn_hostname", check_non_fqdn_helo, ARG_NONE, KNOW_HELO, 0},
    {"reject_invalid_helo_hostname", check_invalid_helo, ARG_NONE, KNOW_HELO,
     0},
    {"reject_invalid_hostname", check_invalid_helo, ARG_NONE, KNOW_HELO, 0},
    {"reject_unknown_helo_hostname", check_unknown_helo, ARG_NONE, KNOW_HELO,
     0},
    {"reject_unknown_hostname", check_unknown_helo, ARG_NONE, KNOW_HELO, 0},
    {"reject_unknown_client_hostname", check_unknown_client, ARG_NONE, 0, 0},
    {"reject_unknown_client", check_unknown_client, ARG_NONE, 0, 0},
    {"reject_unknown_reverse_client_hostname", check_unknown_reverse_client,
     ARG_NONE, 0, 0},
    {"reject_non_fqdn_sender", check_non_fqdn_sender, ARG_NONE, KNOW_SENDER, 0},
    {"reject_non_fqdn_recipient", check_non_fqdn_recipient, ARG_NONE,
     KNOW_RECIPIENT, 0},
    {"reject_unknown_sender_domain", check_unknown_sender_domain, ARG_NONE,
     KNOW_SENDER, 0},
    {"reject_unknown_address", check_unknown_sender_domain, ARG_NONE,
     KNOW_SENDER, 0},
    {"reject_unknown_recipient_domain", check_unknown_recipient_domain,
     ARG_NONE, KNOW_RECIPIENT, 0},
    {"reject_unauth_pipelining", check_unauth_pipelining, ARG_NONE, 0, 0},
    {"reject_multi_recipient_bounce", check_multi_recipient_bounce, ARG_NONE,
     KNOW_SENDER, 0},
    {"check_client_access", check_client_map, ARG_TABLE, 0, 0},
    {"check_reverse_client_hostname_access", check_reverse_client_map,
     ARG_TABLE, 0, 0},
    {"check_helo_access", check_helo_map, ARG_TABLE, KNOW_HELO, 0},
    {"check_sender_access", check_sender_map, ARG_TABLE, KNOW_SENDER, 0},
    {"check_recipient_access", check_recipient_map, ARG_TABLE, KNOW_RECIPIENT,
     0},
    {"check_etrn_access", check_etrn_map, ARG_TABLE, 0, 0},
    {"check_address_map", check_address_map, ARG_TABLE, 0, 0},
    /* Known by name, not available. */
    {"check_ccert_access", NULL, ARG_ANY, 0, 0},
    {"check_client_a_access", NULL, ARG_ANY, 0, 0},
    {"check_client_mx_access", NULL, ARG_ANY, 0, 0},
    {"check_client_ns_access", NULL, ARG_ANY, 0, 0},
    {"check_helo_a_access", NULL, ARG_ANY, 0, 0},
    {"check_helo_mx_access", NULL, ARG_ANY, 0, 0},
    {"check_helo_ns_access", NULL, ARG_ANY, 0, 0},
    {"check_policy_service", NULL, ARG_ANY, 0, 0},
    {"check_recipient_a_access", NULL, ARG_ANY, 0, 0},
    {"check_recipient_mx_access", NULL, ARG_ANY, 0, 0},
    {"check_recipient_ns_access", NULL, ARG_ANY, 0, 0},
    {"check_reverse_client_hostname_a_access", NULL, ARG_ANY, 0, 0},
    {"check_reverse_client_hostname_mx_access", NULL, ARG_ANY, 0, 0},
    {"check_reverse_client_hostname_ns_access", NULL, ARG_ANY, 0, 0},
    {"check_sasl_access", NULL, ARG_ANY, 0, 0},
    {"check_sender_a_access", NULL, ARG_ANY, 0, 0},
    {"check_sender_mx_access", NULL, ARG_ANY, 0, 0},
    {"check_sender_ns_access", NULL, ARG_ANY, 0, 0},
    {"permit_dnswl_client", NULL, ARG_ANY, 0, 0},
    {"permit_mx_backup", NULL, ARG_NONE, 0, 0},
    {"permit_mx_backup_networks", NULL, ARG_NONE, 0, 0},
    {"permit_naked_ip_address", NULL, ARG_NONE, 0, 0},
    {"permit_rhswl_client", NULL, ARG_ANY, 0, 0},
    {"permit_tls_all_clientcerts", NULL, ARG_NONE, 0, 0},
    {"permit_tls_clientcerts", NULL, ARG_NONE, 0, 0},
    {"reject_authenticated_sender_login_mismatch", NULL, ARG_NONE, 0, 0},
    {"reject_known_sender_login_mismatch", NULL, ARG_NONE, 0, 0},
    {"reject_maps_rbl", NULL, ARG_NONE, 0, 0},
    {"reject_plaintext_session", NULL, ARG_NONE, 0, 0},
    {"reject_rbl", NULL, ARG_ANY, 0, 0},
    {"reject_rbl_client", NULL, ARG_ANY, 0, 0},
    {"reject_rhsbl_client", NULL, ARG_ANY, 0, 0},
    {"reject_rhsbl_helo", NULL, ARG_ANY, 0, 0},
    {"reject_rhsbl_recipient", NULL, ARG_ANY, 0, 0},
    {"reject_rhsbl_reverse_client", NULL, ARG_ANY, 0, 0},
    {"reject_rhsbl_sender", NULL, ARG_ANY, 0, 0},
    {"reject_sender_login_mismatch", NULL, ARG_NONE, 0, 0},
    {"reject_unauthenticated_sender_login_mismatch", NULL, ARG_NONE, 0, 0},
    {"reject_unknown_forward_client_hostname", NULL, ARG_NONE, 0, 0},
    {"reject_unverified_recipient", NULL, ARG_NONE, 0, 0},
    {"reject_unverified_sender", NULL, ARG_NONE, 0, 0},
};

/* A permit_ row that is not available never permits. */
static const struct restriction never_permits = {"permit_nothing", check_never,
						 ARG_NONE, 0, 0};
/* The name of a class stands for its list. */
static const struct restriction class_row = {"restriction class", NULL,
					     ARG_NONE, 0, 0};

static struct htab *classes; /* name to struct rule_list */

/* A compilation: main.cf (fatal) or the result of a table. */
struct compile {
	const char *where;
	bool from_table;
	enum rule_list_kind kind;
	struct strvec words;
	size_t at;
	struct rule_list *out;
	bool failed;
};

static const struct restriction *
find_row(const char *name)
{
	for (size_t i = 0; i < sizeof(restrictions) / sizeof(restrictions[0]);
	     i++)
		if (!strcasecmp(name, restrictions[i].name))
			return &restrictions[i];
	return NULL;
}

static void complain(struct compile *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void
complain(struct compile *c, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	c->failed = true;
	if (!c->from_table)
		log_fatal("parameter %s: %s", c->where, buf_cstr(&text));
	log_warn("%s", buf_cstr(&text));
	buf_free(&text);
}

static struct rule *
add_rule(struct rule_list *l, const struct restriction *def)
{
	l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
	l->v[l->n] = (struct rule){.def = def};
	return &l->v[l->n++];
}

static const char *
next_word(struct compile *c)
{
	return c->at < c->words.n ? c->words.v[c->at++] : NULL;
}

/* "type:table" alone means the check that the list is named after. */
static const struct restriction *
row_for_table(enum rule_list_kind kind)
{
	static const char *const names[LIST_COUNT] = {
	    [LIST_CLIENT] = "check_client_access",
	    [LIST_HELO] = "check_helo_access",
	    [LIST_SENDER] = "check_sender_access",
	    [LIST_RELAY] = "check_recipient_access",
	    [LIST_RECIPIENT] = "check_recipient_access",
	    [LIST_ETRN] = "check_etrn_access",
	    [LIST_DATA] = "check_recipient_access",
	    [LIST_END_OF_DATA] = "check_recipient_access",
	};

	return find_row(names[kind]);
}

static void
add_table_rule(struct compile *c, const struct restriction *row,
	       const char *spec)
{
	if (!spec || !strchr(spec, ':')) {
		complain(c, "missing lookup table after restriction \"%s\"",
			 row->name);
		return;
	}
	if (c->from_table) {
		log_warn("access table %s has entry with lookup table: %s %s",
			 c->where, row->name, spec);
		log_warn("do not specify lookup tables inside SMTPD access "
			 "maps");
		log_warn("define a restriction class and specify its name "
			 "instead.");
		c->failed = true;
		return;
	}
	add_rule(c->out, row)->table =
	    table_open(spec, TABLE_FOLD_FIXED | TABLE_FOLD_REGEX |
				 (conf->smtputf8_enable ? TABLE_UTF8 : 0));
}

static void
add_known_rule(struct compile *c, const struct restriction *row)
{
	const char *arg;
	int64_t seconds;

	if (row->flags & RULE_OLD)
		log_warn("support for restriction \"%s\" will be removed; use "
			 "\"reject_unauth_destination\" instead",
			 row->name);
	if (!row->fn) {
		if (row->arg == ARG_ANY)
			next_word(c);
		if (strncmp(row->name, "permit_", 7)) {
			complain(c,
				 "restriction %s is not available in this "
				 "version",
				 row->name);
			return;
		}
		log_warn("%s: restriction %s is not available in this version "
			 "and permits nothing",
			 c->where, row->name);
		add_rule(c->out, &never_permits);
		return;
	}
	switch (row->arg) {
	case ARG_TABLE:
		add_table_rule(c, row, next_word(c));
		break;
	case ARG_TIME:
		arg = next_word(c);
		if (!arg || !num_parse(span_of(arg), 0, 86400, &seconds)) {
			complain(c, "bad argument of restriction \"%s\"",
				 row->name);
			return;
		}
		add_rule(c->out, row)->seconds = (int)seconds;
		break;
	default:
		add_rule(c->out, row);
	}
}

static void
compile_words(struct compile *c)
{
	const char *word;

	while (!c->failed && (word = next_word(c))) {
		const struct restriction *row = find_row(word);
		const struct rule_list *class =
		    classes ? htab_get(classes, span_of(word)) : NULL;

		if (class)
			add_rule(c->out, &class_row)->class = class;
		else if (row)
			add_known_rule(c, row);
		else if (strchr(word, ':') && word[0] != '[')
			add_table_rule(c, row_for_table(c->kind), word);
		else
			complain(c, "unknown smtpd restriction: \"%s\"", word);
	}
}

static void
fill_list(struct rule_list *l, const char *text, enum rule_list_kind kind)
{
	struct compile c = {.where = l->name, .kind = kind, .out = l};

	strvec_split(&c.words, span_of(text), ", \t\r\n", true);
	compile_words(&c);
	strvec_free(&c.words);
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
		if (find_row(names.v[i]))
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
			    .kind = LIST_RECIPIENT,
			    .out = mem_alloc(sizeof(struct rule_list))};

	c.out->name = "access table";
	strvec_split(&c.words, span_of(text), ", \t\r\n", true);
	compile_words(&c);
	strvec_free(&c.words);
	if (c.failed) {
		smtpd_rules_free(c.out);
		return NULL;
	}
	return c.out;
}

void
smtpd_rules_free(struct rule_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		table_free(l->v[i].table);
	free(l->v);
	free(l);
}

static bool
guards(const struct rule_list *l, int depth)
{
	for (size_t i = 0; i < l->n && depth < RULE_DEPTH_MAX; i++) {
		const struct rule *r = &l->v[i];

		if (i > 0 && l->v[i - 1].def->fn == check_warn_if_reject)
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
