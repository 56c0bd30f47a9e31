/* SPDX-License-Identifier: MIT */
#include "lib/smtp/restriction.h"

#include <stdlib.h>
#include <strings.h>

#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"

static const struct restriction restrictions[] = {
    {"check_address_map", ARG_TABLE, RULE_IN_REWRITE | RULE_NOT_SMTPD},
    {"check_ccert_access", ARG_ANY, 0},
    {"check_client_a_access", ARG_TABLE, 0},
    {"check_client_access", ARG_TABLE, 0},
    {"check_client_mx_access", ARG_TABLE, 0},
    {"check_client_ns_access", ARG_TABLE, 0},
    {"check_etrn_access", ARG_TABLE, 0},
    {"check_helo_a_access", ARG_TABLE, KNOW_HELO},
    {"check_helo_access", ARG_TABLE, KNOW_HELO},
    {"check_helo_mx_access", ARG_TABLE, KNOW_HELO},
    {"check_helo_ns_access", ARG_TABLE, KNOW_HELO},
    {"check_policy_service", ARG_ANY, RULE_SERVER},
    {"check_recipient_a_access", ARG_TABLE, KNOW_RECIPIENT},
    {"check_recipient_access", ARG_TABLE, KNOW_RECIPIENT},
    {"check_recipient_mx_access", ARG_TABLE, KNOW_RECIPIENT},
    {"check_recipient_ns_access", ARG_TABLE, KNOW_RECIPIENT},
    {"check_relay_domains", ARG_NONE,
     KNOW_RECIPIENT | RULE_GUARDS_RELAY | RULE_OLD},
    {"check_reverse_client_hostname_a_access", ARG_TABLE, 0},
    {"check_reverse_client_hostname_access", ARG_TABLE, 0},
    {"check_reverse_client_hostname_mx_access", ARG_TABLE, 0},
    {"check_reverse_client_hostname_ns_access", ARG_TABLE, 0},
    {"check_sasl_access", ARG_TABLE, 0},
    {"check_sender_a_access", ARG_TABLE, KNOW_SENDER},
    {"check_sender_access", ARG_TABLE, KNOW_SENDER},
    {"check_sender_mx_access", ARG_TABLE, KNOW_SENDER},
    {"check_sender_ns_access", ARG_TABLE, KNOW_SENDER},
    {"defer", ARG_NONE, RULE_GUARDS_RELAY},
    {"defer_if_permit", ARG_NONE, RULE_GUARDS_RELAY},
    {"defer_if_reject", ARG_NONE, 0},
    {"defer_unauth_destination", ARG_NONE, KNOW_RECIPIENT | RULE_GUARDS_RELAY},
    {"permit", ARG_NONE, 0},
    {"permit_auth_destination", ARG_NONE, KNOW_RECIPIENT},
    {"permit_dnswl_client", ARG_DOMAIN, 0},
    {"permit_inet_interfaces", ARG_NONE, RULE_IN_REWRITE},
    {"permit_mx_backup", ARG_NONE, KNOW_RECIPIENT},
    {"permit_mynetworks", ARG_NONE, RULE_IN_REWRITE},
    {"permit_naked_ip_address", ARG_NONE, KNOW_HELO | RULE_OLD},
    {"permit_rhswl_client", ARG_DOMAIN, 0},
    {"permit_sasl_authenticated", ARG_NONE, RULE_IN_REWRITE},
    {"permit_tls_all_clientcerts", ARG_NONE, RULE_IN_REWRITE},
    {"permit_tls_clientcerts", ARG_NONE, RULE_IN_REWRITE},
    {"reject", ARG_NONE, RULE_GUARDS_RELAY},
    {"reject_authenticated_sender_login_mismatch", ARG_NONE, KNOW_SENDER},
    {"reject_invalid_helo_hostname", ARG_NONE, KNOW_HELO},
    {"reject_invalid_hostname", ARG_NONE, KNOW_HELO},
    {"reject_known_sender_login_mismatch", ARG_NONE, KNOW_SENDER},
    {"reject_maps_rbl", ARG_NONE, RULE_OLD},
    {"reject_multi_recipient_bounce", ARG_NONE, KNOW_SENDER},
    {"reject_non_fqdn_helo_hostname", ARG_NONE, KNOW_HELO},
    {"reject_non_fqdn_hostname", ARG_NONE, KNOW_HELO},
    {"reject_non_fqdn_recipient", ARG_NONE, KNOW_RECIPIENT},
    {"reject_non_fqdn_sender", ARG_NONE, KNOW_SENDER},
    {"reject_plaintext_session", ARG_NONE, 0},
    {"reject_rbl", ARG_DOMAIN, 0},
    {"reject_rbl_client", ARG_DOMAIN, 0},
    {"reject_rhsbl_client", ARG_DOMAIN, 0},
    {"reject_rhsbl_helo", ARG_DOMAIN, KNOW_HELO},
    {"reject_rhsbl_recipient", ARG_DOMAIN, KNOW_RECIPIENT},
    {"reject_rhsbl_reverse_client", ARG_DOMAIN, 0},
    {"reject_rhsbl_sender", ARG_DOMAIN, KNOW_SENDER},
    {"reject_sender_login_mismatch", ARG_NONE, KNOW_SENDER},
    {"reject_unauth_destination", ARG_NONE, KNOW_RECIPIENT | RULE_GUARDS_RELAY},
    {"reject_unauth_pipelining", ARG_NONE, 0},
    {"reject_unauthenticated_sender_login_mismatch", ARG_NONE, KNOW_SENDER},
    {"reject_unknown_address", ARG_NONE, KNOW_SENDER},
    {"reject_unknown_client", ARG_NONE, 0},
    {"reject_unknown_client_hostname", ARG_NONE, 0},
    {"reject_unknown_helo_hostname", ARG_NONE, KNOW_HELO},
    {"reject_unknown_hostname", ARG_NONE, KNOW_HELO},
    {"reject_unknown_recipient_domain", ARG_NONE, KNOW_RECIPIENT},
    {"reject_unknown_reverse_client_hostname", ARG_NONE, 0},
    {"reject_unknown_sender_domain", ARG_NONE, KNOW_SENDER},
    {"reject_unlisted_recipient", ARG_NONE, KNOW_RECIPIENT},
    {"reject_unlisted_sender", ARG_NONE, KNOW_SENDER},
    {"reject_unverified_recipient", ARG_NONE, KNOW_RECIPIENT},
    {"reject_unverified_sender", ARG_NONE, KNOW_SENDER},
    {"sleep", ARG_TIME, 0},
    {"warn_if_reject", ARG_NONE, 0},
};

static int
compare(const void *key, const void *row)
{
	return strcasecmp(key, ((const struct restriction *)row)->name);
}

const struct restriction *
restriction_find(const char *name)
{
	return bsearch(name, restrictions,
		       sizeof(restrictions) / sizeof(restrictions[0]),
		       sizeof(restrictions[0]), compare);
}

/* ---- lists ---- */

/* "type:table" alone means the check that the list is named after. */
static const struct restriction *
row_for_table(enum rule_list_kind kind)
{
	switch (kind) {
	case LIST_CLIENT:
		return restriction_find("check_client_access");
	case LIST_HELO:
		return restriction_find("check_helo_access");
	case LIST_SENDER:
		return restriction_find("check_sender_access");
	case LIST_ETRN:
		return restriction_find("check_etrn_access");
	case LIST_REWRITE:
		return restriction_find("check_address_map");
	default:
		return restriction_find("check_recipient_access");
	}
}

void
restriction_reader_init(struct restriction_reader *r, const char *text,
			enum rule_list_kind kind,
			bool (*is_class)(const char *word))
{
	*r = (struct restriction_reader){.kind = kind, .is_class = is_class};
	strvec_split(&r->words, span_of(text), ", \t\r\n", true);
}

void
restriction_reader_free(struct restriction_reader *r)
{
	strvec_free(&r->words);
	buf_free(&r->error);
}

static const char *
next_word(struct restriction_reader *r)
{
	return r->at < r->words.n ? r->words.v[r->at++] : NULL;
}

static enum restriction_status
bad(struct restriction_reader *r, const char *what)
{
	buf_printf(&r->error, "restriction %s %s", r->row->name, what);
	return RESTRICTION_BAD;
}

static enum restriction_status
take_domain(struct restriction_reader *r)
{
	struct buf error = BUF_INIT;
	long eq;

	if (!r->arg)
		return bad(r, "requires domain name argument");
	r->domain = span_of(r->arg);
	eq = span_find(r->domain, '=');
	r->has_filter = eq >= 0;
	if (!r->has_filter)
		return RESTRICTION_OK;
	r->domain.len = (size_t)eq;
	if (dnsxl_filter_parse(span_of(r->arg + eq + 1), &r->filter, &error))
		return RESTRICTION_OK;
	buf_printf(&r->error, "restriction %s %s: RBL reply error: %s",
		   r->row->name, r->arg, buf_cstr(&error));
	buf_free(&error);
	return RESTRICTION_BAD;
}

/* What follows the name, in the words of Postfix. */
static enum restriction_status
take_argument(struct restriction_reader *r)
{
	int64_t seconds;

	if (r->row->arg == ARG_NONE)
		return RESTRICTION_OK;
	r->arg = next_word(r);
	switch (r->row->arg) {
	case ARG_TABLE:
		if (r->arg && strchr(r->arg, ':'))
			return RESTRICTION_OK;
		buf_printf(&r->error,
			   "restriction %s: bad argument \"%s\": need "
			   "maptype:mapname",
			   r->row->name, r->arg ? r->arg : r->row->name);
		return RESTRICTION_BAD;
	case ARG_DOMAIN:
		return take_domain(r);
	case ARG_TIME:
		if (r->arg && num_parse(span_of(r->arg), 0, 86400, &seconds))
			return RESTRICTION_OK;
		return bad(r, "must be followed by number");
	default:
		return r->arg ? RESTRICTION_OK
			      : bad(r, r->row->flags & RULE_SERVER
					   ? "must be followed by "
					     "transport:server"
					   : "must be followed by type:table");
	}
}

static bool
may_stand(const struct restriction_reader *r)
{
	return r->kind == LIST_REWRITE ? r->row->flags & RULE_IN_REWRITE
				       : !(r->row->flags & RULE_NOT_SMTPD);
}

enum restriction_status
restriction_next(struct restriction_reader *r)
{
	r->row = NULL;
	r->arg = NULL;
	r->word = next_word(r);
	if (!r->word)
		return RESTRICTION_END;
	if (r->is_class && r->is_class(r->word))
		return RESTRICTION_CLASS;
	r->row = restriction_find(r->word);
	if (r->row && may_stand(r))
		return take_argument(r);
	if (!r->row && strchr(r->word, ':') && r->word[0] != '[') {
		r->row = row_for_table(r->kind);
		r->arg = r->word;
		return RESTRICTION_OK;
	}
	buf_printf(&r->error, "unknown smtpd restriction: \"%s\"", r->word);
	return RESTRICTION_BAD;
}

/* ---- the whole configuration ---- */

static bool
is_class(const char *word)
{
	return conf_list_has(conf->smtpd_restriction_classes, word);
}

static void
check_list(const char *param, const char *text, enum rule_list_kind kind,
	   struct strvec *errors)
{
	struct restriction_reader r;
	enum restriction_status st;
	struct buf line = BUF_INIT;

	restriction_reader_init(&r, text, kind, is_class);
	do {
		st = restriction_next(&r);
	} while (st == RESTRICTION_OK || st == RESTRICTION_CLASS);
	if (st == RESTRICTION_BAD) {
		conf_where(param, &line);
		buf_printf(&line, ": %s", buf_cstr(&r.error));
		strvec_add(errors, buf_cstr(&line));
	}
	buf_free(&line);
	restriction_reader_free(&r);
}

void
restriction_check_conf(struct strvec *errors)
{
	const struct {
		const char *name, *text;
		enum rule_list_kind kind;
	} lists[] = {
	    {"smtpd_client_restrictions", conf->smtpd_client_restrictions,
	     LIST_CLIENT},
	    {"smtpd_helo_restrictions", conf->smtpd_helo_restrictions,
	     LIST_HELO},
	    {"smtpd_sender_restrictions", conf->smtpd_sender_restrictions,
	     LIST_SENDER},
	    {"smtpd_relay_restrictions", conf->smtpd_relay_restrictions,
	     LIST_RELAY},
	    {"smtpd_recipient_restrictions", conf->smtpd_recipient_restrictions,
	     LIST_RECIPIENT},
	    {"smtpd_etrn_restrictions", conf->smtpd_etrn_restrictions,
	     LIST_ETRN},
	    {"smtpd_data_restrictions", conf->smtpd_data_restrictions,
	     LIST_DATA},
	    {"smtpd_end_of_data_restrictions",
	     conf->smtpd_end_of_data_restrictions, LIST_END_OF_DATA},
	    {"local_header_rewrite_clients", conf->local_header_rewrite_clients,
	     LIST_REWRITE},
	};
	struct strvec classes = STRVEC_INIT;

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		check_list(lists[i].name, lists[i].text, lists[i].kind, errors);
	strvec_split(&classes, span_of(conf->smtpd_restriction_classes),
		     ", \t\r\n", false);
	for (size_t i = 0; i < classes.n; i++) {
		const char *text = conf_get(classes.v[i]);

		if (text)
			check_list(classes.v[i], text, LIST_RECIPIENT, errors);
	}
	strvec_free(&classes);
}
