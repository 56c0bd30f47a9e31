/* SPDX-License-Identifier: MIT */
#include "lib/tls/tls_params.h"

#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/ssl.h>

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"

#define SEPARATORS ", \t\r\n:"
#define LIST_SEPARATORS ", \t\r\n"

/* ---- protocols ---- */

static const struct {
	const char *name;
	int version;  /* 0: too old to be anything but a name */
	uint64_t off; /* 0: this OpenSSL never offers it */
} protocols[] = {
    {"SSLv2", 0, 0},
    {"SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3},
    {"TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1},
    {"TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1},
    {"TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2},
    {"TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3},
};

enum { N_PROTOCOLS = sizeof(protocols) / sizeof(protocols[0]) };

static int
find_protocol(struct span name)
{
	for (int i = 0; i < N_PROTOCOLS; i++)
		if (span_equal_cstr_nocase(name, protocols[i].name))
			return i;
	return -1;
}

/* ">=" and "<=": a name, or a version in hexadecimal digits. */
static bool
parse_bound(struct span word, int *version)
{
	int i = find_protocol(word);
	uint64_t n;

	if (i >= 0) {
		*version = protocols[i].version;
		return true;
	}
	if (!num_parse_base(word, 16, 0xffff, &n))
		return false;
	*version = (int)n;
	return true;
}

bool
tls_protocols_parse(struct span text, struct tls_protocols *p)
{
	unsigned with = 0, without = 0;
	struct span word;
	int i;

	*p = (struct tls_protocols){0};
	while (span_next_token(&text, SEPARATORS, &word)) {
		bool not = word.data[0] == '!';

		if (span_starts_nocase(word, ">=")) {
			if (!parse_bound(span_from(word, 2), &p->min))
				return false;
			continue;
		}
		if (span_starts_nocase(word, "<=")) {
			if (!parse_bound(span_from(word, 2), &p->max))
				return false;
			continue;
		}
		i = find_protocol(span_from(word, not ? 1 : 0));
		if (i < 0)
			return false;
		*(not ? &without : &with) |= 1U << i;
	}
	for (i = 0; i < N_PROTOCOLS; i++)
		if ((without >> i & 1) || (with && !(with >> i & 1)))
			p->off |= protocols[i].off;
	return true;
}

/* ---- ciphers ---- */

bool
tls_cipher_grade(const char *grade, struct buf *out)
{
	const struct {
		const char *name, *list;
	} grades[] = {
	    {"high", conf->tls_high_cipherlist},
	    {"medium", conf->tls_medium_cipherlist},
	    {"low", conf->tls_low_cipherlist},
	    {"export", conf->tls_export_cipherlist},
	    {"null", conf->tls_null_cipherlist},
	};

	for (size_t i = 0; i < sizeof(grades) / sizeof(grades[0]); i++) {
		if (!span_equal_cstr_nocase(span_of(grade), grades[i].name))
			continue;
		buf_append_cstr(out, grades[i].list);
		return true;
	}
	return false;
}

void
tls_cipher_exclude(const char *list, struct buf *out)
{
	struct span rest = span_of(list), word;

	while (span_next_token(&rest, SEPARATORS, &word))
		buf_printf(out, ":!%.*s", SPAN_ARG(word));
}

/* ---- options ---- */

struct option_name {
	const char *name;
	uint64_t bit;
};

static const struct option_name options[] = {
    {"ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
    {"NO_COMPRESSION", SSL_OP_NO_COMPRESSION},
    {"NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC},
    {"NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION},
    {"NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
     SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION},
    {"NO_TICKET", SSL_OP_NO_TICKET},
    {"PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA},
    {"SINGLE_DH_USE", SSL_OP_SINGLE_DH_USE},
    {"SINGLE_ECDH_USE", SSL_OP_SINGLE_ECDH_USE},
    {NULL, 0},
};

/* Those that OpenSSL 3 has no bit for are known words without effect. */
static const struct option_name workarounds[] = {
    {"CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG},
    {"DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS},
    {"LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT},
    {"MICROSOFT_BIG_SSLV3_BUFFER", 0},
    {"MICROSOFT_SESS_ID_BUG", 0},
    {"MSIE_SSLV2_RSA_PADDING", 0},
    {"NETSCAPE_CHALLENGE_BUG", 0},
    {"NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0},
    {"SSLEAY_080_CLIENT_DH_BUG", 0},
    {"SSLREF2_REUSE_CERT_TYPE_BUG", 0},
    {"TLS_BLOCK_PADDING_BUG", 0},
    {"TLS_D5_BUG", 0},
    {"TLS_ROLLBACK_BUG", SSL_OP_TLS_ROLLBACK_BUG},
    {"TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING},
    {NULL, 0},
};

static uint64_t
parse_options(const char *param, const char *text,
	      const struct option_name *names)
{
	struct span rest = span_of(text), word;
	uint64_t bits = 0, n;

	while (span_next_token(&rest, LIST_SEPARATORS, &word)) {
		const struct option_name *o = names;

		while (o->name && !span_equal_cstr_nocase(word, o->name))
			o++;
		if (o->name)
			bits |= o->bit;
		else if (span_starts_nocase(word, "0x") &&
			 num_parse_base(span_from(word, 2), 16, UINT64_MAX, &n))
			bits |= n;
		else
			log_warn("unknown %s value \"%.*s\" in \"%s\"", param,
				 SPAN_ARG(word), text);
	}
	return bits;
}

uint64_t
tls_options(void)
{
	return (SSL_OP_ALL & ~parse_options("tls_disable_workarounds",
					    conf->tls_disable_workarounds,
					    workarounds)) |
	       parse_options("tls_ssl_options", conf->tls_ssl_options, options);
}

/* ---- curves ---- */

static bool
known_group(struct span name)
{
	char text[80];
	int nid;

	if (name.len >= sizeof(text))
		return false;
	memcpy(text, name.data, name.len);
	text[name.len] = '\0';
	nid = EC_curve_nist2nid(text);
	if (nid == NID_undef)
		nid = OBJ_sn2nid(text);
	if (nid == NID_undef)
		nid = OBJ_ln2nid(text);
	return nid != NID_undef;
}

void
tls_groups(const char *list, struct buf *out)
{
	struct span rest = span_of(list), word;

	while (span_next_token(&rest, SEPARATORS, &word)) {
		if (!known_group(word)) {
			log_warn("ignoring unknown ECDHE curve \"%.*s\"",
				 SPAN_ARG(word));
			continue;
		}
		if (out->len)
			buf_append_byte(out, ':');
		buf_append_span(out, word);
	}
}

int
tls_loglevel(const char *param, const char *text)
{
	int64_t n;

	if (num_parse(span_of(text), 0, 4, &n))
		return (int)n;
	log_warn("unknown %s value \"%s\" in \"%s\"", param, text, text);
	return 0;
}
