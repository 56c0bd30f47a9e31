/* SPDX-License-Identifier: MIT */
/* The part of sock.h that asks the system about names. */
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/span.h"
#include "lib/sys/sock.h"

#define SEPARATORS ", \t\r\n"

/* known is a list of "name=name=port". */
static bool
known_port(struct span service, const char *known, int *port)
{
	struct span rest = span_of(known), entry;

	while (span_next_token(&rest, SEPARATORS, &entry)) {
		struct span names = entry, name;
		long last = span_rfind(entry, '=');
		int64_t n;

		if (last < 0 || !num_parse(span_from(entry, (size_t)last + 1),
					   1, 65535, &n))
			continue;
		names.len = (size_t)last;
		while (span_next_token(&names, "=", &name)) {
			if (span_equal_nocase(name, service)) {
				*port = (int)n;
				return true;
			}
		}
	}
	return false;
}

bool
sock_port(const char *service, const char *known, int *port)
{
	struct servent *se;
	int64_t n;

	if (num_parse(span_of(service), 1, 65535, &n)) {
		*port = (int)n;
		return true;
	}
	if (known && known_port(span_of(service), known, port))
		return true;
	se = getservbyname(service, "tcp");
	if (!se)
		return false;
	*port = ntohs((uint16_t)se->s_port);
	return true;
}

unsigned
sock_families(const char *inet_protocols)
{
	struct span rest = span_of(inet_protocols), word;
	unsigned families = 0;

	while (span_next_token(&rest, SEPARATORS, &word)) {
		if (span_equal_cstr_nocase(word, "all"))
			families |= SOCK_IPV4 | SOCK_IPV6;
		else if (span_equal_cstr_nocase(word, "ipv4"))
			families |= SOCK_IPV4;
		else if (span_equal_cstr_nocase(word, "ipv6"))
			families |= SOCK_IPV6;
	}
	return families;
}

static bool
family_wanted(const struct sockaddr *sa, unsigned families)
{
	if (!sa)
		return false;
	return (sa->sa_family == AF_INET && (families & SOCK_IPV4)) ||
	       (sa->sa_family == AF_INET6 && (families & SOCK_IPV6));
}

static void
add_raw(struct sock_addrs *out, const struct sockaddr *sa)
{
	struct sock_addr a = {.len = sa->sa_family == AF_INET
					 ? sizeof(struct sockaddr_in)
					 : sizeof(struct sockaddr_in6)};

	memcpy(&a.ss, sa, a.len);
	sock_addrs_add(out, &a);
}

bool
sock_lookup_host(const char *host, unsigned families, struct sock_addrs *out)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	struct sock_addr a;
	size_t before = out->n;

	if (sock_addr_parse(host, 0, &a)) {
		if (family_wanted((struct sockaddr *)&a.ss, families))
			sock_addrs_add(out, &a);
		return out->n > before;
	}
	if (families == SOCK_IPV4)
		hints.ai_family = AF_INET;
	else if (families == SOCK_IPV6)
		hints.ai_family = AF_INET6;
	if (getaddrinfo(host, NULL, &hints, &list) != 0) {
		errno = ENOENT;
		return false;
	}
	for (struct addrinfo *ai = list; ai; ai = ai->ai_next) {
		if (family_wanted(ai->ai_addr, families))
			add_raw(out, ai->ai_addr);
	}
	freeaddrinfo(list);
	return out->n > before;
}

static void
add_wildcards(unsigned families, struct sock_addrs *out)
{
	struct sock_addr a;

	if ((families & SOCK_IPV4) && sock_addr_parse("0.0.0.0", 0, &a))
		sock_addrs_add(out, &a);
	if ((families & SOCK_IPV6) && sock_addr_parse("::", 0, &a))
		sock_addrs_add(out, &a);
}

/* By address: other addresses of the loopback interface are reachable from
 * outside. */
static bool
is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		return ntohl(in->sin_addr.s_addr) >> 24 == 127;
	}
	return IN6_IS_ADDR_LOOPBACK(
	    &((const struct sockaddr_in6 *)sa)->sin6_addr);
}

static bool
add_interfaces(unsigned families, bool loopback_only, struct sock_addrs *out)
{
	struct ifaddrs *list = NULL;

	if (getifaddrs(&list) < 0)
		return false;
	for (struct ifaddrs *i = list; i; i = i->ifa_next) {
		if (!(i->ifa_flags & IFF_UP) ||
		    !family_wanted(i->ifa_addr, families) ||
		    (loopback_only && !is_loopback(i->ifa_addr)))
			continue;
		add_raw(out, i->ifa_addr);
	}
	freeifaddrs(list);
	return true;
}

static bool
add_named(struct span word, unsigned families, struct sock_addrs *out)
{
	char *host;
	bool ok;

	if (word.len > 2 && word.data[0] == '[' &&
	    word.data[word.len - 1] == ']')
		word = span_make(word.data + 1, word.len - 2);
	host = mem_strndup(word.data, word.len);
	ok = sock_lookup_host(host, families, out);
	/* An address of a family that is switched off is no mistake. */
	if (!ok) {
		struct sock_addr a;

		ok = sock_addr_parse(host, 0, &a);
	}
	free(host);
	return ok;
}

bool
sock_own_addresses(const char *inet_interfaces, unsigned families,
		   bool wildcard, struct sock_addrs *out, const char **reason)
{
	struct span rest = span_of(inet_interfaces), word;
	bool any = false;

	*reason = "no address";
	while (span_next_token(&rest, SEPARATORS, &word)) {
		bool ok = true;

		any = true;
		if (span_equal_cstr_nocase(word, "all")) {
			if (wildcard)
				add_wildcards(families, out);
			else
				ok = add_interfaces(families, false, out);
		} else if (span_equal_cstr_nocase(word, "loopback-only")) {
			ok = add_interfaces(families, true, out);
		} else {
			ok = add_named(word, families, out);
		}
		if (!ok) {
			*reason = word.data;
			return false;
		}
	}
	return any && out->n > 0;
}
