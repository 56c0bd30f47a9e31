/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_action.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_proxy.h"

/* ---- status codes in tables ---- */

/*
 * A table may serve clients, senders and recipients: an address status (x.1.y)
 * is made to fit what was looked up.
 */
static void
adapt_dsn(char dsn[DSN_CODE_MAX], enum rule_list_kind kind)
{
	static const char *const sender[] = {"0", "7", "8", "7", "7",
					     "0", "7", "7", "8"};
	static const char *const rcpt[] = {"0", "1", "2", "3", "4",
					   "5", "6", "3", "2"};
	int detail;

	if (strncmp(dsn + 1, ".1.", 3) || dsn[4] < '0' || dsn[4] > '8' ||
	    dsn[5])
		return;
	detail = dsn[4] - '0';
	if (kind == LIST_SENDER)
		snprintf(dsn + 1, DSN_CODE_MAX - 1, ".1.%s", sender[detail]);
	else if (kind == LIST_RECIPIENT)
		snprintf(dsn + 1, DSN_CODE_MAX - 1, ".1.%s", rcpt[detail]);
	else
		snprintf(dsn + 1, DSN_CODE_MAX - 1, ".0.0");
}

/* Where the action comes from, for messages. */
static const char *
source_of(const struct lookup *l)
{
	return l->source ? l->source : table_spec(l->table);
}

/* Returns the text behind the status. */
static struct span
take_status(int code, struct span text, enum rule_list_kind kind,
	    const char *dflt, char dsn[DSN_CODE_MAX])
{
	text = dsn_split(text, code / 100 == 4 ? "4.7.1" : "5.7.1", dsn);
	/* The reply code decides: 450 5.1.2 is no status. */
	dsn[0] = code / 100 == 4 ? '4' : '5';
	adapt_dsn(dsn, kind);
	return text.len ? text : span_of(dflt);
}

void
smtpd_action_set_reply(struct why *why, int code, struct span text,
		       enum rule_list_kind kind, const char *dflt)
{
	char dsn[DSN_CODE_MAX];

	text = take_status(code, text, kind, dflt, dsn);
	why_set_code(why, code, dsn, "%.*s", SPAN_ARG(text));
}

static void
set_reply(struct lookup *l, int code, struct span text, const char *dflt,
	  struct why *why)
{
	char dsn[DSN_CODE_MAX];

	text = take_status(code, text, l->about.kind, dflt, dsn);
	why_set_code(why, code, dsn, "<%s>: %s rejected: %.*s", l->about.value,
		     l->about.name, SPAN_ARG(text));
}

/* ---- actions ---- */

typedef enum verdict (*action_fn)(struct lookup *l, struct span text,
				  struct why *why);

static void
log_permit(struct lookup *l, struct span word)
{
	char *action = mem_strndup(word.data, word.len);
	char *from = mem_sprintf("from %s", source_of(l));

	smtpd_permit_log(l->s, action, &l->about, from);
	free(action);
	free(from);
}

static enum verdict
act_ok(struct lookup *l, struct span text, struct why *why)
{
	(void)l, (void)text, (void)why;
	return VERDICT_OK;
}

static enum verdict
act_dunno(struct lookup *l, struct span text, struct why *why)
{
	(void)l, (void)text, (void)why;
	return VERDICT_DUNNO;
}

static enum verdict
act_reject(struct lookup *l, struct span text, struct why *why)
{
	set_reply(l, conf->access_map_reject_code, text, "Access denied", why);
	return VERDICT_REJECT;
}

static enum verdict
act_defer(struct lookup *l, struct span text, struct why *why)
{
	set_reply(l, conf->access_map_defer_code, text, "Access denied", why);
	return VERDICT_REJECT;
}

static enum verdict
act_defer_if_permit(struct lookup *l, struct span text, struct why *why)
{
	set_reply(l, conf->access_map_defer_code, text, "Service unavailable",
		  why);
	rule_defer_if(l->s, &l->s->defer_if_permit, why);
	return VERDICT_DUNNO;
}

static enum verdict
act_defer_if_reject(struct lookup *l, struct span text, struct why *why)
{
	set_reply(l, conf->access_map_defer_code, text, "Service unavailable",
		  why);
	rule_defer_if(l->s, &l->s->defer_if_reject, why);
	return VERDICT_DUNNO;
}

/* "<a@b>: Sender address TEXT", or "... triggers WORD action". */
static void
log_about(struct lookup *l, const char *what, const char *word,
	  struct span text)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "<%s>: %s ", l->about.value, l->about.name);
	if (text.len)
		buf_append_span(&line, text);
	else
		buf_printf(&line, "triggers %s action", word);
	smtpd_log_action(l->s, what, buf_span(&line));
	buf_free(&line);
}

/* There is no transaction yet that could be acted upon. */
static bool
too_early(struct lookup *l, const char *word)
{
	if (conf->smtpd_delay_reject || l->s->mail.active)
		return false;
	log_warn("access table %s: with smtpd_delay_reject=no, action %s is "
		 "always skipped in Client host or Helo command restrictions",
		 source_of(l), word);
	return true;
}

static enum verdict
act_hold(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "HOLD"))
		return VERDICT_DUNNO;
	if (!l->s->mail.hold)
		log_about(l, "hold", "HOLD", text);
	l->s->mail.hold = true;
	return VERDICT_DUNNO;
}

static enum verdict
act_discard(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "DISCARD"))
		return VERDICT_DUNNO;
	log_about(l, "discard", "DISCARD", text);
	log_permit(l, span_of("DISCARD"));
	l->s->mail.discard = true;
	return VERDICT_OK;
}

static void
log_triggers(struct lookup *l, const char *what, const char *word,
	     struct span text)
{
	char *triggers = mem_sprintf("triggers %s %.*s", word, SPAN_ARG(text));

	log_about(l, what, word, span_of(triggers));
	free(triggers);
}

/* An entry that makes no sense has no effect. */
static enum verdict
bad_entry(struct lookup *l, const char *what)
{
	log_warn("access table %s entry \"%s\" %s", source_of(l),
		 buf_cstr(&l->key), what);
	return VERDICT_DUNNO;
}

static enum verdict
act_redirect(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "REDIRECT"))
		return VERDICT_DUNNO;
	if (addr_at(text) < 0)
		return bad_entry(l, "requires user@domain target");
	log_triggers(l, "redirect", "REDIRECT", text);
	buf_set(&l->s->mail.redirect, text);
	return VERDICT_DUNNO;
}

static enum verdict
act_bcc(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "BCC"))
		return VERDICT_DUNNO;
	if (addr_at(text) < 0)
		return bad_entry(l, "requires user@domain target");
	log_triggers(l, "bcc", "BCC", text);
	strvec_reset(&l->s->mail.bcc);
	strvec_add_span(&l->s->mail.bcc, text);
	return VERDICT_DUNNO;
}

static enum verdict
act_filter(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "FILTER"))
		return VERDICT_DUNNO;
	if (text.len == 0)
		return bad_entry(l, "has FILTER entry without value");
	if (span_find(text, ':') < 0)
		return bad_entry(l, "requires transport:destination");
	log_triggers(l, "filter", "FILTER", text);
	buf_set(&l->s->mail.filter, text);
	return VERDICT_DUNNO;
}

enum { PREPEND_MAX = 100 };

/* "Name: ..." of RFC 5322 section 2.2, on one line. */
static bool
is_header(struct span text)
{
	long colon = span_find(text, ':');

	for (long i = 0; i < colon; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~')
			return false;
	return colon > 0 && span_find(text, '\n') < 0;
}

static enum verdict
act_prepend(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	if (too_early(l, "PREPEND"))
		return VERDICT_DUNNO;
	if (!strcmp(l->s->where, "END-OF-MESSAGE")) {
		log_warn("access table %s: action PREPEND must be used before "
			 "smtpd_end_of_data_restrictions",
			 source_of(l));
		return VERDICT_DUNNO;
	}
	if (!is_header(text))
		return bad_entry(l, "requires header: text");
	if (l->s->mail.prepend.n < PREPEND_MAX)
		strvec_add_span(&l->s->mail.prepend, text);
	return VERDICT_DUNNO;
}

static enum verdict
act_info(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	smtpd_log_action(l->s, "info", text);
	return VERDICT_DUNNO;
}

static enum verdict
act_warn(struct lookup *l, struct span text, struct why *why)
{
	(void)why;
	smtpd_log_action(l->s, "warn", text);
	return VERDICT_DUNNO;
}

static const struct {
	const char *word;
	action_fn fn;
} actions[] = {
    {"OK", act_ok},
    {"RELAY", act_ok},
    {"DUNNO", act_dunno},
    {"REJECT", act_reject},
    {"DEFER", act_defer},
    {"DEFER_IF_PERMIT", act_defer_if_permit},
    {"DEFER_IF_REJECT", act_defer_if_reject},
    {"HOLD", act_hold},
    {"DISCARD", act_discard},
    {"REDIRECT", act_redirect},
    {"BCC", act_bcc},
    {"FILTER", act_filter},
    {"PREPEND", act_prepend},
    {"INFO", act_info},
    {"WARN", act_warn},
};

static bool
all_digits(struct span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!isdigit((unsigned char)s.data[i]))
			return false;
	return s.len > 0;
}

/* "550 text", "450 4.7.1 text". */
static int
reply_code(struct span word)
{
	if (word.len != 3 || !all_digits(word) ||
	    (word.data[0] != '4' && word.data[0] != '5'))
		return 0;
	return (word.data[0] - '0') * 100 + (word.data[1] - '0') * 10 +
	       (word.data[2] - '0');
}

/* Anything else is a list of restrictions, or a class. */
static enum verdict
act_restrictions(struct lookup *l, struct why *why)
{
	struct rule_list *rules;
	enum verdict v;

	if (l->s->access_depth >= RULE_DEPTH_MAX) {
		log_warn("access table %s: too deep nesting of restrictions",
			 source_of(l));
		return rule_config_error(l->s, why);
	}
	rules = smtpd_rules_compile_result(source_of(l), buf_cstr(&l->value));
	if (!rules)
		return rule_config_error(l->s, why);
	l->s->access_depth++;
	v = smtpd_rules_run(l->s, rules, &l->about, why, 0);
	l->s->access_depth--;
	smtpd_rules_free(rules);
	return v;
}

/* What only the way to the queue can do, not a filter in between. */
static bool
is_beyond_filter(struct lookup *l, struct span word)
{
	static const char *const words[] = {"HOLD", "DISCARD", "REDIRECT",
					    "BCC", "FILTER"};

	if (!smtpd_proxy_is_on(l->s))
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_equal_cstr_nocase(word, words[i])) {
			log_warn("access table %s: with smtpd_proxy_filter "
				 "specified, action %s is unavailable",
				 table_spec(l->table), words[i]);
			return true;
		}
	return false;
}

enum verdict
smtpd_action_run(struct lookup *l, struct why *why)
{
	struct span value = span_trim(buf_span(&l->value)), rest = value, word;
	int code;

	if (!span_next_token(&rest, " \t", &word)) {
		log_warn("access table %s entry %s has empty value",
			 source_of(l), l->source ? "" : buf_cstr(&l->key));
		return VERDICT_DUNNO;
	}
	rest = span_trim(rest);
	if (is_beyond_filter(l, word))
		return VERDICT_DUNNO;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
		if (span_equal_cstr_nocase(word, actions[i].word)) {
			if (actions[i].fn == act_ok)
				log_permit(l, word);
			return actions[i].fn(l, rest, why);
		}
	if (all_digits(value)) {
		log_permit(l, value);
		return VERDICT_OK;
	}
	code = reply_code(word);
	if (code) {
		set_reply(l, code, rest, "Access denied", why);
		return VERDICT_REJECT;
	}
	return act_restrictions(l, why);
}
