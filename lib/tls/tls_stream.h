/* SPDX-License-Identifier: MIT */
/*
 * tls_stream - TLS over a struct stream (lib/smtp/stream.h), both sides.
 *
 * The descriptor stays as it is: OpenSSL reads and writes it through a BIO
 * that never waits, and the stream does the waiting. Starting TLS replaces
 * the stream's operations and drops what was read before, so nothing that was
 * sent in the clear can count as sent under TLS.
 *
 * The SSL object belongs to the stream from tls_stream_start() on, until
 * tls_stream_close().
 */
#ifndef LIB_TLS_TLS_STREAM_H
#define LIB_TLS_TLS_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/smtp/stream.h"

enum tls_handshake {
	TLS_HANDSHAKE_OK,
	TLS_HANDSHAKE_AGAIN,   /* only tls_stream_step(): wait, call again */
	TLS_HANDSHAKE_LOST,    /* the peer closed the connection */
	TLS_HANDSHAKE_TIMEOUT, /* usec passed */
	TLS_HANDSHAKE_ERRNO,   /* errno */
	TLS_HANDSHAKE_FAILED,  /* OpenSSL's queue of errors says why */
};

/* ssl is set up as server or client (SSL_set_accept_state(), ...). Flushes
 * the stream and takes usec at most. Unless it is OK only tls_stream_close()
 * may follow. */
enum tls_handshake tls_stream_start(struct stream *s, SSL *ssl, int64_t usec);

/*
 * The same without ever waiting, for a caller with an event loop that bounds
 * the time itself: begin, then step until it is not AGAIN. s->wait_write says
 * what AGAIN waits for. The stream has no output, and is not used as a stream
 * but through its operations.
 */
void tls_stream_begin(struct stream *s, SSL *ssl);
enum tls_handshake tls_stream_step(struct stream *s);
/* After it: would s->ops->read say something, data or the end or a fault,
 * though nothing new comes in? */
bool tls_stream_pending(struct stream *s);

/*
 * Say goodbye, unless the connection is broken, and free the SSL object; the
 * stream is a plain one again whose status is STREAM_EOF when it was OK. With
 * usec > 0 wait so long for the peer's goodbye. No effect without TLS.
 */
void tls_stream_close(struct stream *s, int64_t usec);

/* NULL without TLS. */
SSL *tls_stream_ssl(const struct stream *s);

#endif
