/* SPDX-License-Identifier: MIT */
/*
 * sock - listening, connecting, and the text form of addresses.
 *
 * Every descriptor made here is close-on-exec. An IPv6 socket never takes
 * IPv4 (IPV6_V6ONLY). Failure is -1 or false with errno.
 */
#ifndef LIB_SYS_SOCK_H
#define LIB_SYS_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { SOCK_TEXT_MAX = 64 }; /* of an address, with scope id and NUL */

struct sock_addr {
	struct sockaddr_storage ss;
	socklen_t len;
};

struct sock_addrs {
	struct sock_addr *v;
	size_t n;
};

void sock_addrs_free(struct sock_addrs *a);
/* Without duplicates. */
void sock_addrs_add(struct sock_addrs *a, const struct sock_addr *addr);

/* "192.0.2.1", "::1", "fe80::1%eth0"; brackets and "IPv6:" are not for here. */
bool sock_addr_parse(const char *text, int port, struct sock_addr *out);
/* The address without port; an IPv4-mapped one as IPv4. "unknown" when it is
 * not of the Internet. */
void sock_addr_format(const struct sock_addr *a, char out[SOCK_TEXT_MAX]);
int sock_addr_port(const struct sock_addr *a);
void sock_addr_set_port(struct sock_addr *a, int port);
/* Same family and address; the port does not count. */
bool sock_addr_same_host(const struct sock_addr *a, const struct sock_addr *b);

bool sock_peer(int fd, struct sock_addr *out);
bool sock_local(int fd, struct sock_addr *out);

/*
 * A TCP port: a number, a name in known ("smtp=25, smtps=submissions=465", as
 * known_tcp_ports), or one of services(5). false: there is none.
 */
bool sock_port(const char *service, const char *known, int *port);

/* Address families that inet_protocols ("all", "ipv4", "ipv4, ipv6") allows. */
enum { SOCK_IPV4 = 1, SOCK_IPV6 = 2 };
unsigned sock_families(const char *inet_protocols);

/* What the system's resolver says about host, or host itself when it is an
 * address. Never on the way of a message: it may wait for DNS. */
bool sock_lookup_host(const char *host, unsigned families,
		      struct sock_addrs *out);

/*
 * The addresses that inet_interfaces stands for: "all" the wildcard addresses
 * when wildcard is set, else those of every interface; "loopback-only" what
 * there is of 127.0.0.0/8 and ::1; or a list of names and addresses. false:
 * reason (static text or name at fault).
 */
bool sock_own_addresses(const char *inet_interfaces, unsigned families,
			bool wildcard, struct sock_addrs *out,
			const char **reason);

/* A non-blocking listening TCP socket. */
int sock_listen_inet(const struct sock_addr *a, int backlog);
/*
 * A non-blocking listening UNIX socket of type SOCK_STREAM or SOCK_DGRAM; an
 * old socket at path is replaced, a file of another kind is not (EEXIST).
 */
int sock_listen_unix(const char *path, int type, mode_t mode, int backlog);
/* A FIFO, open for reading and writing so that it never ends; non-blocking. */
int sock_listen_fifo(const char *path, mode_t mode);

/* Blocking socket, connected within timeout seconds (ETIMEDOUT). */
int sock_connect_unix(const char *path, int timeout);
/* from may be NULL. deadline: io_monotonic(), -1 none. */
int sock_connect_inet(const struct sock_addr *to, const struct sock_addr *from,
		      int64_t deadline);

#endif
