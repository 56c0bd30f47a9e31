/* SPDX-License-Identifier: MIT */
/* lib/tls: notations, certificates, tickets, the stream. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/sys/watch.h"
#include "lib/tls/tls_cert.h"
#include "lib/tls/tls_chain.h"
#include "lib/tls/tls_params.h"
#include "lib/tls/tls_stream.h"
#include "lib/tls/tls_ticket.h"

static char folder[] = "/tmp/postrider-unit-XXXXXX";

static struct conf settings = {
    .tls_high_cipherlist = "aNULL:-aNULL:HIGH:@STRENGTH",
    .tls_medium_cipherlist = "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
    .tls_low_cipherlist = "LOW",
    .tls_export_cipherlist = "EXPORT",
    .tls_null_cipherlist = "eNULL:!aNULL",
    .tls_ssl_options = "",
    .tls_disable_workarounds = "",
};

static void
quiet(enum log_level level, const char *process, const char *line)
{
	(void)level, (void)process, (void)line;
}

/* ---- protocols ---- */

static void
expect_protocols(const char *text, int min, int max, uint64_t off)
{
	struct tls_protocols p;

	assert_true(tls_protocols_parse(span_of(text), &p));
	assert_int_equal(p.min, min);
	assert_int_equal(p.max, max);
	assert_int_equal(p.off, off);
}

static void
test_protocols(void **state)
{
	const uint64_t old =
	    SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1;
	struct tls_protocols p;
	static const char *const bad[] = {
	    "foo",     "!",          ">=",  ">=TLSv9", "TLSv1.2 x",
	    "!!TLSv1", ">=TLSv1.2=", "TLS", ">=-1"};

	(void)state;
	expect_protocols("", 0, 0, 0);
	expect_protocols(">=TLSv1.2", TLS1_2_VERSION, 0, 0);
	expect_protocols(">=tlsv1, <=TLSv1.2", TLS1_VERSION, TLS1_2_VERSION, 0);
	expect_protocols(">=0303:<=0304", TLS1_2_VERSION, TLS1_3_VERSION, 0);
	expect_protocols("!SSLv2, !SSLv3", 0, 0, SSL_OP_NO_SSLv3);
	expect_protocols("TLSv1.2 TLSv1.3", 0, 0, old);
	expect_protocols("TLSv1.2, TLSv1.3, !TLSv1.3", 0, 0,
			 old | SSL_OP_NO_TLSv1_3);
	expect_protocols("SSLv2", 0, 0,
			 old | SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(tls_protocols_parse(span_of(bad[i]), &p));
}

/* ---- ciphers, options, curves ---- */

static void
test_ciphers(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_true(tls_cipher_grade("high", &b));
	tls_cipher_exclude("aNULL, AES256+SHA:RC4", &b);
	tls_cipher_exclude("", &b);
	tls_cipher_exclude(NULL, &b);
	assert_string_equal(buf_cstr(&b),
			    "aNULL:-aNULL:HIGH:@STRENGTH:!aNULL:!AES256+SHA:"
			    "!RC4");
	buf_reset(&b);
	assert_true(tls_cipher_grade("Medium", &b));
	assert_false(tls_cipher_grade("best", &b));
	assert_false(tls_cipher_grade("", &b));
	buf_free(&b);
}

static void
test_options(void **state)
{
	(void)state;
	assert_int_equal(tls_options(), SSL_OP_ALL);
	settings.tls_ssl_options = "no_ticket, NOSUCH 0x400000";
	settings.tls_disable_workarounds =
	    "TLSEXT_PADDING, NETSCAPE_CHALLENGE_BUG";
	assert_int_equal(tls_options(), (SSL_OP_ALL & ~SSL_OP_TLSEXT_PADDING) |
					    SSL_OP_NO_TICKET | 0x400000);
}

static void
test_groups(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	tls_groups("X25519 nosuch, P-256:secp384r1", &b);
	assert_string_equal(buf_cstr(&b), "X25519:P-256:secp384r1");
	buf_reset(&b);
	tls_groups("nosuch", &b);
	assert_int_equal(b.len, 0);
	assert_int_equal(tls_loglevel("x", "3"), 3);
	assert_int_equal(tls_loglevel("x", "5"), 0);
	assert_int_equal(tls_loglevel("x", "high"), 0);
	buf_free(&b);
}

/* ---- certificates ---- */

static EVP_PKEY *key;

static X509 *
new_cert(const char *field, int type, const void *text, int len)
{
	X509 *cert = X509_new();
	X509_NAME *name = X509_NAME_new();

	X509_NAME_add_entry_by_txt(name, field, type, text, len, -1, 0);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7);
	X509_set_version(cert, 2);
	X509_set_subject_name(cert, name);
	X509_set_issuer_name(cert, name);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()));
	X509_NAME_free(name);
	return cert;
}

static void
expect_name(int type, const char *text, int len, const char *want)
{
	X509 *cert = new_cert("CN", type, text, len);
	struct buf b = BUF_INIT;

	tls_cert_subject(cert, "peer", &b);
	assert_string_equal(buf_cstr(&b), want);
	tls_cert_issuer(cert, "peer", &b);
	assert_string_equal(buf_cstr(&b), want);
	buf_free(&b);
	X509_free(cert);
}

static void
test_names(void **state)
{
	char longer[TLS_NAME_MAX + 2];
	struct buf b = BUF_INIT;
	X509 *cert;

	(void)state;
	memset(longer, 'x', sizeof(longer));
	expect_name(MBSTRING_UTF8, "host.example", -1, "host.example");
	expect_name(MBSTRING_UTF8, "\xc3\x9cml\xc3\xa4ut", -1,
		    "\xc3\x9cml\xc3\xa4ut");
	/* Latin 1 becomes UTF-8. */
	expect_name(V_ASN1_T61STRING, "\xdcml", 3, "\xc3\x9cml");
	expect_name(V_ASN1_UTF8STRING, "a\r\nb", 4, "");
	expect_name(V_ASN1_UTF8STRING, "a\0b", 3, "");
	expect_name(V_ASN1_UTF8STRING, "a\x7f", 2, "");
	expect_name(V_ASN1_UTF8STRING, "a\xc2\x85z", 4, "");
	expect_name(V_ASN1_UTF8STRING, "a\xff\xfe", 3, "");
	expect_name(V_ASN1_UTF8STRING, "\xc0\xaf", 2, "");
	expect_name(V_ASN1_UTF8STRING, longer, TLS_NAME_MAX + 1, "");
	cert = new_cert("O", V_ASN1_UTF8STRING, "Some Org", 8);
	tls_cert_subject(cert, "peer", &b);
	assert_int_equal(b.len, 0);
	tls_cert_issuer(cert, "peer", &b);
	assert_string_equal(buf_cstr(&b), "Some Org");
	tls_cert_oneline(X509_get_subject_name(cert), &b);
	assert_string_equal(buf_cstr(&b), "/O=Some Org");
	buf_free(&b);
	X509_free(cert);
}

static const char pem[] =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBHTCBxKADAgECAgEHMAoGCCqGSM49BAMCMBExDzANBgNVBAMMBmZpeGVkLjAe\n";

static void
test_fingerprint(void **state)
{
	X509 *cert = new_cert("CN", MBSTRING_UTF8, "a", -1);
	unsigned char md[EVP_MAX_MD_SIZE], *der = NULL;
	struct buf b = BUF_INIT, want = BUF_INIT;
	unsigned n;
	int len = i2d_X509(cert, &der);

	(void)state;
	EVP_Digest(der, (size_t)len, md, &n, EVP_sha256(), NULL);
	OPENSSL_free(der);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&want, i ? ":%02X" : "%02X", md[i]);
	assert_true(tls_cert_fingerprint(cert, EVP_sha256(), &b));
	assert_string_equal(buf_cstr(&b), buf_cstr(&want));
	assert_int_equal(b.len, 95);
	der = NULL;
	len = i2d_PUBKEY(key, &der);
	EVP_Digest(der, (size_t)len, md, &n, EVP_sha1(), NULL);
	OPENSSL_free(der);
	buf_reset(&want);
	for (unsigned i = 0; i < n; i++)
		buf_printf(&want, i ? ":%02X" : "%02X", md[i]);
	assert_true(tls_key_fingerprint(cert, EVP_sha1(), &b));
	assert_string_equal(buf_cstr(&b), buf_cstr(&want));
	buf_free(&b);
	buf_free(&want);
	X509_free(cert);
}

/* ---- chains ---- */

static char *
path_of(const char *name)
{
	static char path[200];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static void
write_file(const char *name, const char *text)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void
append_pem(const char *name, X509 *cert, EVP_PKEY *k)
{
	FILE *f = fopen(path_of(name), "a");

	assert_non_null(f);
	if (k)
		PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL);
	if (cert)
		PEM_write_X509(f, cert);
	fclose(f);
}

static bool
loads(const char *name)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	bool ok = tls_chain_load_files(ctx, path_of(name));

	SSL_CTX_free(ctx);
	return ok;
}

static void
test_chains(void **state)
{
	X509 *cert = new_cert("CN", MBSTRING_UTF8, "a", -1);
	EVP_PKEY *other = EVP_EC_gen("P-256");

	(void)state;
	append_pem("good", cert, key);
	append_pem("good", cert, NULL); /* as an authority */
	assert_true(loads("good"));
	append_pem("reversed", cert, NULL);
	append_pem("reversed", NULL, key);
	assert_false(loads("reversed"));
	append_pem("keyless", cert, NULL);
	assert_false(loads("keyless"));
	append_pem("certless", NULL, key);
	assert_false(loads("certless"));
	append_pem("mixed", NULL, other);
	append_pem("mixed", cert, NULL);
	assert_false(loads("mixed"));
	write_file("empty", "");
	assert_false(loads("empty"));
	write_file("cut", pem);
	assert_false(loads("cut"));
	write_file("bad", "-----BEGIN PRIVATE KEY-----\nAAAA\n"
			  "-----END PRIVATE KEY-----\n");
	assert_false(loads("bad"));
	assert_false(loads("nosuch"));
	EVP_PKEY_free(other);
	X509_free(cert);
}

/* ---- two ends of a connection ---- */

struct ends {
	SSL_CTX *server, *client;
	struct stream s, c;
	int fd[2];
};

static void
ends_open(struct ends *e)
{
	X509 *cert = new_cert("CN", MBSTRING_UTF8, "a", -1);

	memset(e, 0, sizeof(*e));
	e->server = SSL_CTX_new(TLS_server_method());
	e->client = SSL_CTX_new(TLS_client_method());
	assert_true(SSL_CTX_use_cert_and_key(e->server, cert, key, NULL, 1));
	SSL_CTX_set_mode(e->server, SSL_MODE_ENABLE_PARTIAL_WRITE |
					SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(e->server, 1);
	X509_free(cert);
}

static void
ends_connect(struct ends *e)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, e->fd), 0);
	stream_init(&e->s, e->fd[0], e->fd[0]);
	stream_init(&e->c, e->fd[1], e->fd[1]);
	stream_set_timeout(&e->s, 5000000);
	stream_set_timeout(&e->c, 5000000);
}

/* The client's side of it is a process; its exit status is the result. */
static pid_t
client(struct ends *e, int (*run)(struct ends *e))
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		SSL *ssl = SSL_new(e->client);

		close(e->fd[0]);
		SSL_set_connect_state(ssl);
		if (tls_stream_start(&e->c, ssl, 5000000) != TLS_HANDSHAKE_OK)
			_exit(100);
		_exit(run(e));
	}
	close(e->fd[1]);
	return pid;
}

static enum tls_handshake
serve(struct ends *e)
{
	SSL *ssl = SSL_new(e->server);

	SSL_set_accept_state(ssl);
	return tls_stream_start(&e->s, ssl, 5000000);
}

static int
finish(struct ends *e, pid_t pid)
{
	int status;

	tls_stream_close(&e->s, 0);
	stream_free(&e->s);
	stream_free(&e->c);
	close(e->fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 200;
}

static void
ends_close(struct ends *e)
{
	SSL_CTX_free(e->server);
	SSL_CTX_free(e->client);
}

enum { BIG = 300000 };

static int
talk(struct ends *e)
{
	struct span line;

	stream_printf(&e->c, "one\r\ntwo\r\n");
	for (int i = 0; i < BIG; i++)
		stream_write(&e->c, span_of("0123456789"));
	stream_printf(&e->c, "\r\n");
	if (stream_flush(&e->c) != STREAM_OK)
		return 1;
	if (stream_read_line(&e->c, 100, &line, NULL) != STREAM_OK ||
	    !span_equal_cstr(line, "thanks"))
		return 2;
	tls_stream_close(&e->c, 0);
	return 0;
}

static void
test_stream(void **state)
{
	struct ends e;
	struct span line;
	unsigned flags;
	pid_t pid;

	(void)state;
	ends_open(&e);
	ends_connect(&e);
	/* What came in the clear is gone. */
	assert_int_equal(send(e.fd[1], "evil\r\nevil\r\n", 12, 0), 12);
	assert_int_equal(stream_fill(&e.s), STREAM_OK);
	pid = client(&e, talk);
	assert_int_equal(serve(&e), TLS_HANDSHAKE_OK);
	assert_non_null(tls_stream_ssl(&e.s));
	assert_int_equal(stream_read_line(&e.s, 100, &line, &flags), STREAM_OK);
	assert_true(span_equal_cstr(line, "one"));
	assert_true(stream_has_input(&e.s));
	assert_int_equal(stream_read_line(&e.s, 100, &line, &flags), STREAM_OK);
	assert_true(span_equal_cstr(line, "two"));
	assert_int_equal(stream_read_line(&e.s, 100, &line, &flags), STREAM_OK);
	assert_true(flags & LINE_CUT);
	assert_false(stream_has_input(&e.s));
	stream_printf(&e.s, "thanks\r\n");
	assert_int_equal(stream_flush(&e.s), STREAM_OK);
	assert_int_equal(stream_read_line(&e.s, 100, &line, &flags),
			 STREAM_EOF);
	assert_int_equal(finish(&e, pid), 0);
	assert_null(tls_stream_ssl(&e.s));
	ends_close(&e);
}

static void
test_handshake_fails(void **state)
{
	struct ends e;
	SSL *ssl;

	(void)state;
	ends_open(&e);
	ends_connect(&e);
	assert_int_equal(send(e.fd[1], "EHLO x\r\n", 8, 0), 8);
	assert_int_equal(serve(&e), TLS_HANDSHAKE_FAILED);
	tls_stream_close(&e.s, 0);
	assert_int_equal(e.s.status, STREAM_EOF);
	close(e.fd[0]);
	close(e.fd[1]);

	ends_connect(&e);
	assert_int_equal(send(e.fd[1], "\x16\x03\x01", 3, 0), 3);
	shutdown(e.fd[1], SHUT_WR);
	assert_int_equal(serve(&e), TLS_HANDSHAKE_LOST);
	tls_stream_close(&e.s, 0);
	close(e.fd[0]);
	close(e.fd[1]);

	ends_connect(&e);
	ssl = SSL_new(e.server);
	SSL_set_accept_state(ssl);
	assert_int_equal(tls_stream_start(&e.s, ssl, 50000),
			 TLS_HANDSHAKE_TIMEOUT);
	tls_stream_close(&e.s, 0);
	close(e.fd[0]);
	close(e.fd[1]);
	ends_close(&e);
}

/* Both ends by steps, in one process: nothing here waits. */
static void
test_steps(void **state)
{
	enum tls_handshake a = TLS_HANDSHAKE_AGAIN, b = TLS_HANDSHAKE_AGAIN;
	struct ends e;
	SSL *s, *c;
	char text[8];

	(void)state;
	ends_open(&e);
	ends_connect(&e);
	s = SSL_new(e.server);
	c = SSL_new(e.client);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	tls_stream_begin(&e.s, s);
	tls_stream_begin(&e.c, c);
	assert_int_equal(tls_stream_step(&e.s), TLS_HANDSHAKE_AGAIN);
	assert_false(e.s.wait_write);
	for (int i = 0; i < 10 && (a != TLS_HANDSHAKE_OK || b != a); i++) {
		b = tls_stream_step(&e.c);
		a = tls_stream_step(&e.s);
	}
	assert_int_equal(a, TLS_HANDSHAKE_OK);
	assert_int_equal(b, TLS_HANDSHAKE_OK);
	assert_false(tls_stream_pending(&e.s));
	assert_int_equal(e.s.ops->read(&e.s, text, sizeof(text)), -1);
	assert_int_equal(errno, EAGAIN);
	/* Two records, read in parts. */
	assert_int_equal(e.c.ops->write(&e.c, "abc", 3), 3);
	assert_int_equal(e.c.ops->write(&e.c, "d", 1), 1);
	assert_int_equal(e.s.ops->read(&e.s, text, 2), 2);
	assert_true(tls_stream_pending(&e.s));
	assert_int_equal(e.s.ops->read(&e.s, text, sizeof(text)), 1);
	assert_true(tls_stream_pending(&e.s));
	assert_int_equal(e.s.ops->read(&e.s, text, sizeof(text)), 1);
	assert_int_equal(text[0], 'd');
	assert_false(tls_stream_pending(&e.s));
	tls_stream_close(&e.c, 0);
	assert_true(tls_stream_pending(&e.s)); /* the end */
	assert_int_equal(e.s.ops->read(&e.s, text, sizeof(text)), 0);
	tls_stream_close(&e.s, 0);
	close(e.fd[0]);
	close(e.fd[1]);
	ends_close(&e);
}

static void
test_steps_fail(void **state)
{
	struct ends e;
	SSL *s;

	(void)state;
	ends_open(&e);
	ends_connect(&e);
	s = SSL_new(e.server);
	SSL_set_accept_state(s);
	tls_stream_begin(&e.s, s);
	assert_int_equal(send(e.fd[1], "\x16\x03\x01", 3, 0), 3);
	assert_int_equal(tls_stream_step(&e.s), TLS_HANDSHAKE_AGAIN);
	close(e.fd[1]);
	assert_int_equal(tls_stream_step(&e.s), TLS_HANDSHAKE_LOST);
	tls_stream_close(&e.s, 0);
	close(e.fd[0]);
	ends_close(&e);
}

/* ---- tickets ---- */

static SSL_SESSION *session;

/* One connection in this process, both sides in turn; was it resumed? */
static bool
connect_once(struct ends *e, int version)
{
	SSL *s = SSL_new(e->server), *c = SSL_new(e->client);
	BIO *a, *b;
	bool reused;
	char byte;

	BIO_new_bio_pair(&a, 65536, &b, 65536);
	SSL_set_bio(s, a, a);
	SSL_set_bio(c, b, b);
	SSL_set_accept_state(s);
	SSL_set_connect_state(c);
	SSL_set_max_proto_version(c, version);
	if (session)
		SSL_set_session(c, session);
	for (int i = 0; i < 10; i++) {
		SSL_do_handshake(c);
		SSL_do_handshake(s);
	}
	assert_true(SSL_is_init_finished(s) && SSL_is_init_finished(c));
	SSL_read(c, &byte, 1); /* tickets of TLS 1.3 */
	reused = SSL_session_reused(s);
	if (!session)
		session = SSL_get1_session(c);
	SSL_shutdown(c);
	SSL_free(s);
	SSL_free(c);
	return reused;
}

static struct tls_tickets *
attach(struct ends *e, const char *context, int64_t life)
{
	struct tls_tickets *t = tls_tickets_open(
	    path_of("tickets"), "root", "aes-256-cbc", life, span_of(context));

	assert_non_null(t);
	tls_tickets_attach(t, e->server, false);
	return t;
}

static void
try_tickets(int version)
{
	struct ends e, other;
	struct tls_tickets *t, *t2;
	struct stat st;

	ends_open(&e);
	ends_open(&other);
	t = attach(&e, "smtp", 3600);
	t2 = attach(&other, "submission", 3600);
	session = NULL;
	assert_false(connect_once(&e, version));
	assert_true(connect_once(&e, version));
	assert_false(connect_once(&other, version));
	tls_tickets_free(t2);
	/* Another process of the same service. */
	t2 = attach(&other, "smtp", 3600);
	assert_true(connect_once(&other, version));
	tls_tickets_free(t2);
	tls_tickets_free(t);
	assert_int_equal(stat(path_of("tickets"), &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	SSL_SESSION_free(session);
	ends_close(&e);
	ends_close(&other);
}

static void
test_tickets(void **state)
{
	(void)state;
	try_tickets(TLS1_2_VERSION);
	try_tickets(TLS1_3_VERSION);
}

/* Make the newest secret of the file look that many seconds older. */
static void
grow_old(int seconds)
{
	unsigned char data[512], *digest;
	int fd = open(path_of("tickets"), O_RDWR);
	ssize_t n = read(fd, data, sizeof(data));
	int64_t made;

	assert_true(n > 40);
	memcpy(&made, data + 8, sizeof(made));
	made -= seconds;
	memcpy(data + 8, &made, sizeof(made));
	digest = data + n - 32;
	EVP_Digest(data, (size_t)n - 32, digest, NULL, EVP_sha256(), NULL);
	assert_int_equal(pwrite(fd, data, (size_t)n, 0), n);
	close(fd);
}

static void
test_ticket_age(void **state)
{
	struct ends e;
	struct tls_tickets *t;

	(void)state;
	ends_open(&e);
	t = attach(&e, "age", 3600);
	session = NULL;
	assert_false(connect_once(&e, TLS1_2_VERSION));
	grow_old(2000); /* a new secret is made, the old one still decrypts */
	assert_true(connect_once(&e, TLS1_2_VERSION));
	SSL_SESSION_free(session);
	session = NULL;
	assert_false(connect_once(&e, TLS1_2_VERSION));
	grow_old(3600 + 1800 + 10);
	assert_false(connect_once(&e, TLS1_2_VERSION));
	SSL_SESSION_free(session);
	tls_tickets_free(t);
	assert_null(tls_tickets_open(path_of("tickets"), "root", "nosuch", 60,
				     span_of("x")));
	assert_null(tls_tickets_open(path_of("tickets"), "root", "aes-256-gcm",
				     60, span_of("x")));
	ends_close(&e);
}

/* A link in the place of the file is not followed, and tickets still work. */
static void
test_ticket_file_is_a_link(void **state)
{
	struct ends e;
	struct tls_tickets *t;
	struct stat st;
	char target[200];

	(void)state;
	unlink(path_of("tickets"));
	snprintf(target, sizeof(target), "%s", path_of("victim"));
	assert_int_equal(symlink(target, path_of("tickets")), 0);
	ends_open(&e);
	t = attach(&e, "x", 3600);
	session = NULL;
	assert_false(connect_once(&e, TLS1_3_VERSION));
	assert_true(connect_once(&e, TLS1_3_VERSION));
	assert_int_equal(stat(target, &st), -1);
	SSL_SESSION_free(session);
	tls_tickets_free(t);
	ends_close(&e);
	unlink(path_of("tickets"));
}

/* ---- files that are replaced ---- */

static void
test_watch(void **state)
{
	struct watch *w = watch_new();
	char link[200], target[200];

	(void)state;
	write_file("w1", "1");
	write_file("w2", "2");
	snprintf(target, sizeof(target), "%s", path_of("w1"));
	snprintf(link, sizeof(link), "%s", path_of("wl"));
	assert_int_equal(symlink("w1", link), 0);
	watch_add(w, link);
	watch_add(w, path_of("later"));
	watch_add(w, "/nonexistent/a/b");
	assert_false(watch_changed(w));
	write_file("w2", "22");
	assert_false(watch_changed(w));
	write_file("w1", "11");
	assert_true(watch_changed(w));
	assert_false(watch_changed(w));
	assert_int_equal(symlink("w2", path_of("wx")), 0);
	assert_int_equal(rename(path_of("wx"), link), 0);
	assert_true(watch_changed(w));
	write_file("later", "x");
	assert_true(watch_changed(w));
	watch_free(w);
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	conf = &settings;
	log_set_sink(quiet);
	key = EVP_EC_gen("P-256");
	return key ? 0 : -1;
}

static int
teardown(void **state)
{
	char command[300];

	(void)state;
	EVP_PKEY_free(key);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? 0 : -1;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_protocols),
	    cmocka_unit_test(test_ciphers),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_groups),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_fingerprint),
	    cmocka_unit_test(test_chains),
	    cmocka_unit_test(test_stream),
	    cmocka_unit_test(test_handshake_fails),
	    cmocka_unit_test(test_steps),
	    cmocka_unit_test(test_steps_fail),
	    cmocka_unit_test(test_tickets),
	    cmocka_unit_test(test_ticket_age),
	    cmocka_unit_test(test_ticket_file_is_a_link),
	    cmocka_unit_test(test_watch),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
