/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_client_cache.h"

#include <stdlib.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

static struct htab *sessions;
static int key_index = -1; /* in an SSL: char *, the key in its sessions */

static void
free_session(void *session)
{
	SSL_SESSION_free(session);
}

static void
put(struct span key, SSL_SESSION *session)
{
	if (htab_count(sessions) >= TLS_CLIENT_SESSIONS_MAX) {
		htab_free(sessions, free_session);
		sessions = htab_new();
	}
	SSL_SESSION_free(htab_put(sessions, key, session));
}

/* Of TLS 1.3 while data is read, of older versions within the handshake, when
 * nobody has said yet that the session is to be kept. */
static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	const char *key = SSL_get_ex_data(ssl, key_index);

	if (!key)
		return 0;
	put(span_of(key), session);
	return 1;
}

static void
free_key(void *parent, void *key, CRYPTO_EX_DATA *data, int index, long argl,
	 void *argp)
{
	(void)parent;
	(void)data;
	(void)index;
	(void)argl;
	(void)argp;
	free(key);
}

void
tls_client_cache_prepare(SSL_CTX *ctx, int64_t life)
{
	if (life <= 0) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		return;
	}
	if (!sessions) {
		sessions = htab_new();
		key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_key);
	}
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT |
						SSL_SESS_CACHE_NO_INTERNAL |
						SSL_SESS_CACHE_NO_AUTO_CLEAR);
	SSL_CTX_set_timeout(ctx, (long)life);
	SSL_CTX_sess_set_new_cb(ctx, on_session);
}

static bool
expired(const SSL_SESSION *s)
{
	int64_t age = (int64_t)time(NULL) - SSL_SESSION_get_time(s);

	return age < 0 || age >= SSL_SESSION_get_timeout(s);
}

void
tls_client_cache_offer(SSL *ssl, struct span key)
{
	SSL_SESSION *s = sessions && key.len ? htab_get(sessions, key) : NULL;

	if (!s)
		return;
	if (expired(s) || !SSL_SESSION_is_resumable(s))
		tls_client_cache_drop(key);
	else
		SSL_set_session(ssl, s);
}

void
tls_client_cache_keep(SSL *ssl, struct span key)
{
	SSL_SESSION *s;

	if (!sessions || !key.len)
		return;
	SSL_set_ex_data(ssl, key_index, mem_strndup(key.data, key.len));
	if (SSL_session_reused(ssl))
		return;
	s = SSL_get1_session(ssl);
	if (s && SSL_SESSION_is_resumable(s))
		put(key, s);
	else
		SSL_SESSION_free(s);
}

void
tls_client_cache_drop(struct span key)
{
	if (sessions && key.len)
		SSL_SESSION_free(htab_remove(sessions, key));
}
