/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_access.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_dns.h"
#include "smtpd/smtpd_dnsxl.h"
#include "smtpd/smtpd_rules.h"

static struct rule_list *lists[LIST_COUNT];
static struct match_list *logged_permits;

/* Some rule must stop mail for everybody from everybody. */
static void
require_relay_guard(void)
{
	if (smtpd_rules_guard_relay(lists[LIST_RELAY]) ||
	    smtpd_rules_guard_relay(lists[LIST_RECIPIENT]))
		return;
	log_fatal("in parameter smtpd_relay_restrictions or "
		  "smtpd_recipient_restrictions, specify at least one working "
		  "instance of: reject_unauth_destination, "
		  "defer_unauth_destination, reject, defer, defer_if_permit or "
		  "check_relay_domains");
}

void
smtpd_access_open(void)
{
	const struct {
		const char *name, *text;
	} params[LIST_COUNT] = {
	    [LIST_CLIENT] = {"smtpd_client_restrictions",
			     conf->smtpd_client_restrictions},
	    [LIST_HELO] = {"smtpd_helo_restrictions",
			   conf->smtpd_helo_restrictions},
	    [LIST_SENDER] = {"smtpd_sender_restrictions",
			     conf->smtpd_sender_restrictions},
	    [LIST_RELAY] = {"smtpd_relay_restrictions",
			    conf->smtpd_relay_restrictions},
	    [LIST_RECIPIENT] = {"smtpd_recipient_restrictions",
				conf->smtpd_recipient_restrictions},
	    [LIST_ETRN] = {"smtpd_etrn_restrictions",
			   conf->smtpd_etrn_restrictions},
	    [LIST_DATA] = {"smtpd_data_restrictions",
			   conf->smtpd_data_restrictions},
	    [LIST_END_OF_DATA] = {"smtpd_end_of_data_restrictions",
				  conf->smtpd_end_of_data_restrictions},
	};

	smtpd_checks_open();
	smtpd_backup_open();
	smtpd_dns_open();
	smtpd_dnsxl_open();
	smtpd_permit_open();
	smtpd_checks_sasl_open();
	for (size_t i = 0; i < LIST_COUNT; i++)
		lists[i] =
		    smtpd_rules_compile(params[i].name, params[i].text, i);
	require_relay_guard();
}

/* ---- the log ---- */

void
smtpd_permit_open(void)
{
	logged_permits = match_list_open("smtpd_log_access_permit_actions",
					 conf->smtpd_log_access_permit_actions,
					 MATCH_STRING, 0);
}

void
smtpd_permit_log(struct smtpd *s, const char *action,
		 const struct subject *about, const char *from)
{
	struct buf text = BUF_INIT;
	struct why why = WHY_INIT;

	if (logged_permits && match_list_has(logged_permits, span_of(action),
					     &why) == TABLE_FOUND) {
		buf_printf(&text, "action=%s for %s=%s %s", action, about->name,
			   about->value, from);
		smtpd_log_action(s, "permit", buf_span(&text));
	}
	buf_free(&text);
	why_free(&why);
}

static struct subject subject_of(struct smtpd *s, enum rule_list_kind kind);

/* A permit that came out of a table was logged with the table. */
static void
log_permit(struct smtpd *s, const struct rule *r, const struct subject *about)
{
	struct subject of = *about;

	if (r->def->arg == ARG_TABLE || r->def->arg == ARG_ANY ||
	    about->kind == LIST_REWRITE)
		return;
	if (r->def->flags & KNOW_RECIPIENT)
		of = subject_of(s, LIST_RECIPIENT);
	else if (r->row->fn != check_permit)
		of = subject_of(s, LIST_CLIENT);
	smtpd_permit_log(s, r->def->name, &of, "");
}

/* ---- evaluation ---- */

static bool
known(const struct smtpd *s, unsigned flags)
{
	return (!(flags & KNOW_HELO) || s->helo.len) &&
	       (!(flags & KNOW_SENDER) || s->mail.active) &&
	       (!(flags & KNOW_RECIPIENT) || s->recipient.len);
}

static enum verdict
run_rule(struct smtpd *s, const struct rule *r, const struct subject *about,
	 struct why *why, int depth)
{
	enum verdict v = VERDICT_DUNNO;

	if (r->class) {
		if (depth >= RULE_DEPTH_MAX) {
			log_warn("restriction class %s: too deep nesting",
				 r->class->name);
			return rule_config_error(s, why);
		}
		return smtpd_rules_run(s, r->class, about, why, depth + 1);
	}
	if (known(s, r->def->flags))
		v = r->row->fn(s, r, about, why);
	if (v == VERDICT_OK)
		log_permit(s, r, about);
	if (v == VERDICT_REJECT && s->warn_if_reject && !s->config_error) {
		smtpd_log_reject(s, "reject_warning", why);
		v = VERDICT_DUNNO;
	}
	return v;
}

static bool
is_final(const struct rule *r)
{
	return r->row->fn == check_permit || r->row->fn == check_reject ||
	       r->row->fn == check_defer;
}

static const char *
rule_name(const struct rule *r)
{
	return r->class ? r->class->name : r->def->name;
}

enum verdict
smtpd_rules_run(struct smtpd *s, const struct rule_list *l,
		const struct subject *about, struct why *why, int depth)
{
	enum verdict v = VERDICT_DUNNO;
	unsigned warn_before = s->warn_if_reject;

	for (size_t i = 0; i < l->n && v == VERDICT_DUNNO; i++) {
		const struct rule *r = &l->v[i];

		if (!r->class && r->row->fn == check_warn_if_reject) {
			s->warn_if_reject++;
			continue;
		}
		v = run_rule(s, r, about, why, depth);
		if (v != VERDICT_DUNNO && i + 1 < l->n && is_final(r))
			log_warn("restriction `%s' after `%s' is ignored",
				 rule_name(&l->v[i + 1]), r->def->name);
		s->warn_if_reject = warn_before;
		if (s->mail.discard)
			v = VERDICT_OK;
	}
	s->warn_if_reject = warn_before;
	return v;
}

void
rule_set_why(struct why *why, int code, const char *detail, const char *fmt,
	     ...)
{
	struct buf text = BUF_INIT;
	char dsn[DSN_CODE_MAX];
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	snprintf(dsn, sizeof(dsn), "%d.%s", code / 100 == 4 ? 4 : 5, detail);
	why_set_code(why, code, dsn, "%s", buf_cstr(&text));
	buf_free(&text);
}

enum verdict
rule_config_error(struct smtpd *s, struct why *why)
{
	s->config_error = true;
	why_set_code(why, 451, "4.3.5", "Server configuration error");
	return VERDICT_REJECT;
}

enum verdict
rule_table_retry(struct smtpd *s, const char *value, struct why *why)
{
	(void)s;
	if (why->text.len)
		log_warn("%s", buf_cstr(&why->text));
	why_set_code(why, 451, "4.3.0", "<%s>: Temporary lookup failure",
		     value);
	return VERDICT_REJECT;
}

void
rule_defer_if(struct smtpd *s, struct why *slot, const struct why *why)
{
	if (s->warn_if_reject && slot == &s->defer_if_permit)
		smtpd_log_reject(s, "reject_warning", why);
	else if (!why_is_set(slot))
		why_copy(slot, why);
}

static struct subject
subject_of(struct smtpd *s, enum rule_list_kind kind)
{
	switch (kind) {
	case LIST_CLIENT:
		return (struct subject){buf_cstr(&s->peer.namaddr),
					"Client host", kind};
	case LIST_HELO:
		return (struct subject){buf_cstr(&s->helo), "Helo command",
					kind};
	case LIST_SENDER:
		return (struct subject){buf_cstr(&s->mail.sender),
					"Sender address", kind};
	case LIST_ETRN:
		return (struct subject){buf_cstr(&s->etrn_domain),
					"Etrn command", kind};
	case LIST_DATA:
		return (struct subject){"DATA", "Data command", kind};
	case LIST_END_OF_DATA:
		return (struct subject){"END-OF-MESSAGE", "End-of-data", kind};
	default:
		return (struct subject){buf_cstr(&s->recipient),
					"Recipient address", kind};
	}
}

static bool
permits(struct smtpd *s, enum rule_list_kind kind, struct why *why)
{
	struct subject about = subject_of(s, kind);

	if (s->mail.discard)
		return true;
	/* What one list puts off for a refusal is no matter of the next; the
	 * two lists for a recipient are one. */
	if (kind < LIST_RELAY)
		why_reset(&s->defer_if_reject);
	return smtpd_rules_run(s, lists[kind], &about, why, 0) !=
	       VERDICT_REJECT;
}

static void
start(struct smtpd *s)
{
	why_reset(&s->defer_if_permit);
	why_reset(&s->defer_if_reject);
	s->warn_if_reject = 0;
	s->config_error = false;
}

/*
 * Without smtpd_delay_reject each step goes on with what the one before put
 * off, until a recipient is there to be refused.
 */
static void
resume(struct smtpd *s, enum smtpd_step after)
{
	start(s);
	if (conf->smtpd_delay_reject)
		return;
	why_copy(&s->defer_if_permit, &s->put_off[after]);
}

/* A step skipped by the client leaves what the one before left. */
static void
put_off(struct smtpd *s, enum smtpd_step step)
{
	for (; step < SMTPD_STEPS; step++)
		why_copy(&s->put_off[step], &s->defer_if_permit);
}

/* What the client is told, in view of what was put off. */
static bool
conclude(struct smtpd *s, bool permitted, struct why *why)
{
	if (permitted && (s->mail.discard || !why_is_set(&s->defer_if_permit)))
		return true;
	if (permitted)
		why_copy(why, &s->defer_if_permit);
	else if (why_class(why) == WHY_BOUNCE &&
		 why_is_set(&s->defer_if_reject))
		why_copy(why, &s->defer_if_reject);
	smtpd_log_reject(s, "reject", why);
	return false;
}

/* The same before there is a recipient. */
static bool
conclude_step(struct smtpd *s, enum smtpd_step step, bool permitted,
	      struct why *why)
{
	if (!permitted)
		return conclude(s, false, why);
	put_off(s, step);
	return true;
}

/* ---- the steps ---- */

bool
smtpd_access_connect(struct smtpd *s, struct why *why)
{
	if (conf->smtpd_delay_reject)
		return true;
	start(s);
	return conclude_step(s, SMTPD_CONNECT, permits(s, LIST_CLIENT, why),
			     why);
}

bool
smtpd_access_helo(struct smtpd *s, struct why *why)
{
	if (conf->smtpd_delay_reject)
		return true;
	resume(s, SMTPD_CONNECT);
	return conclude_step(s, SMTPD_HELO, permits(s, LIST_HELO, why), why);
}

static bool
sender_permitted(struct smtpd *s, struct why *why)
{
	struct subject about = subject_of(s, LIST_SENDER);

	if (!permits(s, LIST_SENDER, why))
		return false;
	return s->mail.discard || !conf->smtpd_reject_unlisted_sender ||
	       !s->mail.active ||
	       check_unlisted_sender(s, NULL, &about, why) != VERDICT_REJECT;
}

bool
smtpd_access_mail(struct smtpd *s, struct why *why)
{
	if (conf->smtpd_delay_reject)
		return true;
	resume(s, SMTPD_HELO);
	return conclude_step(s, SMTPD_MAIL, sender_permitted(s, why), why);
}

static bool
earlier_permitted(struct smtpd *s, struct why *why)
{
	if (!conf->smtpd_delay_reject)
		return true;
	return permits(s, LIST_CLIENT, why) &&
	       (s->helo.len == 0 || permits(s, LIST_HELO, why)) &&
	       (!s->mail.active || sender_permitted(s, why));
}

static bool
recipient_permitted(struct smtpd *s, struct why *why)
{
	bool relay_first = conf->smtpd_relay_before_recipient_restrictions;

	why_reset(&s->defer_if_reject);
	return permits(s, relay_first ? LIST_RELAY : LIST_RECIPIENT, why) &&
	       permits(s, relay_first ? LIST_RECIPIENT : LIST_RELAY, why);
}

/* What was put off comes first: an unknown recipient is no reason to tell a
 * client more than it would be told otherwise. */
static bool
recipient_listed(struct smtpd *s, struct why *why)
{
	struct subject about = subject_of(s, LIST_RECIPIENT);

	if (s->mail.discard || !conf->smtpd_reject_unlisted_recipient ||
	    check_unlisted_recipient(s, NULL, &about, why) != VERDICT_REJECT)
		return true;
	return conclude(s, false, why);
}

bool
smtpd_access_rcpt(struct smtpd *s, struct why *why)
{
	bool permitted;

	/* RFC 5321 section 4.5.1: whom a host that is refused writes to. */
	if (span_equal_cstr_nocase(buf_span(&s->recipient), "postmaster"))
		return true;
	resume(s, s->mail.active ? SMTPD_MAIL : SMTPD_HELO);
	permitted = earlier_permitted(s, why) && recipient_permitted(s, why);
	return conclude(s, permitted, why) && recipient_listed(s, why);
}

bool
smtpd_access_vrfy(struct smtpd *s, struct why *why)
{
	return smtpd_access_rcpt(s, why);
}

bool
smtpd_access_etrn(struct smtpd *s, struct why *why)
{
	start(s);
	return conclude(
	    s, earlier_permitted(s, why) && permits(s, LIST_ETRN, why), why);
}

bool
smtpd_access_data(struct smtpd *s, struct why *why)
{
	start(s);
	return conclude(s, permits(s, LIST_DATA, why), why);
}

bool
smtpd_access_end_of_data(struct smtpd *s, struct why *why)
{
	start(s);
	return conclude(s, permits(s, LIST_END_OF_DATA, why), why);
}
