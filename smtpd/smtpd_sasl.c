/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_sasl.h"

#include <ctype.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sasl/authn.h"
#include "lib/service/service.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_limits.h"

enum {
	AUTH_STEPS_MAX = 20,
	LOG_NAME_MAX = 100, /* of a name that did not log in */
};

static const char own_server[] = "private/authd";

static bool enabled;
static struct authn_settings settings;
static struct authn_policy clear_policy, tls_policy;
static struct match_list *exceptions, *filter;

/* ---- start ---- */

static void
parse_policy(const char *name, const char *text, struct authn_policy *out)
{
	struct span bad;

	if (!authn_parse_options(span_of(text), out, &bad))
		log_fatal("parameter %s: unknown SASL security option "
			  "\"%.*s\"",
			  name, SPAN_ARG(bad));
}

/* Does Cyrus SASL find something that says how passwords are checked? */
static bool
cyrus_is_set_up(const char *dirs)
{
	struct span rest = span_of(dirs), dir;
	bool found = access("/etc/sasldb2", F_OK) == 0;

	while (!found && span_next_token(&rest, ":", &dir)) {
		char *path =
		    mem_sprintf("%.*s/%s.conf", SPAN_ARG(dir), settings.path);

		found = access(path, F_OK) == 0;
		free(path);
	}
	return found;
}

/* In a chroot, a path below the queue directory is still the same socket. */
static const char *
below_queue(const char *path)
{
	size_t len = strlen(conf->queue_directory);

	if (!strncmp(path, conf->queue_directory, len) && path[len] == '/')
		return path + len + 1;
	return path;
}

/*
 * authd(8) answers when nothing else is there: in the place of Dovecot's
 * usual socket, and of a Cyrus SASL that has no configuration.
 */
static void
choose_back_end(void)
{
	settings.type = conf->smtpd_sasl_type;
	settings.path = conf->smtpd_sasl_path;
	settings.config_path = conf->cyrus_sasl_config_path;
	if (!*settings.config_path)
		settings.config_path = mem_sprintf(
		    "%s/sasl:/usr/lib/sasl2:/usr/lib/sasl", conf_directory());
	if (!strcmp(settings.type, "dovecot")) {
		settings.path = below_queue(settings.path);
		if (!strcmp(settings.path, "private/auth"))
			settings.fallback = own_server;
	} else if (!strcmp(settings.type, "cyrus") &&
		   !cyrus_is_set_up(settings.config_path)) {
		log_debug("no Cyrus SASL configuration: asking %s", own_server);
		settings.type = "dovecot";
		settings.path = own_server;
	}
}

void
smtpd_sasl_open(void)
{
	struct buf reason = BUF_INIT;

	enabled = conf->smtpd_sasl_auth_enable && !service_standalone();
	if (!enabled)
		return;
	settings.service = conf->smtpd_sasl_service;
	settings.hostname = conf->myhostname;
	settings.realm = conf->smtpd_sasl_local_domain;
	choose_back_end();
	if (!authn_open(&settings, &reason))
		log_fatal("%s", buf_cstr(&reason));
	buf_free(&reason);
	parse_policy("smtpd_sasl_security_options",
		     conf->smtpd_sasl_security_options, &clear_policy);
	parse_policy("smtpd_sasl_tls_security_options",
		     conf->smtpd_sasl_tls_security_options, &tls_policy);
	exceptions = match_list_open(
	    "smtpd_sasl_exceptions_networks",
	    conf->smtpd_sasl_exceptions_networks, MATCH_HOST,
	    conf_list_has(conf->parent_domain_matches_subdomains,
			  "smtpd_sasl_exceptions_networks")
		? MATCH_PARENT
		: 0);
	filter =
	    match_list_open("smtpd_sasl_mechanism_filter",
			    conf->smtpd_sasl_mechanism_filter, MATCH_STRING, 0);
}

bool
smtpd_sasl_enabled(void)
{
	return enabled;
}

/* ---- EHLO ---- */

static struct authn_client
client_of(const struct smtpd *s)
{
	return (struct authn_client){
	    .addr = buf_cstr(&s->peer.addr),
	    .server_addr = buf_cstr(&s->peer.server_addr),
	    .secured = s->tls.active,
	    .policy = s->tls.active ? tls_policy : clear_policy,
	};
}

bool
smtpd_sasl_active(const struct smtpd *s)
{
	return enabled && (!conf->smtpd_tls_auth_only || s->tls.active);
}

static bool
is_exception(struct smtpd *s)
{
	struct why why = WHY_INIT;
	bool found =
	    !match_list_is_empty(exceptions) &&
	    match_list_has_host(exceptions, buf_cstr(&s->peer.name),
				buf_cstr(&s->peer.addr), &why) == TABLE_FOUND;

	why_free(&why);
	return found;
}

/* "PLAIN LOGIN": what the filter leaves of the back end's mechanisms. */
static void
list_mechanisms(struct smtpd *s, struct buf *out)
{
	struct authn_client client = client_of(s);
	struct strvec mechs = STRVEC_INIT;
	struct why why = WHY_INIT;

	authn_mechanisms(&client, &mechs);
	for (size_t i = 0; i < mechs.n; i++) {
		if (!match_list_is_empty(filter) &&
		    match_list_has(filter, span_of(mechs.v[i]), &why) !=
			TABLE_FOUND)
			continue;
		buf_printf(out, "%s%s", out->len ? " " : "", mechs.v[i]);
	}
	if (out->len == 0)
		log_warn("no SASL authentication mechanisms");
	strvec_free(&mechs);
	why_free(&why);
}

void
smtpd_sasl_ehlo(struct smtpd *s, struct strvec *lines)
{
	struct buf mechs = BUF_INIT, line = BUF_INIT;

	if (!smtpd_sasl_active(s) || (s->ehlo_off & EHLO_AUTH) ||
	    is_exception(s))
		return;
	list_mechanisms(s, &mechs);
	if (mechs.len) {
		buf_printf(&line, "AUTH %s", buf_cstr(&mechs));
		strvec_add(lines, buf_cstr(&line));
		/* What some old clients look for. */
		line.data[4] = '=';
		if (conf->broken_sasl_auth_clients)
			strvec_add(lines, buf_cstr(&line));
	}
	buf_free(&mechs);
	buf_free(&line);
}

/* ---- AUTH ---- */

static void
log_failure(struct smtpd *s, struct span mech, const struct authn *a)
{
	log_warn("%s: SASL %.*s authentication failed: %s, sasl_username=%.*s",
		 buf_cstr(&s->peer.namaddr), SPAN_ARG(mech),
		 buf_cstr(&a->reason), LOG_NAME_MAX,
		 a->username.data ? buf_cstr(&a->username) : "(unavailable)");
}

enum response {
	RESPONSE_OK,
	RESPONSE_ABORT, /* replied */
	RESPONSE_LOST,  /* the connection has a status */
};

/* One line of the client; out is wiped by the caller. */
static enum response
read_response(struct smtpd *s, struct span mech, struct buf *out)
{
	struct span line;
	unsigned flags = 0;
	int limit = conf->smtpd_sasl_response_limit;

	buf_reset(out);
	if (stream_read_line(&s->st, (size_t)limit - 1, &line, &flags) !=
	    STREAM_OK)
		return RESPONSE_LOST;
	line.len = strnlen(line.data, line.len);
	if (flags & LINE_CUT) {
		log_warn("%s: request longer than %d: %.30s...",
			 buf_cstr(&s->peer.namaddr), limit, line.data);
		smtpd_reply(s, "500 5.5.6 SASL response limit exceeded");
		return RESPONSE_ABORT;
	}
	if (span_equal_cstr(line, "*")) {
		log_warn("%s: SASL %.*s authentication aborted",
			 buf_cstr(&s->peer.namaddr), SPAN_ARG(mech));
		smtpd_reply(s, "501 5.7.0 Authentication aborted");
		return RESPONSE_ABORT;
	}
	buf_reserve(out, line.len);
	buf_append_span(out, line);
	return RESPONSE_OK;
}

/* Challenges and responses until the back end has decided. false: the
 * dialogue ended before. */
static bool
converse(struct smtpd *s, struct authn *a, struct span mech,
	 enum authn_status *status)
{
	struct buf response = BUF_INIT;
	bool decided = true;

	for (int i = 0; *status == AUTHN_CONTINUE; i++) {
		if (i == AUTH_STEPS_MAX) {
			buf_set_cstr(&a->reason, "too many steps");
			*status = AUTHN_FAIL;
			break;
		}
		smtpd_reply(s, "334 %s", buf_cstr(&a->challenge));
		if (read_response(s, mech, &response) != RESPONSE_OK) {
			decided = false;
			break;
		}
		*status = authn_step(a, buf_span(&response));
	}
	authn_wipe(&response);
	return decided;
}

static bool
conclude(struct smtpd *s, struct authn *a, struct span mech,
	 enum authn_status status)
{
	if (status == AUTHN_OK) {
		buf_set(&s->sasl.method, mech);
		buf_set(&s->sasl.username, buf_span(&a->username));
		smtpd_reply(s, "235 2.7.0 Authentication successful");
		return true;
	}
	log_failure(s, mech, a);
	/* RFC 4954 sections 4 and 6. */
	if (status == AUTHN_TEMP)
		smtpd_reply(s, "454 4.7.0 Temporary authentication failure: %s",
			    buf_cstr(&a->reason));
	else
		smtpd_reply(s, "535 5.7.8 Error: authentication failed: %s",
			    buf_cstr(&a->reason));
	return false;
}

static bool
authenticate(struct smtpd *s, struct span mech, struct span initial)
{
	struct authn_client client = client_of(s);
	struct authn a = AUTHN_INIT;
	enum authn_status status = authn_begin(&a, &client, mech, initial);
	bool ok = false;

	if (converse(s, &a, mech, &status))
		ok = conclude(s, &a, mech, status);
	authn_free(&a);
	return ok;
}

/* Also for a client that has not said EHLO. */
static unsigned
ehlo_off(struct smtpd *s)
{
	return strcmp(s->protocol, "ESMTP") ? smtpd_ehlo_discarded(s)
					    : s->ehlo_off;
}

static bool
may_authenticate(struct smtpd *s)
{
	const char *reply = NULL;

	if (conf->smtpd_helo_required && s->helo.len == 0)
		reply = "503 5.5.1 Error: send HELO/EHLO first";
	else if (!smtpd_sasl_active(s) || (ehlo_off(s) & EHLO_AUTH))
		reply = "503 5.5.1 Error: authentication not enabled";
	else if (s->mail.active)
		reply = "503 5.5.1 Error: MAIL transaction in progress";
	else if (s->sasl.username.len)
		reply = "503 5.5.1 Error: already authenticated";
	if (reply)
		smtpd_reply(s, "%s", reply);
	return !reply;
}

bool
smtpd_cmd_auth(struct smtpd *s, struct span arg)
{
	struct span mech, initial = {NULL, 0}, more;

	if (!may_authenticate(s) || !smtpd_limits_auth(s))
		return false;
	if (!span_next_token(&arg, " \t", &mech) ||
	    (span_next_token(&arg, " \t", &initial) &&
	     span_next_token(&arg, " \t", &more))) {
		smtpd_reply(s, "501 5.5.4 Syntax: AUTH mechanism");
		return false;
	}
	if (initial.len == 0)
		initial.data = NULL;
	return authenticate(s, mech, initial);
}

void
smtpd_sasl_forget(struct smtpd *s)
{
	buf_free(&s->sasl.method);
	buf_free(&s->sasl.username);
	buf_free(&s->sasl.sender);
}

/* ---- MAIL FROM:<..> AUTH= ---- */

/*
 * It is shown and stored as it came, in xtext or not; what it decodes to must
 * not be a control character either.
 */
static bool
is_harmless(struct span value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char c = (unsigned char)value.data[i];

		if (c == '+' && i + 2 < value.len &&
		    isxdigit((unsigned char)value.data[i + 1]) &&
		    isxdigit((unsigned char)value.data[i + 2])) {
			char hex[3] = {value.data[i + 1], value.data[i + 2]};

			c = (unsigned char)strtoul(hex, NULL, 16);
		}
		if (c < ' ' || c == 127)
			return false;
	}
	return true;
}

bool
smtpd_sasl_mail_param(struct smtpd *s, struct span value)
{
	if (s->sasl.sender.data) {
		smtpd_reply(s, "503 5.5.4 Error: multiple AUTH= options");
		return false;
	}
	if (!is_harmless(value)) {
		smtpd_reply(s, "501 5.5.4 Bad AUTH parameter syntax");
		return false;
	}
	if (!span_equal_cstr(value, "<>"))
		buf_set(&s->sasl.sender, value);
	return true;
}

void
smtpd_sasl_append_log(const struct smtpd *s, struct buf *out)
{
	if (s->sasl.username.len)
		buf_printf(out, ", sasl_method=%s, sasl_username=%s",
			   buf_cstr(&s->sasl.method),
			   buf_cstr(&s->sasl.username));
	if (s->sasl.sender.data)
		buf_printf(out, ", sasl_sender=%s", buf_cstr(&s->sasl.sender));
}
