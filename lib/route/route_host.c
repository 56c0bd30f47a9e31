/* SPDX-License-Identifier: MIT */
/* The addresses of this host: inet_interfaces and proxy_interfaces. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>

#include "lib/base/htab.h"
#include "lib/base/log.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/route/route_internal.h"

/* Keys are the address bytes: 4 or 16 of them. */
static struct htab *own;
static int own_mark;

static bool
protocol_enabled(int family)
{
	const char *want = conf->inet_protocols;

	if (conf_list_has(want, "all"))
		return family == AF_INET || family == AF_INET6;
	return (family == AF_INET && conf_list_has(want, "ipv4")) ||
	       (family == AF_INET6 && conf_list_has(want, "ipv6"));
}

static struct span
address_bytes(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return span_make(
		    (const char *)&(
			(const struct sockaddr_in *)(const void *)sa)
			->sin_addr,
		    4);
	return span_make(
	    (const char *)&((const struct sockaddr_in6 *)(const void *)sa)
		->sin6_addr,
	    16);
}

static void
add_address(const struct sockaddr *sa)
{
	if (sa && protocol_enabled(sa->sa_family))
		htab_put(own, address_bytes(sa), &own_mark);
}

static void
add_interfaces(void)
{
	struct ifaddrs *list, *i;

	if (getifaddrs(&list) < 0) {
		log_warn("cannot list the network interfaces: %m");
		return;
	}
	for (i = list; i; i = i->ifa_next)
		if (i->ifa_flags & IFF_UP)
			add_address(i->ifa_addr);
	freeifaddrs(list);
}

static void
add_host(const char *parameter, const char *name)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *i;
	char plain[256];
	size_t n = strlen(name);
	int err;

	if (n > 2 && name[0] == '[' && name[n - 1] == ']' &&
	    n < sizeof(plain)) {
		memcpy(plain, name + 1, n - 2);
		plain[n - 2] = '\0';
		name = plain;
	}
	err = getaddrinfo(name, NULL, &hints, &list);
	if (err) {
		log_warn("parameter %s: no address for \"%s\": %s", parameter,
			 name, gai_strerror(err));
		return;
	}
	for (i = list; i; i = i->ai_next)
		add_address(i->ai_addr);
	freeaddrinfo(list);
}

static void
add_list(const char *parameter, const char *value)
{
	struct strvec names = STRVEC_INIT;

	strvec_split(&names, span_of(value), " \t\r\n,", false);
	for (size_t i = 0; i < names.n; i++) {
		if (!strcmp(names.v[i], "all")) {
			add_interfaces();
		} else if (!strcmp(names.v[i], "loopback-only")) {
			add_host(parameter, "127.0.0.1");
			add_host(parameter, "::1");
		} else {
			add_host(parameter, names.v[i]);
		}
	}
	strvec_free(&names);
}

void
route_host_open(void)
{
	htab_free(own, NULL);
	own = htab_new();
	add_list("inet_interfaces", conf->inet_interfaces);
	add_list("proxy_interfaces", conf->proxy_interfaces);
}

bool
route_is_own_address(const char *addr)
{
	unsigned char bin[16];

	if (!own)
		return false;
	if (inet_pton(AF_INET, addr, bin) == 1)
		return htab_get(own, span_make((char *)bin, 4)) != NULL;
	if (inet_pton(AF_INET6, addr, bin) == 1)
		return htab_get(own, span_make((char *)bin, 16)) != NULL;
	return false;
}
