/* SPDX-License-Identifier: MIT */
#include "lib/smtp/dest.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/dns/name.h"

static const char separators[] = ", \t\r\n";

static void
dest_free(struct dest *d)
{
	free(d->name);
	free(d->host);
	free(d->service);
}

void
dest_list_free(struct dest_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		dest_free(&l->v[i]);
	free(l->v);
	*l = (struct dest_list){NULL, 0};
}

/* "a=b=25": is service among the names in front of the last '='? */
static int
known_port(struct span entry, struct span service)
{
	long eq = span_rfind(entry, '=');
	struct span names, name;
	int64_t port;

	if (eq < 0 || !num_parse(span_trim(span_from(entry, (size_t)eq + 1)), 1,
				 65535, &port))
		return 0;
	names = span_make(entry.data, (size_t)eq);
	while (span_next_token(&names, "= \t", &name))
		if (span_equal(name, service))
			return (int)port;
	return 0;
}

int
dest_port(struct span service, const char *known_ports)
{
	struct span rest = span_of(known_ports), entry;
	struct servent *se;
	int64_t number;
	char *name;
	int port;

	if (num_parse(service, 1, 65535, &number))
		return (int)number;
	while (span_next_token(&rest, ",\r\n", &entry)) {
		port = known_port(entry, service);
		if (port)
			return port;
	}
	name = mem_strndup(service.data, service.len);
	se = getservbyname(name, "tcp");
	free(name);
	return se ? ntohs((uint16_t)se->s_port) : 0;
}

/* Split "[host]:port", "host:port", "host" (which may be an IPv6 address). */
static bool
split_host(struct span text, struct dest *d, struct span *host,
	   struct span *port)
{
	long end;

	*port = span_make(NULL, 0);
	if (text.len && text.data[0] == '[') {
		end = span_find(text, ']');
		if (end < 0)
			return false;
		*host = span_make(text.data + 1, (size_t)end - 1);
		text = span_from(text, (size_t)end + 1);
		d->mx = false;
		if (text.len && text.data[0] != ':')
			return false;
		*port = span_from(text, 1);
	} else {
		end = span_find(text, ':');
		if (end < 0 || end != span_rfind(text, ':')) {
			*host = text;
		} else {
			*host = span_make(text.data, (size_t)end);
			*port = span_from(text, (size_t)end + 1);
		}
	}
	if (span_starts_nocase(*host, "ipv6:"))
		*host = span_from(*host, 5);
	return host->len > 0;
}

static bool
is_address(struct span host)
{
	unsigned char addr[16];
	char text[INET6_ADDRSTRLEN];

	if (host.len >= sizeof(text))
		return false;
	memcpy(text, host.data, host.len);
	text[host.len] = '\0';
	return inet_pton(AF_INET, text, addr) == 1 ||
	       inet_pton(AF_INET6, text, addr) == 1;
}

/* A name, which may be in UTF-8. */
static bool
is_hostname(struct span host)
{
	struct buf ascii = BUF_INIT;
	bool ok = host.data[host.len - 1] != '.' &&
		  dns_name_to_ascii(host, &ascii) &&
		  addr_valid_hostname(buf_span(&ascii));

	buf_free(&ascii);
	return ok;
}

static bool
parse_inet(struct span text, const struct dest_rules *rules, struct dest *d,
	   struct why *why)
{
	struct span host, port;
	int standard =
	    dest_port(span_of(rules->default_port), rules->known_ports);

	d->mx = !rules->lmtp;
	if (!split_host(text, d, &host, &port) ||
	    (!is_address(host) && !is_hostname(host))) {
		why_set(why, "4.3.5", "bad destination: %.*s", SPAN_ARG(text));
		return false;
	}
	if (port.len && d->mx)
		d->service = mem_strndup(port.data, port.len);
	if (port.len == 0)
		port = span_of(rules->default_port);
	d->port = dest_port(port, rules->known_ports);
	if (d->port == 0) {
		why_set(why, "4.3.5", "unknown service: %.*s/tcp",
			SPAN_ARG(port));
		return false;
	}
	d->std_port = !rules->lmtp && d->port == standard;
	if (is_address(host))
		d->mx = false;
	d->host = mem_strndup(host.data, host.len);
	return true;
}

static bool
parse_one(struct span text, const struct dest_rules *rules, struct dest *d,
	  struct why *why)
{
	*d = (struct dest){0};
	d->name = mem_strndup(text.data, text.len);
	if (rules->lmtp && span_starts_nocase(text, "unix:")) {
		text = span_from(text, 5);
		if (text.len == 0) {
			why_set(why, "4.3.5", "bad destination: unix:");
			return false;
		}
		d->path = true;
		d->host = mem_strndup(text.data, text.len);
		return true;
	}
	if (rules->lmtp && span_starts_nocase(text, "inet:"))
		text = span_from(text, 5);
	return parse_inet(text, rules, d, why);
}

bool
dest_list_parse(struct span text, const struct dest_rules *rules,
		struct dest_list *l, struct why *why)
{
	size_t before = l->n;
	struct span one;

	while (span_next_token(&text, separators, &one)) {
		struct dest d;

		if (l->n - before == DEST_MAX)
			break;
		if (!parse_one(one, rules, &d, why)) {
			dest_free(&d);
			goto bad;
		}
		l->v = mem_realloc(l->v, l->n + 1, sizeof(*l->v));
		l->v[l->n++] = d;
	}
	if (l->n > before)
		return true;
	why_set(why, "4.3.5", "no destination");
bad:
	while (l->n > before)
		dest_free(&l->v[--l->n]);
	return false;
}
