/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/service/service.h"
#include "lib/service/service_pass.h"

enum { LOOKUP_SECONDS = 20 };

/* A client that came by IPv4 to an IPv6 socket is an IPv4 client. */
static void
unmap_v4(struct sockaddr_storage *ss, socklen_t *len)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = {.sin_family = AF_INET};

	if (ss->ss_family != AF_INET6)
		return;
	memcpy(&six, ss, sizeof(six));
	if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	four.sin_port = six.sin6_port;
	memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
	memcpy(ss, &four, sizeof(four));
	*len = sizeof(four);
}

static bool
address_text(struct sockaddr_storage *ss, socklen_t len, struct buf *addr,
	     struct buf *port)
{
	char host[NI_MAXHOST], service[NI_MAXSERV];

	unmap_v4(ss, &len);
	if (getnameinfo((struct sockaddr *)ss, len, host, sizeof(host), service,
			sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV))
		return false;
	buf_set_cstr(addr, host);
	buf_set_cstr(port, service);
	return true;
}

static bool
leads_back(const char *name, const char *addr, struct smtpd_peer *p)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	enum dns_type type = strchr(addr, ':') ? DNS_AAAA : DNS_A;
	enum dns_status st =
	    dns_query(name, type, DNS_HOSTS, LOOKUP_SECONDS, &a);
	bool found = false;

	for (size_t i = 0; st == DNS_FOUND && i < a.n && !found; i++)
		found = !strcasecmp(a.rr[i].text, addr);
	if (st == DNS_RETRY) {
		p->name_status = PEER_TEMP;
		log_warn("hostname %s does not resolve to address %s: "
			 "Temporary failure in name resolution",
			 name, addr);
	} else if (!found) {
		p->name_status = PEER_BAD;
		log_warn("hostname %s does not resolve to address %s%s", name,
			 addr,
			 st == DNS_FOUND     ? ""
			 : st == DNS_NO_DATA ? ": No address associated with "
					       "hostname"
					     : ": Name or service not known");
	}
	dns_answer_free(&a);
	return found;
}

/* A PTR record can say anything: only a host name may go on. */
static bool
usable_name(const char *name, const char *addr)
{
	unsigned char bin[16];

	if (inet_pton(AF_INET, name, bin) == 1 ||
	    inet_pton(AF_INET6, name, bin) == 1) {
		log_warn("numeric hostname: %s", name);
		return false;
	}
	if (!addr_valid_hostname(span_of(name))) {
		log_warn("malformed domain name in resource data of "
			 "PTR record for %s: %s",
			 addr, name);
		return false;
	}
	return true;
}

static void
find_name(struct smtpd_peer *p)
{
	struct dns_answer a = DNS_ANSWER_INIT;
	const char *addr = buf_cstr(&p->addr);
	enum dns_status st =
	    dns_query(addr, DNS_PTR, DNS_HOSTS, LOOKUP_SECONDS, &a);

	if (st != DNS_FOUND || a.n == 0) {
		p->name_status = st == DNS_RETRY ? PEER_TEMP : PEER_BAD;
		p->reverse_status = p->name_status;
	} else if (!usable_name(a.rr[0].text, addr)) {
		p->name_status = p->reverse_status = PEER_BAD;
	} else {
		buf_set_cstr(&p->reverse_name, a.rr[0].text);
		if (leads_back(a.rr[0].text, addr, p))
			buf_set_cstr(&p->name, a.rr[0].text);
	}
	dns_answer_free(&a);
}

static void
set_derived(struct smtpd_peer *p)
{
	const char *addr = buf_cstr(&p->addr);

	buf_printf(&p->rfc_addr, "%s%s", strchr(addr, ':') ? "IPv6:" : "",
		   addr);
	buf_printf(&p->namaddr, "%s[%s]", buf_cstr(&p->name), addr);
	if (conf->smtpd_client_port_logging)
		buf_printf(&p->namaddr, ":%s", buf_cstr(&p->port));
}

/* A service in front has said who it is: the socket is a proxy's. */
static void
set_passed(struct smtpd_peer *p, const struct service_peer *peer)
{
	struct sock_addr a = peer->client;

	address_text(&a.ss, a.len, &p->addr, &p->port);
	a = peer->server;
	address_text(&a.ss, a.len, &p->server_addr, &p->server_port);
}

static void
find_own_name(struct smtpd_peer *p)
{
	buf_set_cstr(&p->name, "unknown");
	buf_set_cstr(&p->reverse_name, "unknown");
	if (conf->smtpd_peername_lookup)
		find_name(p);
	else
		p->name_status = p->reverse_status = PEER_BAD;
}

void
smtpd_peer_init(struct smtpd_peer *p, int fd)
{
	const struct service_peer *passed = service_passed_peer();
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (passed) {
		set_passed(p, passed);
		find_own_name(p);
	} else if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
		   (ss.ss_family == AF_INET || ss.ss_family == AF_INET6) &&
		   address_text(&ss, len, &p->addr, &p->port)) {
		len = sizeof(ss);
		if (getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
			address_text(&ss, len, &p->server_addr,
				     &p->server_port);
		find_own_name(p);
	} else {
		buf_set_cstr(&p->name, "localhost");
		buf_set_cstr(&p->reverse_name, "localhost");
		buf_set_cstr(&p->addr, "127.0.0.1");
		buf_set_cstr(&p->port, "0");
		buf_set_cstr(&p->server_addr, "127.0.0.1");
		buf_set_cstr(&p->server_port, "0");
	}
	set_derived(p);
}
