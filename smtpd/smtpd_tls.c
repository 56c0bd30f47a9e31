/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_tls.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/watch.h"
#include "lib/tls/tls_server.h"
#include "lib/tls/tls_session.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_sasl.h"

static struct {
	struct tls_config config; /* keeps what the context borrows */
	enum tls_level level;
	bool wrapper;
	bool ask_cert, need_cert;
	struct tls_context *context; /* NULL: TLS is not available */
	struct watch *watch;
} tls;

/* ---- configuration ---- */

void
smtpd_tls_open(void)
{
	tls.level = tls_level_parse(
	    "smtpd_tls_security_level", conf->smtpd_tls_security_level,
	    conf->smtpd_use_tls, conf->smtpd_enforce_tls);
	tls.wrapper = conf->smtpd_tls_wrappermode;
	if (tls.wrapper)
		tls.level = TLS_LEVEL_ENCRYPT;
	if (tls.level == TLS_LEVEL_NONE)
		return;
	tls.need_cert = conf->smtpd_tls_req_ccert;
	if (tls.need_cert && tls.level != TLS_LEVEL_ENCRYPT) {
		log_warn("Can't require client certs unless TLS is required");
		tls.need_cert = false;
	}
	tls.ask_cert = tls.need_cert || conf->smtpd_tls_ask_ccert;
	tls.config = tls_server_config(tls.level, tls.ask_cert, service_name());
	tls.watch = tls_server_watch(&tls.config);
	tls.context = tls_context_new(&tls.config);
	if (!tls.context && service_renewal()) {
		log_warn("the new certificates cannot be used; service %s "
			 "stays with those it has",
			 service_name());
		service_exit(0);
	}
}

int
smtpd_tls_watch_fd(void)
{
	return tls.watch ? watch_fd(tls.watch) : -1;
}

bool
smtpd_tls_watch_changed(void)
{
	return watch_changed(tls.watch);
}

/* ---- what a client gets ---- */

bool
smtpd_tls_offered(const struct smtpd *s)
{
	return tls.level != TLS_LEVEL_NONE && !s->tls.active &&
	       !s->standalone && !(s->ehlo_off & EHLO_STARTTLS);
}

bool
smtpd_tls_missing(const struct smtpd *s)
{
	return tls.level == TLS_LEVEL_ENCRYPT && !s->tls.active &&
	       !s->standalone;
}

bool
smtpd_tls_asks_cert(void)
{
	return tls.ask_cert;
}

/* ---- Received: ---- */

static void
append_pair(struct buf *out, const char *sep, const char *label,
	    const struct buf *value)
{
	if (value->len)
		buf_printf(out, "%s%s %s", sep, label, buf_cstr(value));
}

/* A name within a comment: what is not ASCII, and the escape character, are
 * not for every reader of headers. */
static void
append_name(struct buf *out, const struct buf *name)
{
	for (size_t i = 0; i < name->len; i++) {
		unsigned char c = (unsigned char)name->data[i];

		buf_append_byte(out, c < ' ' || c > '~' || c == '\\' ? '?'
								     : (char)c);
	}
}

static void
make_received(const struct tls_facts *f, struct buf *out)
{
	buf_printf(out, "\t(using %s with cipher %s (%d/%d bits)",
		   buf_cstr(&f->protocol), buf_cstr(&f->cipher), f->bits,
		   f->max_bits);
	append_pair(out, "\n\t ", "key-exchange", &f->kex);
	append_pair(out, " ", "server-signature", &f->own_sig);
	append_pair(out, " ", "server-digest", &f->own_digest);
	append_pair(out, "\n\t ", "client-signature", &f->peer_sig);
	append_pair(out, " ", "client-digest", &f->peer_digest);
	buf_append_cstr(out, ")\n");
	if (f->have_cert) {
		buf_append_cstr(out, "\t(Client CN \"");
		append_name(out, &f->subject);
		buf_append_cstr(out, "\", Issuer \"");
		append_name(out, &f->issuer);
		buf_printf(out, "\" (%s))\n",
			   f->trusted ? "verified OK" : "not verified");
	} else if (tls.ask_cert) {
		buf_append_cstr(out,
				"\t(Client did not present a certificate)\n");
	} else {
		buf_append_cstr(out, "\t(No client certificate requested)\n");
	}
}

void
smtpd_tls_received(const struct smtpd *s, struct buf *out)
{
	if (s->tls.active && conf->smtpd_tls_received_header)
		buf_append_span(out, buf_span(&s->tls.received));
}

/* ---- the start ---- */

/* Nothing that was said in the clear counts any more (RFC 3207 4.2). */
static void
forget_clear_text(struct smtpd *s)
{
	smtpd_mail_reset(s);
	if (s->helo.len)
		smtpd_milter_abort(s);
	buf_free(&s->helo);
	smtpd_sasl_forget(s);
}

static void
keep_facts(struct smtpd_tls *t, struct tls_facts *f)
{
	make_received(f, &t->received);
	t->active = true;
	t->have_cert = f->have_cert;
	t->cert_trusted = f->have_cert && f->trusted;
	t->cipher_bits = f->bits;
	t->cipher_max_bits = f->max_bits;
	buf_set(&t->protocol, buf_span(&f->protocol));
	buf_set(&t->cipher, buf_span(&f->cipher));
	buf_set(&t->subject, buf_span(&f->subject));
	buf_set(&t->issuer, buf_span(&f->issuer));
	buf_set(&t->cert_fingerprint, buf_span(&f->cert_fingerprint));
	buf_set(&t->key_fingerprint, buf_span(&f->key_fingerprint));
}

/* smtpd_tls_req_ccert: the session may end here. */
static void
check_cert(struct smtpd *s)
{
	const char *problem;

	if (!tls.need_cert || s->tls.cert_trusted)
		return;
	problem = s->tls.have_cert ? "Client certificate not trusted"
				   : "No client certificate presented";
	log_info("NOQUEUE: abort: TLS from %s: %s", buf_cstr(&s->peer.namaddr),
		 problem);
	smtpd_reply(s, "421 4.7.1 %s Error: %s", conf->myhostname, problem);
}

/* REQUIRETLS (RFC 8689 section 2) is for sessions under TLS alone. */
bool
smtpd_tls_requirable(const struct smtpd *s)
{
	return conf->requiretls_enable && s->tls.active;
}

static bool
start(struct smtpd *s)
{
	struct tls_wish wish = tls_server_wish(tls.level);
	struct tls_facts facts;
	bool ok;

	wish.peer = buf_cstr(&s->peer.namaddr);
	wish.need_cert = tls.need_cert;
	ok = tls_session_accept(tls.context, &s->st, &wish, &facts);
	if (ok) {
		forget_clear_text(s);
		keep_facts(&s->tls, &facts);
		ok = facts.reused || smtpd_limits_new_tls(s);
		if (ok)
			check_cert(s);
	} else {
		stream_flush(&s->st);
		if (s->st.status == STREAM_OK)
			s->st.status = STREAM_EOF;
	}
	tls_facts_free(&facts);
	return ok;
}

bool
smtpd_tls_wrapper(struct smtpd *s)
{
	if (!tls.wrapper || s->standalone)
		return true;
	if (tls.context)
		return start(s) && !s->hangup;
	log_warn("Wrapper-mode request dropped from %s for service %s. TLS "
		 "context initialization failed. For details see earlier "
		 "warnings in your logs.",
		 buf_cstr(&s->peer.namaddr), service_name());
	s->hangup = true;
	return false;
}

bool
smtpd_cmd_starttls(struct smtpd *s, struct span arg)
{
	if (arg.len) {
		smtpd_reply(s, "501 5.5.4 Syntax: STARTTLS");
		return false;
	}
	if (s->tls.active) {
		smtpd_reply(s, "554 5.5.1 Error: TLS already active");
		return false;
	}
	/* Without EHLO nobody asked yet what this client is not to see. */
	if (!strcmp(s->protocol, "SMTP"))
		s->ehlo_off = smtpd_ehlo_discarded(s);
	if (!smtpd_tls_offered(s)) {
		smtpd_reply(s, "502 5.5.1 Error: command not implemented");
		return false;
	}
	if (!tls.context) {
		smtpd_reply(s,
			    "454 4.7.0 TLS not available due to local problem");
		return false;
	}
	if (!smtpd_limits_starttls(s))
		return false;
	smtpd_reply(s, "220 2.0.0 Ready to start TLS");
	return start(s);
}

void
smtpd_tls_end(struct smtpd *s)
{
	if (s->tls.active)
		tls_session_end(&s->st);
}
