/* SPDX-License-Identifier: MIT */
/*
 * smtpd_rules - restriction lists as data. lib/smtp/restriction.c has a row
 * for each restriction that main.cf may name, smtpd_rules.c the function of
 * each; adding one is adding a row to both, and the function.
 */
#ifndef SMTPD_RULES_H
#define SMTPD_RULES_H

#include "lib/smtp/restriction.h"
#include "lib/table/match_list.h"
#include "lib/table/table.h"
#include "smtpd/smtpd_state.h"

enum verdict {
	VERDICT_DUNNO,  /* no opinion: ask the next */
	VERDICT_OK,     /* this list is done */
	VERDICT_REJECT, /* why is the reply, temporary or permanent */
};

/* What a refusal is about: "<value>: NAME rejected: text". */
struct subject {
	const char *value;
	const char *name;
	enum rule_list_kind kind;
};

struct rule;
typedef enum verdict (*rule_fn)(struct smtpd *s, const struct rule *r,
				const struct subject *about, struct why *why);

/* What a name does. The facts about the name are in restriction. */
struct rule_row {
	const char *name;
	rule_fn fn; /* NULL: not available */
	int value;  /* for fn */
};

struct rule_list;

/* check_ccert_access: what is looked up, in order. */
enum ccert_key {
	CCERT_NONE,
	CCERT_CERT,
	CCERT_PUBKEY,
};

enum { CCERT_KEYS = 2 };

struct rule {
	const struct restriction *def;
	const struct rule_row *row;
	struct table *table;
	int seconds;
	enum ccert_key ccert_keys[CCERT_KEYS];
	char *domain;                  /* of a DNS list */
	char *spec;                    /* the same with its filter */
	struct dnsxl_filter *filter;   /* NULL: any answer counts */
	struct policy *policy;         /* check_policy_service */
	const struct rule_list *class; /* a restriction class: its rules */
};

struct rule_list {
	const char *name; /* parameter */
	struct rule *v;
	size_t n;
};

enum { RULE_DEPTH_MAX = 16 };

/*
 * Compile a parameter's text. Problems are fatal when text comes from
 * main.cf.
 */
struct rule_list *smtpd_rules_compile(const char *param, const char *text,
				      enum rule_list_kind kind);
/*
 * Compile the right-hand side of an access table, which may not name tables.
 * NULL: logged. Free with smtpd_rules_free().
 */
struct rule_list *smtpd_rules_compile_result(const char *table,
					     const char *text);
void smtpd_rules_free(struct rule_list *l);
bool smtpd_rules_guard_relay(const struct rule_list *l);

enum verdict smtpd_rules_run(struct smtpd *s, const struct rule_list *l,
			     const struct subject *about, struct why *why,
			     int depth);

/* ---- helpers for the functions of the rows ---- */

/* Fill why: detail is "7.1"; its class comes from code. */
void rule_set_why(struct why *why, int code, const char *detail,
		  const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The same as a verdict: logs and goes on when warn_if_reject is in force. */
enum verdict rule_reject(struct smtpd *s, struct why *why);
/* "451 4.3.5 Server configuration error". */
enum verdict rule_config_error(struct smtpd *s, struct why *why);
/* A table could not answer. */
enum verdict rule_table_retry(struct smtpd *s, const char *value,
			      struct why *why);
/* Remember why: refuse later if everything else permits (rejects). With
 * warn_if_reject the first is only logged. */
void rule_defer_if(struct smtpd *s, struct why *slot, const struct why *why);

/* ---- rows: smtpd_checks*.c, smtpd_map.c ---- */

#define RULE_FN(name)                                            \
	enum verdict name(struct smtpd *s, const struct rule *r, \
			  const struct subject *about, struct why *why)

RULE_FN(check_permit);
RULE_FN(check_reject);
RULE_FN(check_defer);
RULE_FN(check_warn_if_reject);
RULE_FN(check_defer_if_permit);
RULE_FN(check_defer_if_reject);
RULE_FN(check_sleep);
RULE_FN(check_mynetworks);
RULE_FN(check_inet_interfaces);
RULE_FN(check_permit_auth_destination);
RULE_FN(check_unauth_destination); /* value: reject or defer code */
RULE_FN(check_unlisted_sender);
RULE_FN(check_unlisted_recipient);
RULE_FN(check_non_fqdn_helo);
RULE_FN(check_non_fqdn_sender);
RULE_FN(check_non_fqdn_recipient);
RULE_FN(check_invalid_helo);
RULE_FN(check_unauth_pipelining);
RULE_FN(check_multi_recipient_bounce);
RULE_FN(check_unknown_sender_domain);
RULE_FN(check_unknown_recipient_domain);
RULE_FN(check_unknown_helo);
RULE_FN(check_unknown_client);
RULE_FN(check_unknown_reverse_client);
RULE_FN(check_address_map);
RULE_FN(check_client_map);
RULE_FN(check_reverse_client_map);
RULE_FN(check_helo_map);
RULE_FN(check_sender_map);
RULE_FN(check_recipient_map);
RULE_FN(check_etrn_map);
RULE_FN(check_ccert_map);
RULE_FN(check_clientcerts); /* value: any that is trusted */
RULE_FN(check_plaintext_session);
RULE_FN(check_policy_service);
RULE_FN(check_unverified_sender);
RULE_FN(check_unverified_recipient);
RULE_FN(check_naked_address);
RULE_FN(check_mx_backup);
RULE_FN(check_rbl_client);
RULE_FN(check_maps_rbl);
RULE_FN(check_dnswl_client);
RULE_FN(check_rhswl_client);
RULE_FN(check_rhsbl);  /* value: enum dns_subject */
RULE_FN(check_mx_map); /* likewise */
RULE_FN(check_ns_map);
RULE_FN(check_a_map);
RULE_FN(check_sasl_map);
RULE_FN(check_sasl_authenticated);
RULE_FN(check_sender_login);
RULE_FN(check_auth_sender_login);
RULE_FN(check_unauth_sender_login);
RULE_FN(check_known_sender_login);

/* Whose domain is looked up. */
enum dns_subject {
	DNS_OF_CLIENT,
	DNS_OF_REVERSE_CLIENT,
	DNS_OF_HELO,
	DNS_OF_SENDER,
	DNS_OF_RECIPIENT,
};

/* Open mynetworks; permit_mx_backup_networks. */
void smtpd_checks_open(void);
/* Open relay_clientcerts. */
void smtpd_checks_tls_open(void);
void smtpd_backup_open(void);

/* ---- the log ---- */

/* Open smtpd_log_access_permit_actions. */
void smtpd_permit_open(void);
/* "permit: RCPT from ...: action=NAME for Client host=VALUE FROM", when that
 * parameter wants it. */
void smtpd_permit_log(struct smtpd *s, const char *action,
		      const struct subject *about, const char *from);
/* Open smtpd_sender_login_maps. */
void smtpd_checks_sasl_open(void);

#endif
