/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/dns/dns.h"
#include "lib/service/service.h"
#include "lib/service/service_pass.h"

enum { LOOKUP_SECONDS = 20 };

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

void
smtpd_peer_derive(struct smtpd_peer *p)
{
	const char *addr = buf_cstr(&p->addr);

	buf_reset(&p->rfc_addr);
	buf_printf(&p->rfc_addr, "%s%s", strchr(addr, ':') ? "IPv6:" : "",
		   addr);
	buf_reset(&p->namaddr);
	buf_printf(&p->namaddr, "%s[%s]", buf_cstr(&p->name), addr);
	if (conf->smtpd_client_port_logging)
		buf_printf(&p->namaddr, ":%s", buf_cstr(&p->port));
}

static void
set_address(const struct sock_addr *a, struct buf *addr, struct buf *port)
{
	char text[SOCK_TEXT_MAX];

	sock_addr_format(a, text);
	buf_set_cstr(addr, text);
	buf_reset(port);
	buf_printf(port, "%d", sock_addr_port(a));
}

void
smtpd_peer_set(struct smtpd_peer *p, const struct sock_addr *client,
	       const struct sock_addr *server)
{
	set_address(client, &p->addr, &p->port);
	if (server->len)
		set_address(server, &p->server_addr, &p->server_port);
	buf_set_cstr(&p->name, "unknown");
	buf_set_cstr(&p->reverse_name, "unknown");
	if (conf->smtpd_peername_lookup)
		find_name(p);
	else
		p->name_status = p->reverse_status = PEER_BAD;
	smtpd_peer_derive(p);
}

static void
set_local(struct smtpd_peer *p)
{
	buf_set_cstr(&p->name, "localhost");
	buf_set_cstr(&p->reverse_name, "localhost");
	buf_set_cstr(&p->addr, "127.0.0.1");
	buf_set_cstr(&p->port, "0");
	buf_set_cstr(&p->server_addr, "127.0.0.1");
	buf_set_cstr(&p->server_port, "0");
	smtpd_peer_derive(p);
}

void
smtpd_peer_init(struct smtpd_peer *p, int fd)
{
	const struct service_peer *passed = service_passed_peer();
	struct sock_addr client, server = {.len = 0};

	/* A service in front has said who it is: the socket is a proxy's. */
	if (passed) {
		smtpd_peer_set(p, &passed->client, &passed->server);
	} else if (sock_peer(fd, &client) &&
		   (client.ss.ss_family == AF_INET ||
		    client.ss.ss_family == AF_INET6)) {
		if (!sock_local(fd, &server))
			server.len = 0;
		smtpd_peer_set(p, &client, &server);
	} else {
		set_local(p);
	}
}

void
smtpd_peer_free(struct smtpd_peer *p)
{
	buf_free(&p->name);
	buf_free(&p->reverse_name);
	buf_free(&p->addr);
	buf_free(&p->rfc_addr);
	buf_free(&p->port);
	buf_free(&p->namaddr);
	buf_free(&p->server_addr);
	buf_free(&p->server_port);
}
