/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_tls_sts.h"

#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/smtp/sts_client.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"
#include "lib/tls/tls_webpki.h"

enum {
	ASK_SECONDS = 150, /* DNS twice, and a fetch */
	ANSWER_USEC = 10 * 1000000,
};

static const char not_in_policy[] = "mail exchanger is not in the policy";

/* The last answer, for the other hosts of the domain. */
static struct {
	char *domain;
	int64_t time;
	bool known;
	struct sts_answer answer;
} last = {.answer = STS_ANSWER_INIT};

/* Was it looked up by MX? Hosts of SRV records, and those that are named, have
 * no policy. */
static bool
by_mx(const struct smtp_tls_target *t)
{
	const struct dest *d = t->dest;

	return !t->lmtp && d->mx && !conf->disable_dns_lookups &&
	       strcasecmp(conf->smtp_dns_support_level, "disabled") != 0 &&
	       !(d->service && conf_list_has(conf->use_srv_lookup, d->service));
}

/* ---- policies ---- */

static bool
ask(const char *domain)
{
	int64_t now = io_monotonic();

	if (last.domain && strcmp(last.domain, domain) == 0 &&
	    now - last.time < ANSWER_USEC)
		return last.known;
	free(last.domain);
	last.domain = mem_strdup(domain);
	last.known = sts_client_ask(domain, ASK_SECONDS, &last.answer);
	last.time = io_monotonic();
	if (!last.known)
		log_warn("MTA-STS policy of %s: %s", domain,
			 buf_cstr(&last.answer.reason));
	return last.known;
}

static void
set_string(char **to, const char *text)
{
	free(*to);
	*to = mem_strdup(text);
}

static void
add_line(struct strvec *lines, const char *name, const char *value)
{
	char *line = mem_sprintf("%s: %s", name, value);

	strvec_add(lines, line);
	free(line);
}

/* What a report says of the policy: its lines, as in its file. */
static void
describe(const char *domain, const struct sts_answer *a,
	 struct smtp_tls_policy *p)
{
	char *age = mem_sprintf("%lld", (long long)a->max_age);

	set_string(&p->report_type, tlsrpt_policy_name(TLSRPT_STS));
	set_string(&p->report_domain, domain);
	strvec_reset(&p->report_strings);
	strvec_reset(&p->report_mx);
	add_line(&p->report_strings, "version", "STSv1");
	add_line(&p->report_strings, "mode", mta_sts_mode_name(a->mode));
	for (size_t i = 0; i < a->mx.n; i++) {
		add_line(&p->report_strings, "mx", a->mx.v[i]);
		strvec_add(&p->report_mx, a->mx.v[i]);
	}
	add_line(&p->report_strings, "max_age", age);
	free(age);
}

static void
fill_in(const struct smtp_tls_target *t, const struct smtp_tls_policy *p,
	struct tlsrpt_session *s)
{
	enum tlsrpt_policy_type type = TLSRPT_NO_POLICY;

	if (p->report_type)
		tlsrpt_policy_parse(span_of(p->report_type), &type);
	*s = (struct tlsrpt_session){
	    .domain = t->dest->host,
	    .type = type,
	    .policy_domain = p->report_domain,
	    .strings = &p->report_strings,
	    .mx = &p->report_mx,
	    .mx_host = t->addr->host,
	    .server_addr = t->addr->text,
	};
}

static bool
wants_report(const struct smtp_tls_target *t)
{
	return conf->smtp_tlsrpt_enable && by_mx(t);
}

void
smtp_tls_sts_report_refused(const struct smtp_tls_target *t,
			    const struct smtp_tls_policy *p,
			    enum tlsrpt_result result, const char *reason)
{
	struct tlsrpt_session s;

	if (!wants_report(t))
		return;
	fill_in(t, p, &s);
	/* Where records are missing, DANE is what was in force all the same. */
	if (result >= TLSRPT_TLSA_INVALID && result <= TLSRPT_DANE_REQUIRED)
		s.type = TLSRPT_TLSA;
	s.result = result;
	s.reason = reason;
	tlsrpt_send(&s);
}

static bool
not_allowed(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	smtp_tls_sts_report_refused(t, p, TLSRPT_VALIDATION_FAILURE,
				    not_in_policy);
	why_set(&p->why, "4.7.5",
		"the MTA-STS policy of %s does not allow mail exchanger %s",
		t->dest->host, t->addr->host);
	return false;
}

/* A certificate for the host's own name, by an authority of the web. */
static void
enforce(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	smtp_tls_policy_set_level(p, TLS_CLIENT_SECURE, SMTP_TLS_STS,
				  "MTA-STS policy of %s (enforce, id %s)",
				  t->dest->host, buf_cstr(&last.answer.id));
	strvec_reset(&p->names);
	strvec_add(&p->names, t->addr->host);
	set_string(&p->sni, t->addr->host);
	p->web_pki = true;
}

bool
smtp_tls_sts_apply(const struct smtp_tls_target *t, struct smtp_tls_policy *p)
{
	const char *domain = t->dest->host;

	if (!by_mx(t) || !conf->postrider_mta_sts ||
	    p->origin == SMTP_TLS_MAPS || p->origin == SMTP_TLS_PER_SITE ||
	    (p->level != TLS_CLIENT_MAY && p->level != TLS_CLIENT_ENCRYPT))
		return true;
	if (!ask(domain)) {
		why_set(&p->why, "4.7.5",
			"cannot find the MTA-STS policy of %s: %s", domain,
			buf_cstr(&last.answer.reason));
		return false;
	}
	if (last.answer.mode == MTA_STS_NONE)
		return true;
	describe(domain, &last.answer, p);
	if (last.answer.mode == MTA_STS_TESTING) {
		p->web_pki_audit = true;
		return true;
	}
	if (!mta_sts_allows(&last.answer.mx, t->addr->host))
		return not_allowed(t, p);
	enforce(t, p);
	return true;
}

/* ---- reports ---- */

static enum tlsrpt_result
of_verify_error(int error)
{
	switch (error) {
	case X509_V_OK:
	case X509_V_ERR_HOSTNAME_MISMATCH:
		return TLSRPT_CERTIFICATE_HOST_MISMATCH;
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return TLSRPT_CERTIFICATE_EXPIRED;
	default:
		return TLSRPT_CERTIFICATE_NOT_TRUSTED;
	}
}

static enum tlsrpt_result
of_outcome(enum smtp_tls_outcome outcome,
	   const struct tls_client_result *result)
{
	switch (outcome) {
	case SMTP_TLS_OUTCOME_OK:
		return TLSRPT_SUCCESS;
	case SMTP_TLS_OUTCOME_NOT_OFFERED:
		return TLSRPT_STARTTLS_NOT_SUPPORTED;
	case SMTP_TLS_OUTCOME_CERTIFICATE:
		return of_verify_error(result->verify_error);
	default:
		return TLSRPT_VALIDATION_FAILURE;
	}
}

/* In testing mode nothing was asked of the host, but the report tells what
 * would be wrong. */
static void
audit(const struct smtp_tls_target *t, struct stream *stream,
      struct tlsrpt_session *s)
{
	SSL *ssl = stream ? tls_stream_ssl(stream) : NULL;
	int error;

	if (!mta_sts_allows(s->mx, t->addr->host)) {
		s->result = TLSRPT_VALIDATION_FAILURE;
		s->reason = not_in_policy;
	} else if (s->result == TLSRPT_SUCCESS && ssl &&
		   !SSL_session_reused(ssl)) {
		error = tls_webpki_check(ssl, t->addr->host);
		if (error != X509_V_OK) {
			s->result = of_verify_error(error);
			s->reason = X509_verify_cert_error_string(error);
		}
	}
}

/* A policy that could not be had is a failure of its own; what TLS came to
 * without it counts beside it. */
static void
report_policy_failure(const struct tlsrpt_session *session)
{
	struct tlsrpt_session s = *session;

	if (!conf->postrider_mta_sts || !last.domain || !last.known ||
	    strcmp(last.domain, s.domain) != 0 ||
	    last.answer.failure == TLSRPT_SUCCESS ||
	    last.answer.source != STS_NO_POLICY)
		return;
	s.type = TLSRPT_STS;
	s.result = last.answer.failure;
	s.reason = buf_cstr(&last.answer.reason);
	tlsrpt_send(&s);
}

void
smtp_tls_sts_report(const struct smtp_tls_target *t,
		    const struct smtp_tls_policy *p, struct stream *stream,
		    enum smtp_tls_outcome outcome,
		    const struct tls_client_result *result)
{
	struct sock_addr local;
	char addr[SOCK_TEXT_MAX];
	struct tlsrpt_session s;

	if (!wants_report(t) || (conf->smtp_tlsrpt_skip_reused_handshakes &&
				 result && result->facts.reused))
		return;
	fill_in(t, p, &s);
	if (stream && sock_local(stream->in_fd, &local)) {
		sock_addr_format(&local, addr);
		s.client_addr = addr;
	}
	s.result = of_outcome(outcome, result);
	if (s.result != TLSRPT_SUCCESS && result && result->error.len)
		s.reason = buf_cstr(&result->error);
	if (p->web_pki_audit)
		audit(t, stream, &s);
	tlsrpt_send(&s);
	if (s.type == TLSRPT_NO_POLICY)
		report_policy_failure(&s);
}
