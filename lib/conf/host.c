/* SPDX-License-Identifier: MIT */
#include "lib/conf/host.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"

enum style { STYLE_CLASS, STYLE_SUBNET, STYLE_HOST };

struct address {
	int family;
	unsigned char addr[16];
	int prefix; /* of its subnet */
};

struct addresses {
	struct address *v;
	size_t n;
};

void
host_name(const char *domain, struct buf *out)
{
	char name[HOST_NAME_MAX + 1] = "";

	if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
		buf_set_cstr(out, "localhost");
	else
		buf_set_cstr(out, name);
	if (!strchr(buf_cstr(out), '.'))
		buf_printf(out, ".%s", domain);
}

const char *
host_domain(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot && dot[1] ? dot + 1 : "localdomain";
}

static int
address_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

static bool
set_address(struct address *a, const struct sockaddr *sa)
{
	const void *raw;

	if (!sa)
		return false;
	if (sa->sa_family == AF_INET)
		raw = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
	else if (sa->sa_family == AF_INET6)
		raw =
		    &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
	else
		return false;
	a->family = sa->sa_family;
	memcpy(a->addr, raw, (size_t)address_bytes(a->family));
	return true;
}

static int
prefix_of(const struct sockaddr *mask)
{
	struct address m = {0};
	int bits = 0;

	if (!set_address(&m, mask))
		return 128;
	for (int i = 0; i < address_bytes(m.family); i++)
		bits += __builtin_popcount(m.addr[i]);
	return bits;
}

static bool
same_address(const struct address *a, const struct address *b)
{
	return a->family == b->family &&
	       !memcmp(a->addr, b->addr, (size_t)address_bytes(a->family));
}

static struct address *
find_address(const struct addresses *list, const struct address *a)
{
	for (size_t i = 0; i < list->n; i++)
		if (same_address(&list->v[i], a))
			return &list->v[i];
	return NULL;
}

static void
add_address(struct addresses *list, const struct address *a)
{
	if (find_address(list, a))
		return;
	list->v = mem_realloc(list->v, list->n + 1, sizeof(*list->v));
	list->v[list->n++] = *a;
}

static bool
wanted_family(int family, const char *protocols)
{
	if (conf_list_has(protocols, "all"))
		return family == AF_INET || family == AF_INET6;
	return (family == AF_INET && conf_list_has(protocols, "ipv4")) ||
	       (family == AF_INET6 && conf_list_has(protocols, "ipv6"));
}

/* The addresses of all interfaces that are up. */
static void
own_addresses(const char *protocols, struct addresses *out)
{
	struct ifaddrs *all;

	if (getifaddrs(&all) < 0)
		return;
	for (struct ifaddrs *i = all; i; i = i->ifa_next) {
		struct address a = {0};

		if (!set_address(&a, i->ifa_addr) ||
		    !wanted_family(a.family, protocols))
			continue;
		a.prefix = prefix_of(i->ifa_netmask);
		add_address(out, &a);
	}
	freeifaddrs(all);
}

static bool
is_loopback(const struct address *a)
{
	static const unsigned char six[16] = {[15] = 1};

	return a->family == AF_INET ? a->addr[0] == 127
				    : !memcmp(a->addr, six, 16);
}

/* Add the own addresses that one element of inet_interfaces names. */
static bool
select_host(const struct addresses *own, const char *name,
	    const char *protocols, struct addresses *out, struct buf *error)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char *plain = mem_strdup(name);
	size_t len = strlen(plain);
	size_t count = 0;

	if (len > 1 && plain[0] == '[' && plain[len - 1] == ']') {
		memmove(plain, plain + 1, len - 2);
		plain[len - 2] = '\0';
	}
	hints.ai_flags = AI_NUMERICHOST;
	if (getaddrinfo(plain, NULL, &hints, &found)) {
		hints.ai_flags = 0;
		if (getaddrinfo(plain, NULL, &hints, &found))
			found = NULL;
	}
	for (struct addrinfo *i = found; i; i = i->ai_next) {
		struct address a = {0};
		struct address *mine;

		if (!set_address(&a, i->ai_addr) ||
		    !wanted_family(a.family, protocols))
			continue;
		count++;
		mine = find_address(own, &a);
		if (!mine) {
			buf_printf(error,
				   "parameter inet_interfaces: no local "
				   "interface found for %s",
				   plain);
			break;
		}
		add_address(out, mine);
	}
	if (count == 0)
		buf_printf(error,
			   "config variable inet_interfaces: host not found: "
			   "%s",
			   name);
	if (found)
		freeaddrinfo(found);
	free(plain);
	return error->len == 0;
}

static bool
select_addresses(const char *interfaces, const char *protocols,
		 struct addresses *out, struct buf *error)
{
	struct addresses own = {NULL, 0};
	struct strvec names = STRVEC_INIT;
	bool ok = true;

	own_addresses(protocols, &own);
	strvec_split(&names, span_of(interfaces), ", \t\r\n", false);
	if (names.n == 1 && !strcmp(names.v[0], "all")) {
		*out = own;
		own = (struct addresses){NULL, 0};
	} else if (names.n == 1 && !strcmp(names.v[0], "loopback-only")) {
		for (size_t i = 0; i < own.n; i++)
			if (is_loopback(&own.v[i]))
				add_address(out, &own.v[i]);
	} else {
		for (size_t i = 0; i < names.n && ok; i++)
			ok = select_host(&own, names.v[i], protocols, out,
					 error);
	}
	strvec_free(&names);
	free(own.v);
	return ok;
}

static int
class_prefix(const struct address *a)
{
	if (a->family == AF_INET6)
		return a->prefix;
	return a->addr[0] < 128 ? 8 : a->addr[0] < 192 ? 16 : 24;
}

static void
print_network(struct address a, enum style style, struct strvec *out)
{
	char text[INET6_ADDRSTRLEN];
	int width = address_bytes(a.family) * 8;
	int prefix = style == STYLE_HOST    ? width
		     : style == STYLE_CLASS ? class_prefix(&a)
					    : a.prefix;
	char *net;

	if (prefix > width)
		prefix = width;
	for (int i = 0; i < width; i++)
		if (i >= prefix)
			a.addr[i / 8] &= (unsigned char)~(0x80 >> (i % 8));
	inet_ntop(a.family, a.addr, text, sizeof(text));
	net = mem_sprintf(a.family == AF_INET ? "%s/%d" : "[%s]/%d", text,
			  prefix);
	if (!strvec_has(out, net))
		strvec_add(out, net);
	free(net);
}

static bool
parse_style(const char *text, enum style *out, struct buf *error)
{
	struct strvec words = STRVEC_INIT;
	bool one;

	strvec_split(&words, span_of(text), ", \t\r\n", false);
	one = words.n == 1;
	if (!one)
		buf_printf(error,
			   "bad mynetworks_style value: %s; specify exactly "
			   "one value",
			   text);
	else if (!strcmp(words.v[0], "class"))
		*out = STYLE_CLASS;
	else if (!strcmp(words.v[0], "subnet"))
		*out = STYLE_SUBNET;
	else if (!strcmp(words.v[0], "host"))
		*out = STYLE_HOST;
	else
		buf_printf(error,
			   "unknown mynetworks mask style value \"%s\" in "
			   "\"%s\"",
			   words.v[0], text);
	strvec_free(&words);
	return error->len == 0;
}

bool
host_check_protocols(const char *text, struct buf *error)
{
	struct strvec words = STRVEC_INIT;

	strvec_split(&words, span_of(text), ", \t\r\n", false);
	for (size_t i = 0; i < words.n && error->len == 0; i++)
		if (strcmp(words.v[i], "all") && strcmp(words.v[i], "ipv4") &&
		    strcmp(words.v[i], "ipv6"))
			buf_printf(error,
				   "unknown inet_protocols value \"%s\" in "
				   "\"%s\"",
				   words.v[i], text);
	strvec_free(&words);
	return error->len == 0;
}

bool
host_networks(const char *style_text, const char *interfaces,
	      const char *protocols, struct buf *out, struct buf *error)
{
	struct addresses list = {NULL, 0};
	struct strvec nets = STRVEC_INIT;
	enum style style = STYLE_SUBNET;

	if (!parse_style(style_text, &style, error) ||
	    !host_check_protocols(protocols, error))
		return false;
	if (select_addresses(interfaces, protocols, &list, error)) {
		for (size_t i = 0; i < list.n; i++)
			print_network(list.v[i], style, &nets);
		for (size_t i = 0; i < nets.n; i++)
			buf_printf(out, "%s%s", i ? " " : "", nets.v[i]);
	}
	strvec_free(&nets);
	free(list.v);
	return error->len == 0;
}
