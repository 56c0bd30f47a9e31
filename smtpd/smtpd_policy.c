/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_policy.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/smtp/cmd.h"
#include "lib/smtp/policy.h"
#include "smtpd/smtpd_action.h"
#include "smtpd/smtpd_policy_talk.h"

struct policy {
	struct policy_server server;
	const char *default_action, *context;
	char *label; /* "inet:host:port" */
};

static struct htab *services; /* text to struct policy */

/* ---- settings ---- */

static bool
set_time(const char *value, int64_t *usec)
{
	return conf_parse_time(value, 's', usec) && *usec >= 1000000;
}

static bool
set_number(const char *value, int64_t min, int *out)
{
	int64_t n;

	if (!num_parse(span_of(value), min, INT32_MAX, &n))
		return false;
	*out = (int)n;
	return true;
}

static bool
set_option(struct policy *p, struct span name, const char *value)
{
	struct policy_server *s = &p->server;

	if (span_equal_cstr(name, "timeout"))
		return set_time(value, &s->timeout);
	if (span_equal_cstr(name, "max_idle"))
		return set_time(value, &s->max_idle);
	if (span_equal_cstr(name, "max_ttl"))
		return set_time(value, &s->max_ttl);
	if (span_equal_cstr(name, "retry_delay"))
		return set_time(value, &s->retry_delay);
	if (span_equal_cstr(name, "try_limit"))
		return set_number(value, 1, &s->try_limit);
	if (span_equal_cstr(name, "request_limit"))
		return set_number(value, 0, &s->request_limit);
	if (span_equal_cstr(name, "default_action"))
		p->default_action = mem_strdup(value);
	else if (span_equal_cstr(name, "policy_context"))
		p->context = mem_strdup(value);
	else
		return false;
	return true;
}

/* "name=value" or "{ name = value }". */
static bool
take_option(struct policy *p, const char *word, struct buf *error)
{
	struct span all = span_of(word), name;
	char *value;
	long eq;
	bool ok;

	if (all.len >= 2 && all.data[0] == '{' && all.data[all.len - 1] == '}')
		all = span_trim(span_make(all.data + 1, all.len - 2));
	eq = span_find(all, '=');
	name = eq < 0 ? all : span_trim(span_make(all.data, (size_t)eq));
	value = NULL;
	if (eq >= 0) {
		struct span v = span_trim(span_from(all, (size_t)eq + 1));

		value = mem_strndup(v.data, v.len);
	}
	ok = value && set_option(p, name, value);
	if (!ok)
		buf_printf(error, "bad setting of a policy service: \"%s\"",
			   word);
	free(value);
	return ok;
}

static struct policy *
service_new(void)
{
	struct policy *p = mem_alloc(sizeof(*p));

	p->server = (struct policy_server){
	    .fd = -1,
	    .timeout = conf->smtpd_policy_service_timeout,
	    .max_idle = conf->smtpd_policy_service_max_idle,
	    .max_ttl = conf->smtpd_policy_service_max_ttl,
	    .retry_delay = conf->smtpd_policy_service_retry_delay,
	    .try_limit = conf->smtpd_policy_service_try_limit,
	    .request_limit = conf->smtpd_policy_service_request_limit,
	};
	p->default_action = conf->smtpd_policy_service_default_action;
	p->context = conf->smtpd_policy_service_policy_context;
	return p;
}

static bool
parse(struct policy *p, const char *text, struct buf *error)
{
	struct strvec words = STRVEC_INIT;
	struct span all = span_of(text);
	bool ok;

	if (all.len >= 2 && all.data[0] == '{' && all.data[all.len - 1] == '}')
		all = span_make(all.data + 1, all.len - 2);
	strvec_split(&words, all, ", \t\r\n", true);
	ok = words.n > 0 && policy_server_parse(&p->server, words.v[0]);
	if (!ok)
		buf_printf(error,
			   "restriction check_policy_service: bad argument "
			   "\"%s\": need transport:server",
			   words.n ? words.v[0] : text);
	else
		p->label = mem_strdup(words.v[0]);
	for (size_t i = 1; ok && i < words.n; i++)
		ok = take_option(p, words.v[i], error);
	strvec_free(&words);
	return ok;
}

struct policy *
smtpd_policy_open(const char *text, struct buf *error)
{
	struct policy *p;

	if (!services)
		services = htab_new();
	p = htab_get(services, span_of(text));
	if (p)
		return p;
	p = service_new();
	if (!parse(p, text, error)) {
		free(p->server.address);
		free(p->label);
		free(p);
		return NULL;
	}
	htab_put(services, span_of(text), p);
	return p;
}

/* ---- the question ---- */

static void
put_buf(struct buf *out, const char *name, const struct buf *value)
{
	policy_put(out, name, buf_span(value));
}

static void
put_xtext(struct buf *out, const char *name, const struct buf *value)
{
	struct buf text = BUF_INIT;

	xtext_encode(buf_span(value), &text);
	put_buf(out, name, &text);
	buf_free(&text);
}

/* What ties the questions about one message together; none before MAIL was
 * accepted. */
static void
put_instance(struct buf *out, struct smtpd *s)
{
	struct buf *id = &s->mail.instance;

	if (s->mail.active && id->len == 0 && strcmp(s->where, "MAIL") != 0) {
		struct timespec now;

		clock_gettime(CLOCK_REALTIME, &now);
		buf_printf(id, "%lx.%lx.%lx.%x", (long)getpid(),
			   (long)now.tv_sec, now.tv_nsec / 1000, s->n_mails);
	}
	put_buf(out, "instance", id);
}

static void
put_client(struct buf *out, const struct smtpd *s)
{
	const struct smtpd_peer *p = &s->peer;

	put_buf(out, "client_address", &p->addr);
	put_buf(out, "client_name", &p->name);
	put_buf(out, "client_port", &p->port);
	put_buf(out, "reverse_client_name", &p->reverse_name);
	put_buf(out, "server_address", &p->server_addr);
	put_buf(out, "server_port", &p->server_port);
	put_buf(out, "helo_name", &s->helo);
}

static void
put_mail(struct buf *out, struct smtpd *s, const char *state)
{
	bool content =
	    !strcmp(state, "DATA") || !strcmp(state, "END-OF-MESSAGE");

	put_buf(out, "sender", &s->mail.sender);
	put_buf(out, "recipient", &s->recipient);
	policy_put_num(out, "recipient_count",
		       content ? (int64_t)s->mail.n_rcpts : 0);
	put_buf(out, "queue_id", &s->mail.queue_id);
	put_instance(out, s);
	policy_put_num(out, "size",
		       !strcmp(state, "END-OF-MESSAGE") ? (int64_t)s->data_bytes
							: s->mail.size);
	put_buf(out, "etrn_domain", &s->etrn_domain);
}

static void
put_security(struct buf *out, const struct smtpd *s)
{
	put_buf(out, "sasl_method", &s->sasl.method);
	put_buf(out, "sasl_username", &s->sasl.username);
	put_buf(out, "sasl_sender", &s->sasl.sender);
	put_xtext(out, "ccert_subject", &s->tls.subject);
	put_xtext(out, "ccert_issuer", &s->tls.issuer);
	put_xtext(out, "ccert_fingerprint", &s->tls.cert_fingerprint);
	put_xtext(out, "ccert_pubkey_fingerprint", &s->tls.key_fingerprint);
	put_buf(out, "encryption_protocol", &s->tls.protocol);
	put_buf(out, "encryption_cipher", &s->tls.cipher);
	policy_put_num(out, "encryption_keysize", s->tls.cipher_bits);
}

static void
build_request(struct buf *out, struct smtpd *s, const struct policy *p)
{
	const char *state = strcmp(s->where, "BDAT") ? s->where : "DATA";

	policy_put(out, "request", span_of("smtpd_access_policy"));
	policy_put(out, "protocol_state", span_of(state));
	policy_put(out, "protocol_name", span_of(s->protocol));
	put_client(out, s);
	put_mail(out, s, state);
	policy_put(out, "stress", span_of(conf->stress));
	put_security(out, s);
	policy_put(out, "policy_context", span_of(p->context));
	policy_put_end(out);
}

/* ---- the answer ---- */

/* What is shown to the client ends at a NUL and has no control bytes. */
static bool
clean(struct policy *p, struct buf *action)
{
	bool valid;

	buf_truncate(action, strnlen(buf_cstr(action), action->len));
	valid = !conf->smtputf8_enable || utf8_valid(action->data, action->len);
	for (size_t i = 0; i < action->len; i++)
		if ((unsigned char)action->data[i] < ' ' ||
		    action->data[i] == 127)
			action->data[i] = valid ? ' ' : '?';
	if (valid)
		return true;
	utf8_printable(action->data, action->len, '?');
	log_warn("malformed UTF-8 in policy server %s response: \"%s\"",
		 p->label, buf_cstr(action));
	return false;
}

RULE_FN(check_policy_service)
{
	struct policy *p = r->policy;
	struct buf request = BUF_INIT;
	struct lookup l = {.s = s, .about = *about, .source = p->label};
	enum verdict v;

	build_request(&request, s, p);
	if (!policy_server_ask(&p->server, buf_span(&request), &l.value) ||
	    !clean(p, &l.value))
		buf_set_cstr(&l.value, p->default_action);
	buf_set_cstr(&l.key, "policy query");
	v = smtpd_action_run(&l, why);
	buf_free(&l.key);
	buf_free(&l.value);
	buf_free(&request);
	return v;
}
