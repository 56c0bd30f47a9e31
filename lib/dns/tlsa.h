/* SPDX-License-Identifier: MIT */
/*
 * tlsa - TLSA records (RFC 6698 section 2): what a server's certificate must
 * match, as found in the DNS. lib/tls/tls_dane.h makes OpenSSL use them.
 */
#ifndef LIB_DNS_TLSA_H
#define LIB_DNS_TLSA_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/dns/dns.h"

/* Usages of certificates (RFC 7218); 0 and 1 are not for SMTP. */
enum {
	TLSA_DANE_TA = 2,
	TLSA_DANE_EE = 3,
};

enum {
	TLSA_MAX = 100,            /* of one server; more are left out */
	TLSA_DATA_MAX = 16 * 1024, /* a certificate */
};

struct tlsa {
	uint8_t usage, selector, mtype;
	struct buf data;
};

struct tlsa_list {
	struct tlsa *v;
	size_t n;
};

/* A copy of data. false: TLSA_MAX are there already, or it is too long. */
bool tlsa_list_add(struct tlsa_list *l, uint8_t usage, uint8_t selector,
		   uint8_t mtype, struct span data);
void tlsa_list_free(struct tlsa_list *l);

/* Add a record from its data in hexadecimal, as dns_query() gives it. false:
 * not that form, no data behind the three numbers, or no place. */
bool tlsa_list_add_hex(struct tlsa_list *l, struct span hex);

/* Append "3 1 1 ABCDEF". */
void tlsa_format(const struct tlsa *t, struct buf *out);

/* Append "_25._tcp.host". */
void tlsa_name(const char *host, int port, struct buf *out);

#endif
