/* SPDX-License-Identifier: MIT */
/*
 * dns - questions to the suite's resolver (resolver(8): libunbound, one
 * cache, DNSSEC validated) over private/resolver. Blocking, for sessions.
 */
#ifndef LIB_DNS_DNS_H
#define LIB_DNS_DNS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/strvec.h"
#include "lib/dsn/why.h"

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_TLSA = 52,
};

enum dns_status {
	DNS_FOUND,
	DNS_NO_NAME,  /* NXDOMAIN */
	DNS_NO_DATA,  /* the name exists, not with this type */
	DNS_RETRY,    /* no answer, SERVFAIL, bogus; reason says */
	DNS_BAD_NAME, /* can never be a domain name */
};

enum {
	DNS_HOSTS = 1 << 0, /* A, AAAA, PTR: look into /etc/hosts first */
	DNS_HOSTS_ONLY = 1 << 1,
};

struct dns_rr {
	int preference; /* MX; SRV priority */
	int weight, port; /* SRV */
	char *text;	/* address, host name without final dot ("" is the
			   root, as in a null MX), or the data in hex */
};

struct dns_answer {
	enum dns_status status;
	bool secure;	/* DNSSEC validated */
	int ttl;	/* seconds */
	char *canonical;/* name after CNAMEs */
	struct dns_rr *rr;
	size_t n;
	struct buf reason;
};

#define DNS_ANSWER_INIT {.reason = BUF_INIT}

/*
 * Ask. name in ASCII or UTF-8 (converted, IDNA2008). For DNS_PTR name is an
 * IP address in text form. Always returns within timeout seconds.
 */
enum dns_status dns_query(const char *name, enum dns_type type,
			  unsigned flags, int timeout,
			  struct dns_answer *answer);
void dns_answer_free(struct dns_answer *a);

/* For commands. Does a resolver take questions? Seen from the working
 * directory, as dns_query() does. */
bool dns_is_reachable(void);
/* Ask this connection from now on. Takes over fd. */
void dns_use(int fd);

#endif
