/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_dump.h"

#include <openssl/bio.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"

enum {
	ROW = 16,
	SHOWN = 40, /* bytes of a text */
};

static int level_index = -1; /* in an SSL: &levels[n] */
static int levels[] = {0, 1, 2, 3, 4};

static int
level_of(const SSL *ssl)
{
	const int *level =
	    level_index < 0 ? NULL : SSL_get_ex_data(ssl, level_index);

	return level ? *level : 0;
}

static void
dump_row(const unsigned char *data, size_t at, size_t end)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%04zx ", at);
	for (size_t i = at; i < at + ROW; i++) {
		if (i >= end)
			buf_append_cstr(&line, "   ");
		else
			buf_printf(&line, "%02x%c", data[i],
				   i == at + ROW / 2 - 1 ? '|' : ' ');
	}
	buf_append_byte(&line, ' ');
	for (size_t i = at; i < at + ROW && i < end; i++) {
		buf_append_byte(&line, data[i] >= ' ' && data[i] <= '~'
					   ? (char)data[i]
					   : '.');
		if (i == at + ROW / 2 - 1)
			buf_append_byte(&line, ' ');
	}
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}

static void
dump(const char *data, size_t len)
{
	size_t end = len;

	while (end && (data[end - 1] == ' ' || data[end - 1] == '\0'))
		end--;
	for (size_t at = 0; at < end; at += ROW)
		dump_row((const unsigned char *)data, at, end);
	if (end < len)
		log_info("%04zx - <SPACES/NULLS>", end);
}

static long
on_bio(BIO *bio, int what, const char *data, size_t asked, int arg, long more,
       int ret, size_t *done)
{
	bool in = what == (BIO_CB_READ | BIO_CB_RETURN);

	(void)bio;
	(void)arg;
	(void)more;
	if (!in && what != (BIO_CB_WRITE | BIO_CB_RETURN))
		return ret;
	if (ret <= 0) {
		log_info("%s (%zu bytes => -1)", in ? "read" : "write", asked);
		return ret;
	}
	log_info("%s (%zu bytes => %zu (0x%zX))", in ? "read" : "write", asked,
		 *done, *done);
	dump(data, *done);
	return ret;
}

void
tls_dump_want(SSL *ssl, int level)
{
	if (level < 3)
		return;
	if (level_index < 0)
		level_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	SSL_set_ex_data(ssl, level_index, &levels[level > 4 ? 4 : level]);
}

void
tls_dump_attach(SSL *ssl, BIO *bio)
{
	if (level_of(ssl) >= 3)
		BIO_set_callback_ex(bio, on_bio);
}

void
tls_dump_text(SSL *ssl, const char *what, const char *data, size_t len)
{
	struct buf shown = BUF_INIT;

	if (level_of(ssl) < 4)
		return;
	buf_append(&shown, data, len < SHOWN ? len : SHOWN);
	utf8_printable(shown.data, shown.len, '?');
	log_info("%s %zu chars: %s", what, len, buf_cstr(&shown));
	buf_free(&shown);
}

void
tls_dump_handshake_done(SSL *ssl)
{
	if (level_of(ssl) == 3)
		BIO_set_callback_ex(SSL_get_rbio(ssl), NULL);
}
