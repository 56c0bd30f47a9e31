/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_limits.h"

#include <stdio.h>
#include <time.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/io.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_chat.h"

enum { ENTRIES = 16384, TIMER_MIN_USEC = 1000000 };

static struct rate_table *table;
static struct match_list *exceptions;

void
smtpd_limits_open(void)
{
	table = rate_table_new(ENTRIES, service_slot_count(),
			       conf->anvil_rate_time_unit);
	exceptions = match_list_open(
	    "smtpd_client_event_limit_exceptions",
	    conf->smtpd_client_event_limit_exceptions, MATCH_HOST,
	    conf_list_has(conf->parent_domain_matches_subdomains,
			  "smtpd_client_event_limit_exceptions")
		? MATCH_PARENT
		: 0);
}

/* ---- the parent ---- */

void
smtpd_limits_worker_gone(int slot)
{
	if (table)
		rate_disconnected(table, slot);
}

int64_t
smtpd_limits_linger(void)
{
	/* The number of connections needs no memory of those that ended. */
	if (conf->smtpd_client_connection_rate_limit <= 0 &&
	    conf->smtpd_client_message_rate_limit <= 0 &&
	    conf->smtpd_client_recipient_rate_limit <= 0 &&
	    conf->smtpd_client_new_tls_session_rate_limit <= 0 &&
	    conf->smtpd_client_auth_rate_limit <= 0)
		return 0;
	return conf->anvil_rate_time_unit;
}

static void
format_when(time_t when, char out[32])
{
	struct tm tm;

	localtime_r(&when, &tm);
	strftime(out, 32, "%b %e %H:%M:%S", &tm);
}

/* value is "4/60s" or "4". */
static void
log_peak(const char *what, const struct rate_peak *p, bool per_unit)
{
	char when[32], addr[RATE_KEY_TEXT], value[48];

	if (p->value == 0)
		return;
	format_when(p->when, when);
	rate_key_format(&p->key, addr);
	if (per_unit)
		snprintf(value, sizeof(value), "%d/%llds", p->value,
			 (long long)(conf->anvil_rate_time_unit / 1000000));
	else
		snprintf(value, sizeof(value), "%d", p->value);
	log_info_as("anvil", "statistics: max %s %s for (%s:%s) at %s", what,
		    value, service_name(), addr, when);
}

/* Postfix's anvil(8) writes these lines, and log analysers count them. */
static void
log_statistics(void)
{
	struct rate_peaks p;
	char when[32];

	rate_take_peaks(table, &p);
	log_peak("connection rate", &p.rate[RATE_CONNECT], true);
	log_peak("connection count", &p.connections, false);
	log_peak("message rate", &p.rate[RATE_MAIL], true);
	log_peak("recipient rate", &p.rate[RATE_RCPT], true);
	log_peak("newtls rate", &p.rate[RATE_NEW_TLS], true);
	log_peak("auth rate", &p.rate[RATE_AUTH], true);
	if (p.entries == 0)
		return;
	format_when(p.entries_when, when);
	log_info_as("anvil", "statistics: max cache size %d at %s", p.entries,
		    when);
}

int64_t
smtpd_limits_timer(int64_t now)
{
	static int64_t next;
	int64_t unit = conf->anvil_rate_time_unit;

	if (!table)
		return INT64_MAX;
	if (next == 0)
		next = now + conf->anvil_status_update_time;
	rate_sweep(table, now);
	if (now >= next) {
		log_statistics();
		next = now + conf->anvil_status_update_time;
	}
	if (unit < TIMER_MIN_USEC)
		unit = TIMER_MIN_USEC;
	return now + unit < next ? now + unit : next;
}

/* ---- the sessions ---- */

static bool
is_exempt(struct smtpd *s)
{
	struct why why = WHY_INIT;
	enum table_status st = match_list_has_host(
	    exceptions, buf_cstr(&s->peer.name), buf_cstr(&s->peer.addr), &why);

	/* A list that cannot tell must not let everybody in. */
	why_free(&why);
	return st == TABLE_FOUND;
}

static void
warn_exceeded(const struct smtpd *s, const char *what, int n)
{
	log_warn("%s limit exceeded: %d from %s for service %s", what, n,
		 buf_cstr(&s->peer.namaddr), service_name());
}

bool
smtpd_limits_connect(struct smtpd *s)
{
	int count_limit = conf->smtpd_client_connection_count_limit;
	int rate_limit = conf->smtpd_client_connection_rate_limit;
	int count, rate;

	s->counted =
	    table && !s->standalone &&
	    rate_key_parse(buf_cstr(&s->peer.addr),
			   conf->smtpd_client_ipv4_prefix_length,
			   conf->smtpd_client_ipv6_prefix_length, &s->client) &&
	    !is_exempt(s);
	if (!s->counted || (count_limit <= 0 && rate_limit <= 0))
		return true;
	count = rate_connected(table, service_slot(), &s->client);
	rate = rate_add(table, &s->client, RATE_CONNECT, io_monotonic());
	if (count_limit > 0 && count > count_limit)
		warn_exceeded(s, "Connection concurrency", count);
	else if (rate_limit > 0 && rate > rate_limit)
		warn_exceeded(s, "Connection rate", rate);
	else
		return true;
	smtpd_reply(s, "421 4.7.0 %s Error: too many connections from %s",
		    conf->myhostname, buf_cstr(&s->peer.addr));
	return false;
}

void
smtpd_limits_disconnect(struct smtpd *s)
{
	if (s->counted)
		rate_disconnected(table, service_slot());
}

static bool
within(struct smtpd *s, enum rate_kind kind, int limit, const char *what)
{
	int n;

	if (!s->counted || limit <= 0)
		return true;
	n = rate_add(table, &s->client, kind, io_monotonic());
	if (n <= limit)
		return true;
	warn_exceeded(s, what, n);
	return false;
}

bool
smtpd_limits_mail(struct smtpd *s)
{
	if (within(s, RATE_MAIL, conf->smtpd_client_message_rate_limit,
		   "Message delivery request rate"))
		return true;
	smtpd_reply(s, "450 4.7.1 Error: too much mail from %s",
		    buf_cstr(&s->peer.addr));
	return false;
}

bool
smtpd_limits_rcpt(struct smtpd *s)
{
	if (within(s, RATE_RCPT, conf->smtpd_client_recipient_rate_limit,
		   "Recipient address rate"))
		return true;
	smtpd_reply(s, "450 4.7.1 Error: too many recipients from %s",
		    buf_cstr(&s->peer.addr));
	return false;
}

bool
smtpd_limits_auth(struct smtpd *s)
{
	if (within(s, RATE_AUTH, conf->smtpd_client_auth_rate_limit,
		   "AUTH command rate"))
		return true;
	smtpd_reply(s, "450 4.7.1 Error: too many AUTH commands from %s",
		    buf_cstr(&s->peer.addr));
	return false;
}

bool
smtpd_limits_starttls(struct smtpd *s)
{
	int limit = conf->smtpd_client_new_tls_session_rate_limit;
	int n;

	if (!s->counted || limit <= 0)
		return true;
	n = rate_get(table, &s->client, RATE_NEW_TLS, io_monotonic());
	if (n <= limit)
		return true;
	log_warn("Refusing STARTTLS request from %s for service %s",
		 buf_cstr(&s->peer.namaddr), service_name());
	smtpd_reply(s, "454 4.7.0 Error: too many new TLS sessions from %s",
		    buf_cstr(&s->peer.namaddr));
	return false;
}

bool
smtpd_limits_new_tls(struct smtpd *s)
{
	if (within(s, RATE_NEW_TLS,
		   conf->smtpd_client_new_tls_session_rate_limit,
		   "New TLS session rate"))
		return true;
	smtpd_reply(s, "421 4.7.0 %s Error: too many new TLS sessions from %s",
		    conf->myhostname, buf_cstr(&s->peer.namaddr));
	return false;
}
