/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "lib/tls/tls_error.h"

enum {
	SECRET_LEN = 32,
	SECRETS =
	    4, /* each is new for half a life, and decrypts for one more */
	NAME_LEN = 16, /* of a key, within the ticket */
	MAC_KEY_LEN = 32,
	TRIES = 5,
};

struct secret {
	int64_t made; /* wall clock, seconds; 0: none */
	unsigned char bytes[SECRET_LEN];
};

/* The file, newest secret first. */
struct store {
	char magic[8];
	struct secret secret[SECRETS];
	unsigned char digest[32]; /* SHA-256 of the above: no torn reads */
};

static const char magic[8] = "PRTLS01";

/* What a service makes of a secret. */
struct keys {
	unsigned char name[NAME_LEN];
	unsigned char mac[MAC_KEY_LEN];
	unsigned char cipher[EVP_MAX_KEY_LENGTH];
};

struct tls_tickets {
	int fd;
	int64_t life;
	EVP_CIPHER *cipher;
	unsigned char context[32];
	bool verbose;
};

/* ---- the file ---- */

static bool
store_digest(const struct store *st, unsigned char *out)
{
	return EVP_Digest(st, offsetof(struct store, digest), out, NULL,
			  EVP_sha256(), NULL);
}

static bool
store_valid(const struct store *st)
{
	unsigned char digest[32];

	return !memcmp(st->magic, magic, sizeof(magic)) &&
	       store_digest(st, digest) &&
	       !memcmp(digest, st->digest, sizeof(digest));
}

/* Somebody may be writing: try again. */
static bool
store_read(const struct tls_tickets *t, struct store *st)
{
	for (int i = 0; i < TRIES; i++) {
		if (!io_pread_all(t->fd, st, sizeof(*st), 0))
			return false;
		if (store_valid(st))
			return true;
		usleep(1000);
	}
	return false;
}

static bool
too_old(const struct tls_tickets *t, const struct store *st, int64_t now)
{
	int64_t age = now - st->secret[0].made;

	/* A clock that was set back must not keep a secret for ever. */
	return age < -60 || age >= t->life / 2;
}

static void
store_add(struct store *st, int64_t now)
{
	if (!store_valid(st))
		memset(st, 0, sizeof(*st));
	memcpy(st->magic, magic, sizeof(magic));
	memmove(st->secret + 1, st->secret,
		(SECRETS - 1) * sizeof(st->secret[0]));
	st->secret[0].made = now;
	if (RAND_bytes(st->secret[0].bytes, SECRET_LEN) != 1 ||
	    !store_digest(st, st->digest))
		memset(st, 0, sizeof(*st));
}

/* Of the process: workers share the open file with their parent. */
static bool
lock_file(const struct tls_tickets *t, short type)
{
	struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
	int n;

	do {
		n = fcntl(t->fd, F_SETLKW, &lock);
	} while (n < 0 && errno == EINTR);
	return n == 0;
}

/* A secret that is young enough, made if there is none. */
static bool
store_current(const struct tls_tickets *t, struct store *st)
{
	int64_t now = (int64_t)time(NULL);
	bool ok;

	if (store_read(t, st) && !too_old(t, st, now))
		return true;
	if (!lock_file(t, F_WRLCK))
		return false;
	if (!store_read(t, st))
		memset(st, 0, sizeof(*st));
	ok = true;
	if (!store_valid(st) || too_old(t, st, now)) {
		store_add(st, now);
		ok =
		    store_valid(st) && io_pwrite_all(t->fd, st, sizeof(*st), 0);
	}
	lock_file(t, F_UNLCK);
	return ok;
}

/* ---- keys ---- */

static bool
derive(const struct tls_tickets *t, const struct secret *s, struct keys *k)
{
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM p[] = {
	    OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
					     (char[]){"SHA256"}, 0),
	    OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
					      (void *)s->bytes, SECRET_LEN),
	    OSSL_PARAM_construct_octet_string(
		OSSL_KDF_PARAM_INFO, (void *)t->context, sizeof(t->context)),
	    OSSL_PARAM_construct_end(),
	};
	bool ok =
	    ctx && EVP_KDF_derive(ctx, (unsigned char *)k, sizeof(*k), p) > 0;

	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ok;
}

static bool
set_mac(EVP_MAC_CTX *mac, const struct keys *k)
{
	OSSL_PARAM p[] = {
	    OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
					      (void *)k->mac, sizeof(k->mac)),
	    OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
					     (char[]){"SHA256"}, 0),
	    OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, p) > 0;
}

static int ctx_index = -1; /* of the tls_tickets in an SSL_CTX */

static void
log_use(const struct tls_tickets *t, SSL *ssl, const char *what,
	const struct secret *s, int64_t until)
{
	const char *peer = SSL_get_app_data(ssl);

	if (t->verbose)
		log_info("%s: %s session ticket, key expiration: %lld",
			 peer ? peer : "unknown", what,
			 (long long)(s->made + until));
}

static int
issue(const struct tls_tickets *t, SSL *ssl, unsigned char *name,
      unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	int iv_len = EVP_CIPHER_get_iv_length(t->cipher);
	struct store st;
	struct keys k;
	int ok = 0; /* no ticket, and no harm */

	if (store_current(t, &st) && derive(t, &st.secret[0], &k) &&
	    (iv_len == 0 || RAND_bytes(iv, iv_len) == 1)) {
		memcpy(name, k.name, NAME_LEN);
		ok = EVP_EncryptInit_ex2(cipher, t->cipher, k.cipher, iv,
					 NULL) > 0 &&
		     set_mac(mac, &k);
	}
	if (ok)
		log_use(t, ssl, "Issuing", &st.secret[0], t->life / 2);
	OPENSSL_cleanse(&st, sizeof(st));
	OPENSSL_cleanse(&k, sizeof(k));
	return ok;
}

/* 1: go on, 2: and give out a new one, 0: a full handshake. */
static int
redeem(const struct tls_tickets *t, SSL *ssl, const unsigned char *name,
       const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	int64_t now = (int64_t)time(NULL);
	struct store st;
	struct keys k;
	int ok = 0;

	if (!store_read(t, &st))
		return 0;
	for (int i = 0; i < SECRETS && st.secret[i].made; i++) {
		int64_t age = now - st.secret[i].made;

		if (age < -60 || age >= t->life / 2 + t->life)
			break;
		if (!derive(t, &st.secret[i], &k) ||
		    CRYPTO_memcmp(name, k.name, NAME_LEN))
			continue;
		if (EVP_DecryptInit_ex2(cipher, t->cipher, k.cipher, iv, NULL) >
			0 &&
		    set_mac(mac, &k))
			ok = age < t->life / 2 ? 1 : 2;
		if (ok)
			log_use(t, ssl, "Decrypting", &st.secret[i],
				t->life / 2 + t->life);
		break;
	}
	OPENSSL_cleanse(&st, sizeof(st));
	OPENSSL_cleanse(&k, sizeof(k));
	return ok;
}

static int
on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv,
	  EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int create)
{
	const struct tls_tickets *t =
	    SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), ctx_index);

	return create ? issue(t, ssl, name, iv, cipher, mac)
		      : redeem(t, ssl, name, iv, cipher, mac);
}

/* ---- open ---- */

/* As the owner of the directory, who could put a link in root's way. */
static int
open_as(const char *path, const char *owner)
{
	struct passwd *pw = geteuid() == 0 ? getpwnam(owner) : NULL;
	const char *reason = NULL;
	int fd;

	if (geteuid() == 0 && !pw)
		return -1;
	if (pw && (setegid(pw->pw_gid) < 0 || seteuid(pw->pw_uid) < 0))
		log_fatal("cannot become %s: %m", owner);
	fd = fs_open_safe(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600, geteuid(),
			  &reason);
	if (fd < 0)
		log_warn("cannot open %s: %s", path,
			 reason ? reason : strerror(errno));
	if (pw && (seteuid(0) < 0 || setegid(0) < 0))
		log_fatal("cannot become root again: %m");
	return fd;
}

static bool
usable(const EVP_CIPHER *c)
{
	int mode = c ? EVP_CIPHER_get_mode(c) : 0;

	/* The ticket has a MAC of its own. */
	return c && (mode == EVP_CIPH_CBC_MODE || mode == EVP_CIPH_CTR_MODE) &&
	       EVP_CIPHER_get_iv_length(c) <= EVP_MAX_IV_LENGTH;
}

struct tls_tickets *
tls_tickets_open(const char *path, const char *owner, const char *cipher,
		 int64_t life, struct span context)
{
	struct tls_tickets *t;
	EVP_CIPHER *c = EVP_CIPHER_fetch(NULL, cipher, NULL);

	if (!usable(c)) {
		tls_error_clear();
		EVP_CIPHER_free(c);
		log_warn("tls_session_ticket_cipher: invalid value: %s; "
			 "session tickets disabled",
			 cipher);
		return NULL;
	}
	t = mem_alloc(sizeof(*t));
	t->life = life;
	t->cipher = c;
	EVP_Digest(context.data, context.len, t->context, NULL, EVP_sha256(),
		   NULL);
	t->fd = open_as(path, owner);
	if (t->fd < 0)
		t->fd = memfd_create("tls tickets", MFD_CLOEXEC);
	if (t->fd < 0)
		log_fatal("memfd_create: %m");
	return t;
}

void
tls_tickets_free(struct tls_tickets *t)
{
	if (!t)
		return;
	close(t->fd);
	EVP_CIPHER_free(t->cipher);
	free(t);
}

void
tls_tickets_attach(struct tls_tickets *t, SSL_CTX *ctx, bool verbose)
{
	if (ctx_index < 0)
		ctx_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
	t->verbose = verbose;
	SSL_CTX_set_ex_data(ctx, ctx_index, t);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
