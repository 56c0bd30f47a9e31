/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_tls.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/service/service.h"
#include "lib/tls/tls_error.h"
#include "lib/tls/tls_server.h"
#include "smtpd/postscreen_client.h"

#define LOG_AS "tlsproxy"

struct screen_tls {
	struct stream st; /* without buffers: its operations only */
	struct tls_wish wish;
	char *peer;
};

static struct {
	struct tls_config config; /* keeps what the context borrows */
	enum tls_level level;
	bool need_cert;
	struct tls_context *context; /* NULL: TLS is not available */
	struct watch *watch;
} tls;

void
postscreen_tls_open(void)
{
	tls.level = tls_level_parse("postscreen_tls_security_level",
				    conf->postscreen_tls_security_level,
				    conf->postscreen_use_tls,
				    conf->postscreen_enforce_tls);
	if (tls.level == TLS_LEVEL_NONE)
		return;
	tls.need_cert =
	    conf->smtpd_tls_req_ccert && tls.level == TLS_LEVEL_ENCRYPT;
	tls.config = tls_server_config(
	    tls.level, tls.need_cert || conf->smtpd_tls_ask_ccert,
	    service_name());
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
postscreen_tls_watch_fd(void)
{
	return tls.watch ? watch_fd(tls.watch) : -1;
}

bool
postscreen_tls_watch_changed(void)
{
	return watch_changed(tls.watch);
}

bool
postscreen_tls_wanted(void)
{
	return tls.level != TLS_LEVEL_NONE;
}

bool
postscreen_tls_missing(const struct screen *s)
{
	return tls.level == TLS_LEVEL_ENCRYPT && !s->tls;
}

/* ---- the handshake ---- */

static void
log_failure(const struct screen *s)
{
	log_info_as(LOG_AS, "TLS handshake failed for service=smtpd peer=%s",
		    postscreen_who(s));
}

bool
postscreen_tls_available(const struct screen *s)
{
	if (tls.context)
		return true;
	log_info_as(LOG_AS, "CONNECT from %s", postscreen_who(s));
	log_failure(s);
	log_info_as(LOG_AS, "DISCONNECT %s", postscreen_who(s));
	return false;
}

bool
postscreen_tls_begin(struct screen *s)
{
	struct screen_tls *t = mem_alloc(sizeof(*t));

	t->peer = mem_strdup(postscreen_who(s));
	t->wish = tls_server_wish(tls.level);
	t->wish.peer = t->peer;
	t->wish.need_cert = tls.need_cert;
	t->wish.log_as = LOG_AS;
	stream_init(&t->st, s->fd, s->fd);
	s->tls = t;
	log_info_as(LOG_AS, "CONNECT from %s", t->peer);
	if (tls_session_begin(tls.context, &t->st, &t->wish))
		return true;
	log_failure(s);
	postscreen_tls_end(s);
	return false;
}

enum screen_tls_state
postscreen_tls_step(struct screen *s)
{
	struct screen_tls *t = s->tls;
	struct tls_facts facts;
	enum tls_handshake how;

	t->st.wait_write = false;
	how = tls_session_step(tls.context, &t->st, &t->wish, &facts);
	tls_facts_free(&facts);
	if (how == TLS_HANDSHAKE_OK)
		return SCREEN_TLS_OK;
	if (how == TLS_HANDSHAKE_AGAIN)
		return SCREEN_TLS_AGAIN;
	if (how == TLS_HANDSHAKE_FAILED)
		tls_error_log();
	tls_error_clear();
	log_failure(s);
	return SCREEN_TLS_FAILED;
}

int64_t
postscreen_tls_time(void)
{
	int64_t command = postscreen_command_time();

	return conf->smtpd_starttls_timeout < command
		   ? conf->smtpd_starttls_timeout
		   : command;
}

static void
warn_as_tlsproxy(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LEVEL_WARN, LOG_AS, fmt, ap);
	va_end(ap);
}

void
postscreen_tls_too_slow(struct screen *s)
{
	warn_as_tlsproxy("ciphertext read/write timeout for %s", s->tls->peer);
	log_failure(s);
}

void
postscreen_tls_end(struct screen *s)
{
	struct screen_tls *t = s->tls;

	if (!t)
		return;
	tls_stream_close(&t->st, 0);
	stream_free(&t->st);
	log_info_as(LOG_AS, "DISCONNECT %s", t->peer);
	free(t->peer);
	free(t);
	s->tls = NULL;
}

/* ---- bytes ---- */

ssize_t
postscreen_recv(struct screen *s, void *data, size_t len)
{
	struct stream *st;

	if (!s->tls)
		return recv(s->fd, data, len, MSG_DONTWAIT);
	st = &s->tls->st;
	st->wait_write = false;
	return st->ops->read(st, data, len);
}

ssize_t
postscreen_send(struct screen *s, const void *data, size_t len)
{
	struct stream *st;
	ssize_t n;

	if (!s->tls)
		return send(s->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	st = &s->tls->st;
	st->wait_write = false;
	n = st->ops->write(st, data, len);
	/* Renegotiation is not allowed: nothing else can want to read here. */
	if (n < 0 && errno == EAGAIN && !st->wait_write)
		errno = EPROTO;
	return n;
}

bool
postscreen_tls_wants_write(const struct screen *s)
{
	return s->tls && s->tls->st.wait_write;
}

bool
postscreen_tls_pending(const struct screen *s)
{
	return s->tls && tls_stream_pending(&s->tls->st);
}
