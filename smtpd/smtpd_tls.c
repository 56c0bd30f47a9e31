/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_tls.h"

#include <string.h>
#include <strings.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/sys/watch.h"
#include "lib/tls/tls_params.h"
#include "lib/tls/tls_session.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_cmd.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_sasl.h"

enum {
	LIFE_MIN = 120, /* seconds a session can be resumed */
	LIFE_MAX = 100 * 86400,
};

enum level {
	LEVEL_NONE,
	LEVEL_MAY,
	LEVEL_ENCRYPT,
};

static struct {
	enum level level;
	bool wrapper;
	bool ask_cert, need_cert;
	struct tls_context *context; /* NULL: TLS is not available */
	struct watch *watch;
} tls;

/* ---- configuration ---- */

static enum level
configured_level(void)
{
	static const char *const beyond[] = {
	    "fingerprint", "dane", "dane-only", "half-dane", "verify", "secure",
	};
	const char *text = conf->smtpd_tls_security_level;

	if (!*text)
		return conf->smtpd_enforce_tls ? LEVEL_ENCRYPT
		       : conf->smtpd_use_tls   ? LEVEL_MAY
					       : LEVEL_NONE;
	if (!strcasecmp(text, "none"))
		return LEVEL_NONE;
	if (!strcasecmp(text, "may"))
		return LEVEL_MAY;
	if (!strcasecmp(text, "encrypt"))
		return LEVEL_ENCRYPT;
	for (size_t i = 0; i < sizeof(beyond) / sizeof(beyond[0]); i++) {
		if (strcasecmp(text, beyond[i]))
			continue;
		log_warn("smtpd_tls_security_level: unsupported TLS level "
			 "\"%s\", using \"encrypt\"",
			 text);
		return LEVEL_ENCRYPT;
	}
	log_fatal("Invalid TLS level \"%s\"", text);
}

static int64_t
session_life(void)
{
	int64_t seconds = conf->smtpd_tls_session_cache_timeout / 1000000;

	if (seconds <= 0)
		return 0;
	if (seconds < LIFE_MIN)
		return LIFE_MIN;
	return seconds < LIFE_MAX ? seconds : LIFE_MAX;
}

static struct tls_config
make_config(void)
{
	bool must = tls.level == LEVEL_ENCRYPT;

	return (struct tls_config){
	    .server = true,
	    .chain_files = conf->smtpd_tls_chain_files,
	    .cert_file = conf->smtpd_tls_cert_file,
	    .key_file = conf->smtpd_tls_key_file,
	    .dcert_file = conf->smtpd_tls_dcert_file,
	    .dkey_file = conf->smtpd_tls_dkey_file,
	    .eccert_file = conf->smtpd_tls_eccert_file,
	    .eckey_file = conf->smtpd_tls_eckey_file,
	    .chain_param = "smtpd_tls_chain_files",
	    .cert_params = "smtpd_tls_cert_file, smtpd_tls_eccert_file or "
			   "smtpd_tls_dcert_file",
	    .ca_file = conf->smtpd_tls_CAfile,
	    .ca_path = conf->smtpd_tls_CApath,
	    .dh_file = conf->smtpd_tls_dh1024_param_file,
	    .protocols = must ? conf->smtpd_tls_mandatory_protocols
			      : conf->smtpd_tls_protocols,
	    .digest = conf->smtpd_tls_fingerprint_digest,
	    .sni_maps = conf->tls_server_sni_maps,
	    .ask_cert = tls.ask_cert,
	    .verify_depth = conf->smtpd_tls_ccert_verifydepth,
	    .log_level =
		tls_loglevel("smtpd_tls_loglevel", conf->smtpd_tls_loglevel),
	    .session_life = session_life(),
	    .always_issue_ids = conf->smtpd_tls_always_issue_session_ids,
	    .ticket_file =
		mem_sprintf("%s/smtpd_tls_tickets", conf->data_directory),
	    .service = service_name(),
	};
}

static void
watch_list(const char *list)
{
	struct span rest = span_of(list), word;
	struct buf path = BUF_INIT;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (span_equal_cstr(word, "none"))
			continue;
		buf_set(&path, word);
		watch_add(tls.watch, buf_cstr(&path));
	}
	buf_free(&path);
}

/* Before they are read, or a change in between would go unnoticed. */
static void
watch_files(const struct tls_config *c)
{
	tls.watch = watch_new();
	watch_list(c->chain_files);
	watch_list(c->ca_file);
	if (*c->chain_files)
		return;
	watch_list(c->cert_file);
	watch_list(c->dcert_file);
	watch_list(c->eccert_file);
	if (*c->cert_file)
		watch_list(c->key_file);
	if (*c->dcert_file)
		watch_list(c->dkey_file);
	if (*c->eccert_file)
		watch_list(c->eckey_file);
}

void
smtpd_tls_open(void)
{
	struct tls_config c;

	tls.level = configured_level();
	tls.wrapper = conf->smtpd_tls_wrappermode;
	if (tls.wrapper)
		tls.level = LEVEL_ENCRYPT;
	if (tls.level == LEVEL_NONE)
		return;
	tls.need_cert = conf->smtpd_tls_req_ccert;
	if (tls.need_cert && tls.level != LEVEL_ENCRYPT) {
		log_warn("Can't require client certs unless TLS is required");
		tls.need_cert = false;
	}
	tls.ask_cert = tls.need_cert || conf->smtpd_tls_ask_ccert;
	c = make_config();
	watch_files(&c);
	tls.context = tls_context_new(&c);
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
	return tls.level != LEVEL_NONE && !s->tls.active && !s->standalone &&
	       !(s->ehlo_off & EHLO_STARTTLS);
}

bool
smtpd_tls_missing(const struct smtpd *s)
{
	return tls.level == LEVEL_ENCRYPT && !s->tls.active && !s->standalone;
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

static bool
start(struct smtpd *s)
{
	bool must = tls.level == LEVEL_ENCRYPT;
	struct tls_wish wish = {
	    .peer = buf_cstr(&s->peer.namaddr),
	    .grade = must ? conf->smtpd_tls_mandatory_ciphers
			  : conf->smtpd_tls_ciphers,
	    .exclude = conf->smtpd_tls_exclude_ciphers,
	    .exclude_more =
		must ? conf->smtpd_tls_mandatory_exclude_ciphers : NULL,
	    .need_cert = tls.need_cert,
	    .timeout = conf->smtpd_starttls_timeout,
	};
	struct tls_facts facts;
	bool ok = tls_session_accept(tls.context, &s->st, &wish, &facts);

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
