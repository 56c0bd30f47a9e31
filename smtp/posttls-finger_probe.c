/* SPDX-License-Identifier: MIT */
#include "smtp/posttls-finger_probe.h"

#include <openssl/pem.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/tls/tls_cert.h"
#include "lib/tls/tls_describe.h"
#include "smtp/smtp_ehlo.h"
#include "smtp/smtp_tls.h"

/* ---- what is seen of TLS ---- */

/* Hexadecimal, of long data both ends. */
static void
add_hex(struct buf *out, const unsigned char *data, size_t len)
{
	enum { END = 32 };

	for (size_t i = 0; i < len; i++) {
		if (len > 2 * END && i == END) {
			buf_append_cstr(out, "...");
			i = len - END;
		}
		buf_printf(out, "%02X", data[i]);
	}
}

static void
show_record(const struct smtp_session *s, SSL *ssl)
{
	bool print = s->tls.policy.level == TLS_CLIENT_FINGERPRINT;
	bool anchor = s->tls.policy.level >= TLS_CLIENT_VERIFY;
	int depth = SSL_get0_dane_authority(ssl, NULL, NULL);
	uint8_t usage, selector, mtype;
	const unsigned char *data;
	struct buf hex = BUF_INIT;
	size_t len;

	if (depth < 0 ||
	    SSL_get0_dane_tlsa(ssl, &usage, &selector, &mtype, &data, &len) < 0)
		return;
	add_hex(&hex, data, len);
	if (print)
		log_info("%s: Matched fingerprint: %s", s->tls.peer,
			 buf_cstr(&hex));
	else if (anchor)
		log_info("%s: Matched trust anchor at depth %d", s->tls.peer,
			 depth);
	else
		log_info(
		    "%s: Matched DANE %s at depth %d: %d %d %d %s", s->tls.peer,
		    usage == TLSA_DANE_TA ? "TA certificate" : "EE certificate",
		    depth, usage, selector, mtype, buf_cstr(&hex));
	buf_free(&hex);
}

/* What made the server's certificate a good one. */
static void
show_match(const struct smtp_session *s, SSL *ssl)
{
	const struct tls_client_result *r = &s->tls.result;
	const char *name = SSL_get0_peername(ssl);

	if (r->verify_error != X509_V_OK || r->facts.reused)
		return;
	if (name)
		log_info("%s: matched peername: %s", s->tls.peer, name);
	show_record(s, ssl);
}

static void
show_tls(const struct finger_probe *p, const struct smtp_session *s)
{
	const struct tls_client_result *r = &s->tls.result;
	const struct tls_facts *f = &r->facts;
	SSL *ssl = tls_stream_ssl(&s->stream);

	if ((p->log & FINGER_CERTMATCH) && ssl)
		show_match(s, ssl);
	if (f->have_cert && (p->log & (FINGER_CERTMATCH | FINGER_PEERCERT)))
		log_info("%s: subject_CN=%s, issuer_CN=%s, fingerprint=%s, "
			 "pkey_fingerprint=%s",
			 s->tls.peer, buf_cstr(&f->subject),
			 buf_cstr(&f->issuer), buf_cstr(&f->cert_fingerprint),
			 buf_cstr(&f->key_fingerprint));
	if (f->reused && (p->log & FINGER_CACHE))
		log_info("%s: Reusing old session", s->tls.peer);
	if (f->reused && r->verify_error != X509_V_OK &&
	    (p->log & FINGER_CACHE))
		log_info("%s: re-using session with untrusted certificate, "
			 "look for details earlier in the log",
			 s->tls.peer);
	if (p->log & FINGER_SUMMARY)
		tls_describe_log_to(f, tls_security_name(r->security),
				    s->tls.peer);
}

/* One certificate of the chain, as openssl(1) shows it. */
static void
add_certificate(BIO *out, int i, X509 *cert)
{
	const EVP_MD *md =
	    EVP_get_digestbyname(conf->smtp_tls_fingerprint_digest);
	struct buf text = BUF_INIT;

	tls_cert_oneline(X509_get_subject_name(cert), &text);
	BIO_printf(out, "%2d subject: %s\n", i, buf_cstr(&text));
	buf_reset(&text);
	tls_cert_oneline(X509_get_issuer_name(cert), &text);
	BIO_printf(out, "    issuer: %s\n", buf_cstr(&text));
	if (md && tls_cert_fingerprint(cert, md, &text))
		BIO_printf(out, "   cert digest=%s\n", buf_cstr(&text));
	if (md && tls_key_fingerprint(cert, md, &text))
		BIO_printf(out, "   pkey digest=%s\n", buf_cstr(&text));
	PEM_write_bio_X509(out, cert);
	buf_free(&text);
}

/* It goes away with the connection, and is printed after it. NULL: none. */
static BIO *
take_chain(const struct smtp_session *s)
{
	const SSL *ssl = tls_stream_ssl(&s->stream);
	STACK_OF(X509) *chain = ssl ? SSL_get_peer_cert_chain(ssl) : NULL;
	BIO *out = chain ? BIO_new(BIO_s_mem()) : NULL;

	if (!out)
		return NULL;
	BIO_printf(out, "\n---\nCertificate chain\n");
	for (int i = 0; i < sk_X509_num(chain); i++)
		add_certificate(out, i, sk_X509_value(chain, i));
	return out;
}

static void
print_chain(BIO *chain)
{
	char *text;
	long len = chain ? BIO_get_mem_data(chain, &text) : 0;

	if (len > 0)
		fwrite(text, 1, (size_t)len, stdout);
	BIO_free(chain);
}

/* ---- the conversation ---- */

static void
show_reply(const struct smtp_session *s)
{
	struct span rest = buf_span(&s->reply.text), line;

	while (span_next_token(&rest, "\n", &line))
		log_info("< %.*s", SPAN_ARG(line));
}

/* Read the reply. false: there is none, and problem says so. */
static bool
hear(struct smtp_session *s, int64_t wait, bool show, const char **problem)
{
	stream_set_deadline(&s->stream, wait, 0);
	stream_set_timeout(&s->stream, wait);
	if (reply_read(&s->stream, &s->reply) == REPLY_IO) {
		*problem = s->stream.status == STREAM_TIMEOUT
			       ? "timeout"
			       : "lost connection";
		s->dead = true;
		return false;
	}
	if (show)
		show_reply(s);
	return true;
}

static bool
ask(const struct finger_probe *p, struct smtp_session *s, const char *command,
    bool show, const char **problem)
{
	if (show)
		log_info("> %s", command);
	stream_printf(&s->stream, "%s\r\n", command);
	return hear(s, p->command_wait, show, problem);
}

static void
refused(const struct smtp_session *s, const char *what)
{
	struct buf text = BUF_INIT;

	reply_text(&s->reply, &text);
	log_info("%s: %s%s", what, s->reply.code ? "" : "0 ", buf_cstr(&text));
	buf_free(&text);
}

static bool
greeting(const struct finger_probe *p, struct smtp_session *s)
{
	const char *problem;

	if (!hear(s, p->greet_wait, !p->quiet, &problem)) {
		log_info("%s while reading server greeting", problem);
		return false;
	}
	if (s->reply.code / 100 != 2) {
		refused(s, "SMTP service not available");
		return false;
	}
	return true;
}

static bool
hello(struct finger_probe *p, struct smtp_session *s)
{
	const char *verb = s->lmtp ? "LHLO" : "EHLO", *problem;
	struct buf command = BUF_INIT;
	struct span line, word;
	bool ok;

	buf_printf(&command, "%s %s", verb, conf->smtp_helo_name);
	ok = ask(p, s, buf_cstr(&command), !p->quiet && !p->again, &problem);
	if (!ok) {
		log_info("%s while sending %s", problem, verb);
	} else if (s->reply.code / 100 != 2) {
		buf_set_cstr(&command, verb);
		buf_append_cstr(&command, " rejected");
		refused(s, buf_cstr(&command));
		ok = false;
	} else {
		s->features = FEATURE_ESMTP;
		smtp_ehlo_parse(s);
		line = reply_line(&s->reply, 0);
		if (!p->server.len && span_next_token(&line, " \t", &word))
			buf_set(&p->server, word);
	}
	buf_free(&command);
	return ok;
}

static bool
handshake(struct finger_probe *p, struct smtp_session *s, BIO **chain)
{
	struct why why = WHY_INIT;

	s->tls.probe = true;
	p->encrypted = smtp_tls_handshake(s, &why);
	if (p->encrypted) {
		show_tls(p, s);
		if (p->chain)
			*chain = take_chain(s);
	}
	why_free(&why);
	return p->encrypted;
}

/* STARTTLS when there is some. false: the conversation is over. */
static bool
secure(struct finger_probe *p, struct smtp_session *s, BIO **chain)
{
	const char *problem;

	if (!(s->features & FEATURE_STARTTLS) || p->wrapper ||
	    s->tls.policy.level == TLS_CLIENT_NONE || !smtp_tls_is_available())
		return true;
	if (!ask(p, s, "STARTTLS", !p->quiet && !p->again, &problem))
		log_fatal("%s while sending STARTTLS", problem);
	if (s->reply.code / 100 != 2) {
		refused(s, "STARTTLS rejected");
		return false;
	}
	if (!handshake(p, s, chain))
		return false;
	/* What goes wrong now is said, and QUIT said all the same. */
	if (!p->again)
		hello(p, s);
	return true;
}

static void
quit(const struct finger_probe *p, struct smtp_session *s)
{
	const char *problem;

	if (!ask(p, s, "QUIT", !p->quiet, &problem))
		log_warn("%s while sending QUIT command", problem);
}

void
finger_probe(struct finger_probe *p, struct smtp_session **sp)
{
	struct smtp_session *s = *sp;
	BIO *chain = NULL;

	p->encrypted = false;
	buf_reset(&p->server);
	if (!p->again && !p->quiet)
		log_info("Connected to %s", s->relay);
	if ((!p->wrapper ||
	     (smtp_tls_is_available() && handshake(p, s, &chain))) &&
	    greeting(p, s) && hello(p, s) && secure(p, s, &chain))
		quit(p, s);
	smtp_session_free(sp);
	print_chain(chain);
}
