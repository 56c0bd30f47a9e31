/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_stream.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/sys/io.h"
#include "lib/tls/tls_dump.h"
#include "lib/tls/tls_error.h"

/* ---- the socket as a BIO that never waits ---- */

static int
socket_read(BIO *b, char *data, size_t len, size_t *done)
{
	const struct stream *s = BIO_get_data(b);
	ssize_t n;

	do {
		n = recv(s->in_fd, data, len, MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	BIO_clear_retry_flags(b);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_read(b);
	if (n == 0)
		BIO_set_flags(b, BIO_FLAGS_IN_EOF);
	*done = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static int
socket_write(BIO *b, const char *data, size_t len, size_t *done)
{
	const struct stream *s = BIO_get_data(b);
	ssize_t n;

	do {
		n = send(s->out_fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	BIO_clear_retry_flags(b);
	if (n < 0 && errno == EAGAIN)
		BIO_set_retry_write(b);
	*done = n > 0 ? (size_t)n : 0;
	return n > 0;
}

static long
socket_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return BIO_test_flags(b, BIO_FLAGS_IN_EOF) != 0;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static int
socket_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO *
new_bio(struct stream *s)
{
	static BIO_METHOD *method;
	BIO *b;

	if (!method) {
		method = BIO_meth_new(
		    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
		if (!method)
			log_fatal("BIO_meth_new: out of memory");
		BIO_meth_set_read_ex(method, socket_read);
		BIO_meth_set_write_ex(method, socket_write);
		BIO_meth_set_ctrl(method, socket_ctrl);
		BIO_meth_set_create(method, socket_create);
	}
	b = BIO_new(method);
	if (!b)
		log_fatal("BIO_new: out of memory");
	BIO_set_data(b, s);
	return b;
}

/* ---- the stream's operations ---- */

/* -1 and errno, or 0 at the end, as read(2) does. */
static ssize_t
failed(struct stream *s, int n)
{
	SSL *ssl = s->ops_data;
	int saved = errno;

	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_WANT_READ:
		s->wait_write = false;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_WANT_WRITE:
		s->wait_write = true;
		errno = EAGAIN;
		return -1;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		tls_error_clear();
		errno = saved ? saved : ECONNRESET;
		return -1;
	default:
		tls_error_log();
		errno = EPROTO;
		return -1;
	}
}

static ssize_t
tls_read(struct stream *s, void *data, size_t len)
{
	size_t done;
	int n;

	errno = 0;
	n = SSL_read_ex(s->ops_data, data, len, &done);
	if (n <= 0)
		return failed(s, n);
	tls_dump_text(s->ops_data, "Read", data, done);
	return (ssize_t)done;
}

static ssize_t
tls_write(struct stream *s, const void *data, size_t len)
{
	size_t done;
	int n;

	errno = 0;
	n = SSL_write_ex(s->ops_data, data, len, &done);
	if (n <= 0)
		return failed(s, n);
	tls_dump_text(s->ops_data, "Write", data, done);
	return (ssize_t)done;
}

static bool
tls_pending(struct stream *s)
{
	return SSL_has_pending(s->ops_data);
}

/* A readable socket may hold no more than half a record. */
static bool
tls_ready(struct stream *s)
{
	char byte;
	size_t done;

	if (SSL_peek_ex(s->ops_data, &byte, 1, &done) > 0)
		return true;
	/* What is wrong is found again by the next read. */
	tls_error_clear();
	return false;
}

bool
tls_stream_pending(struct stream *s)
{
	SSL *ssl = s->ops_data;
	char byte;
	size_t done;
	int n = SSL_peek_ex(ssl, &byte, 1, &done);

	if (n > 0)
		return true;
	n = SSL_get_error(ssl, n);
	/* What is wrong is found again by the next read. */
	tls_error_clear();
	return n != SSL_ERROR_WANT_READ && n != SSL_ERROR_WANT_WRITE;
}

static const struct stream_ops tls_ops = {
    .read = tls_read,
    .write = tls_write,
    .pending = tls_pending,
    .ready = tls_ready,
};

SSL *
tls_stream_ssl(const struct stream *s)
{
	return s->ops == &tls_ops ? s->ops_data : NULL;
}

/* ---- begin and end ---- */

/* Wait for what the last call asked for; 1, 0 time-out, -1 errno. */
static int
wait_for(struct stream *s, bool write, int64_t deadline)
{
	int n;

	do {
		n = write ? io_wait_writable(s->out_fd, deadline)
			  : io_wait_readable(s->in_fd, deadline);
	} while (n < 0 && errno == EINTR);
	return n;
}

void
tls_stream_begin(struct stream *s, SSL *ssl)
{
	BIO *b = new_bio(s);

	tls_dump_attach(ssl, b);
	SSL_set_bio(ssl, b, b);
	stream_set_ops(s, &tls_ops, ssl);
}

enum tls_handshake
tls_stream_step(struct stream *s)
{
	SSL *ssl = s->ops_data;
	int n, error;

	ERR_clear_error();
	errno = 0;
	n = SSL_do_handshake(ssl);
	if (n > 0)
		return TLS_HANDSHAKE_OK;
	error = SSL_get_error(ssl, n);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
		s->wait_write = error == SSL_ERROR_WANT_WRITE;
		return TLS_HANDSHAKE_AGAIN;
	}
	if (BIO_eof(SSL_get_rbio(ssl)))
		return TLS_HANDSHAKE_LOST;
	if (error == SSL_ERROR_SYSCALL)
		return errno ? TLS_HANDSHAKE_ERRNO : TLS_HANDSHAKE_LOST;
	return TLS_HANDSHAKE_FAILED;
}

enum tls_handshake
tls_stream_start(struct stream *s, SSL *ssl, int64_t usec)
{
	int64_t deadline = io_monotonic() + usec;
	enum tls_handshake how;

	stream_flush(s);
	tls_stream_begin(s, ssl);
	while ((how = tls_stream_step(s)) == TLS_HANDSHAKE_AGAIN) {
		int n = wait_for(s, s->wait_write, deadline);

		if (n == 0)
			return TLS_HANDSHAKE_TIMEOUT;
		if (n < 0)
			return TLS_HANDSHAKE_ERRNO;
	}
	return how;
}

static void
say_goodbye(struct stream *s, SSL *ssl, int64_t usec)
{
	int64_t deadline = io_monotonic() + usec;

	for (;;) {
		int n = SSL_shutdown(ssl);

		if (n > 0 || usec <= 0)
			return;
		if (n < 0) {
			n = SSL_get_error(ssl, n);
			if (n != SSL_ERROR_WANT_READ &&
			    n != SSL_ERROR_WANT_WRITE)
				return;
			if (wait_for(s, n == SSL_ERROR_WANT_WRITE, deadline) <=
			    0)
				return;
		}
	}
}

void
tls_stream_close(struct stream *s, int64_t usec)
{
	SSL *ssl = tls_stream_ssl(s);

	if (!ssl)
		return;
	if (s->status == STREAM_OK)
		stream_flush(s);
	/* After an error of the protocol nothing may be sent. */
	if (SSL_is_init_finished(ssl) && s->status != STREAM_ERROR)
		say_goodbye(s, ssl, usec);
	tls_error_clear();
	stream_set_ops(s, NULL, NULL);
	SSL_free(ssl);
	if (s->status == STREAM_OK)
		s->status = STREAM_EOF;
}
