/* SPDX-License-Identifier: MIT */
/*
 * wire - DNS answer packets (RFC 1035 section 4) and the text form of
 * records that travels between the resolver and its clients.
 *
 * Nothing in a packet is trusted: every length is checked, compression
 * pointers must go backwards, CNAME chains are bounded.
 */
#ifndef LIB_DNS_WIRE_H
#define LIB_DNS_WIRE_H

#include "lib/dns/dns.h"

enum {
	DNS_RR_MAX = 500,   /* records of one answer; the rest is dropped */
	DNS_CHAIN_MAX = 16, /* CNAMEs followed */
	DNS_NAME_TEXT_MAX = 1024,
};

/*
 * Read the records of the given type that answer the packet's question, past
 * CNAMEs, into answer (status, ttl, canonical, rr). The response code decides
 * between DNS_NO_NAME, DNS_NO_DATA and DNS_RETRY; reason is set for
 * DNS_RETRY. false: not a well-formed answer; answer is DNS_RETRY then.
 */
bool dns_wire_parse(struct span packet, enum dns_type type,
		    struct dns_answer *answer);

/*
 * Text form of a record: MX "10 host", SRV "priority weight port host", other
 * types the text alone. A name has no final dot; bytes that no host name has
 * are written \DDD (RFC 1035 section 5.1), so it never passes for one.
 */
void dns_rr_format(enum dns_type type, const struct dns_rr *rr,
		   struct buf *out);
/* false: not that form. rr->text is then NULL. */
bool dns_rr_parse(enum dns_type type, struct span text, struct dns_rr *rr);

/* Append an empty record. */
struct dns_rr *dns_answer_add(struct dns_answer *a);

/*
 * "4.3.2.1.in-addr.arpa" of an address in text form (RFC 1035 section 3.5,
 * RFC 3596 section 2.5); false when it is no address.
 */
bool dns_reverse_name(const char *addr, struct buf *out);

/* "MX", "A"; "TYPE257" for others (static memory). */
const char *dns_type_name(enum dns_type type);
/* The type of such a name, without case; 0: not one of enum dns_type. */
enum dns_type dns_type_by_name(struct span name);

#endif
