/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_webpki.h"
#include "smtp/smtp_tls_sts.h"

static struct {
	struct tls_context *context; /* NULL: TLS is not to be had */
	struct watch *watch;         /* of its files, or NULL */
	bool lmtp;
} tls;

/* Is TLS possible for any destination? Else nothing is loaded, and nothing
 * that is wrong with certificates is complained about. */
static bool
wanted(void)
{
	const char *level = conf->smtp_tls_security_level;

	return (*level && strcasecmp(level, "none") != 0) ||
	       (!*level && (conf->smtp_use_tls || conf->smtp_enforce_tls)) ||
	       *conf->smtp_tls_policy_maps || *conf->smtp_tls_per_site ||
	       conf->smtp_tls_wrappermode;
}

void
smtp_tls_open(bool lmtp, const char *service)
{
	tls.lmtp = lmtp;
	smtp_tls_policy_open(lmtp);
	if (!wanted())
		return;
	tls.watch = tls_client_watch();
	tls.context = tls_client_context(service, lmtp);
	if (tls.context && !lmtp && conf->postrider_mta_sts)
		tls_webpki_open(conf->postrider_mta_sts_ca_file);
}

bool
smtp_tls_is_available(void)
{
	return tls.context != NULL;
}

int
smtp_tls_watch_fd(void)
{
	return tls.watch ? watch_fd(tls.watch) : -1;
}

bool
smtp_tls_watch_changed(void)
{
	return watch_changed(tls.watch);
}

/* ---- before the connection ---- */

/* RFC 8689 section 4.2.1: a name that nobody could forge, in a certificate
 * that somebody vouches for. */
static void
raise_for_requiretls(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	if (p->level >= TLS_CLIENT_FINGERPRINT)
		return;
	smtp_tls_policy_set_level(p, TLS_CLIENT_SECURE, p->origin,
				  "REQUIRETLS");
	strvec_add(&p->names, t->dest->path ? conf->myhostname : t->dest->host);
}

bool
smtp_tls_admit(const struct smtp_tls_target *t, bool requiretls,
	       struct smtp_tls_policy *policy, struct why *why)
{
	if (!smtp_tls_policy_find(t, policy)) {
		why_copy(why, &policy->why);
		return false;
	}
	if (requiretls)
		raise_for_requiretls(t, policy);
	if (conf->smtp_tls_wrappermode &&
	    !tls_client_level_is_mandatory(policy->level)) {
		log_warn("%s_tls_wrappermode requires "
			 "\"%s_tls_security_level = encrypt\" (or stronger)",
			 tls.lmtp ? "lmtp" : "smtp",
			 tls.lmtp ? "lmtp" : "smtp");
		why_set(why, "4.3.0",
			"server unavailable or unable to receive mail");
		return false;
	}
	return true;
}

/* ---- the handshake ---- */

static bool
mandatory(const struct smtp_session *s)
{
	return tls_client_level_is_mandatory(s->tls.policy.level);
}

static void
report(struct smtp_session *s, enum smtp_tls_outcome outcome, bool handshake)
{
	struct smtp_tls_target t = {
	    .dest = &s->dest, .addr = &s->target, .lmtp = s->lmtp};

	smtp_tls_sts_report(&t, &s->tls.policy, &s->stream, outcome,
			    handshake ? &s->tls.result : NULL);
}

/* The server is who it should be. false: why. */
static bool
check(struct smtp_session *s, struct why *why)
{
	if (tls_client_satisfied(s->tls.policy.level, &s->tls.result)) {
		report(s, SMTP_TLS_OUTCOME_OK, true);
		return true;
	}
	report(s, SMTP_TLS_OUTCOME_CERTIFICATE, true);
	why_set(why, "4.7.5", "Server certificate not verified");
	return false;
}

/* As the log of TLS has it. */
static char *
lower_case(const char *text)
{
	char *copy = mem_strdup(text);

	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p - 'A' + 'a');
	return copy;
}

bool
smtp_tls_handshake(struct smtp_session *s, struct why *why)
{
	const struct smtp_tls_policy *p = &s->tls.policy;
	struct tls_client_wish wish = {
	    .level = p->level,
	    .protocols = p->protocols,
	    .grade = p->grade,
	    .exclude = p->exclude,
	    .sni = p->sni,
	    .names = &p->names,
	    .fingerprints = &p->fingerprints,
	    .tlsa = &p->tlsa,
	    .authorities = p->web_pki ? tls_webpki_store() : NULL,
	    .timeout = conf->smtp_starttls_timeout,
	    .session_place = s->relay,
	    .keep_any = s->tls.probe,
	};

	s->tls.tried = true;
	free(s->tls.peer);
	s->tls.peer = lower_case(s->relay);
	wish.peer = s->tls.peer;
	tls_client_result_free(&s->tls.result);
	if (!tls_client_start(tls.context, &s->stream, &wish, &s->tls.result)) {
		report(s, SMTP_TLS_OUTCOME_HANDSHAKE, true);
		s->dead = true;
		why_set(why, "4.7.5", "Cannot start TLS: handshake failure");
		return false;
	}
	s->tls.active = true;
	return true;
}

/* As the policy asks for. */
static bool
handshake(struct smtp_session *s, struct why *why)
{
	return smtp_tls_handshake(s, why) && check(s, why);
}

static void
engine_unavailable(struct why *why)
{
	why_set(why, "4.7.5",
		"TLS is required, but our TLS engine is unavailable");
}

bool
smtp_tls_wrap(struct smtp_session *s, struct why *why)
{
	if (!conf->smtp_tls_wrappermode)
		return true;
	if (!tls.context) {
		s->dead = true;
		engine_unavailable(why);
		return false;
	}
	return handshake(s, why);
}

/* ---- STARTTLS ---- */

static enum smtp_tls_step
not_offered(struct smtp_session *s, struct why *why)
{
	report(s, SMTP_TLS_OUTCOME_NOT_OFFERED, false);
	if (!mandatory(s))
		return SMTP_TLS_GO_ON;
	why_set(why, "4.7.4", "TLS is required, but was not offered by host %s",
		s->name);
	return SMTP_TLS_FAILED;
}

static enum smtp_tls_step
refused(struct smtp_session *s, struct why *why)
{
	report(s, SMTP_TLS_OUTCOME_NOT_OFFERED, false);
	if (!mandatory(s)) {
		/* What comes next shows whether it meant to hang up. */
		s->dead = false;
		return SMTP_TLS_GO_ON;
	}
	smtp_session_refused(s, "TLS is required, but ", "refused to start TLS",
			     why);
	return SMTP_TLS_FAILED;
}

static void
note_offer(const struct smtp_session *s)
{
	if (conf->smtp_tls_note_starttls_offer &&
	    (s->features & FEATURE_STARTTLS))
		log_info("Host offered STARTTLS: [%s]", s->host);
}

enum smtp_tls_step
smtp_tls_start(struct smtp_session *s, struct why *why)
{
	if (s->tls.active)
		return SMTP_TLS_GO_ON;
	if (s->tls.policy.level == TLS_CLIENT_NONE) {
		note_offer(s);
		return SMTP_TLS_GO_ON;
	}
	if (!(s->features & FEATURE_STARTTLS))
		return not_offered(s, why);
	if (!tls.context) {
		if (!mandatory(s))
			return SMTP_TLS_GO_ON;
		engine_unavailable(why);
		return SMTP_TLS_FAILED;
	}
	stream_write(&s->stream, span_of("STARTTLS\r\n"));
	if (!smtp_session_reply(s, conf->smtp_starttls_timeout,
				"receiving the STARTTLS response", why))
		return SMTP_TLS_FAILED;
	if (s->reply.code / 100 != 2)
		return refused(s, why);
	return handshake(s, why) ? SMTP_TLS_STARTED : SMTP_TLS_FAILED;
}

/* ---- kept sessions, and the second try ---- */

bool
smtp_tls_suits(const struct smtp_session *s, bool requiretls)
{
	const struct smtp_tls_target t = {
	    .dest = &s->dest, .addr = &s->target, .lmtp = s->lmtp};
	struct smtp_tls_policy p;
	struct why why = WHY_INIT;
	bool same;

	same = smtp_tls_admit(&t, requiretls, &p, &why) &&
	       smtp_tls_policy_same(&s->tls.policy, &p) &&
	       (s->tls.active || !mandatory(s));
	smtp_tls_policy_free(&p);
	why_free(&why);
	return same;
}

bool
smtp_tls_may_fall_back(const struct smtp_session *s, const struct why *why)
{
	return s->tls.tried && s->tls.policy.level == TLS_CLIENT_MAY &&
	       (!s->tls.active || strcmp(why->dsn, "4.4.2") == 0);
}
