/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "master/master.h"

enum {
	LOG_PIPE_BYTES = 256 * 1024,
	BACKLOG = 4096,     /* the system's limit is lower, most likely */
	SOCKET_MODE = 0666, /* the directory decides who gets in */
};

static void
on_client(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	master_spawn_start(arg);
}

void
master_listen_watch(struct service_entry *s, bool on)
{
	for (size_t i = 0; i < s->n_listen; i++) {
		if (on)
			event_add(s->listen[i].event, NULL);
		else
			event_del(s->listen[i].event);
	}
}

static void
add_listener(struct service_entry *s, int fd, const struct sock_addr *addr)
{
	size_t i = s->n_listen++;

	s->listen = mem_realloc(s->listen, s->n_listen, sizeof(*s->listen));
	s->listen[i].fd = fd;
	s->listen[i].keep = true;
	if (addr)
		s->listen[i].addr = *addr;
	s->listen[i].event =
	    event_new(master.base, fd, EV_READ | EV_PERSIST, on_client, s);
	if (!s->listen[i].event)
		log_fatal("cannot watch a socket");
}

/*
 * A process that still serves a client has the socket, too: close() alone
 * would leave new clients waiting there for nobody.
 */
static void
drop_listener(struct service_entry *s, size_t i)
{
	event_free(s->listen[i].event);
	if (s->type == MASTER_INET || s->type == MASTER_UNIX)
		shutdown(s->listen[i].fd, SHUT_RDWR);
	close(s->listen[i].fd);
	s->listen[i] = s->listen[--s->n_listen];
}

void
master_listen_refuse(void)
{
	for (struct service_entry *s = master.services; s; s = s->next) {
		while (s->type == MASTER_INET && s->n_listen)
			drop_listener(s, s->n_listen - 1);
	}
}

/* Its other end, which postlogd reads, is a listener. */
static void
open_log_pipe(struct service_entry *s)
{
	int pair[2];

	if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0) {
		log_warn("pipe to %s: %m", s->name);
		return;
	}
	/* As big as it is allowed to be. */
	fcntl(pair[0], F_SETPIPE_SZ, LOG_PIPE_BYTES);
	add_listener(s, pair[0], NULL);
	master.log_pipe = pair[1];
	s->has_log_pipe = true;
}

static void
close_log_pipe(struct service_entry *s)
{
	close(master.log_pipe);
	master.log_pipe = -1;
	s->has_log_pipe = false;
}

void
master_listen_close(struct service_entry *s)
{
	if (s->has_log_pipe)
		close_log_pipe(s);
	while (s->n_listen)
		drop_listener(s, s->n_listen - 1);
	if (s->path)
		unlink(s->path);
}

/* "host:port", "[host]:port" or "port"; host "" is inet_interfaces. */
static bool
split_endpoint(const char *name, char **host, char **port)
{
	const char *colon = strrchr(name, ':');
	size_t len = colon ? (size_t)(colon - name) : 0;

	if (!colon || len == 0) {
		*host = mem_strdup("");
		*port = mem_strdup(colon ? colon + 1 : name);
		return true;
	}
	if (name[0] == '[') {
		if (len < 3 || name[len - 1] != ']')
			return false;
		name++;
		len -= 2;
	}
	*host = mem_strndup(name, len);
	*port = mem_strdup(colon + 1);
	return true;
}

static bool
find_addresses(struct service_entry *s, struct sock_addrs *out)
{
	unsigned families = sock_families(conf->inet_protocols);
	char *host = NULL, *port = NULL;
	const char *reason;
	int number = 0;
	bool ok = false;

	if (!split_endpoint(s->name, &host, &port)) {
		log_error("%s/inet: bad hostname or network address", s->name);
	} else if (!sock_port(port, conf->known_tcp_ports, &number)) {
		log_error("%s/inet: unknown service or port: %s", s->name,
			  port);
	} else if (*host) {
		ok = sock_lookup_host(host, families, out);
		if (!ok)
			log_error("%s/inet: bad hostname or network address: "
				  "%s (inet_protocols = %s)",
				  s->name, host, conf->inet_protocols);
	} else {
		ok = sock_own_addresses(conf->inet_interfaces, families, true,
					out, &reason);
		if (!ok)
			log_error("%s/inet: inet_interfaces: cannot find an "
				  "address for \"%s\"",
				  s->name, reason);
	}
	for (size_t i = 0; i < out->n; i++)
		sock_addr_set_port(&out->v[i], number);
	free(host);
	free(port);
	return ok;
}

static bool
already_open(struct service_entry *s, const struct sock_addr *a)
{
	for (size_t i = 0; i < s->n_listen; i++) {
		if (sock_addr_same_host(&s->listen[i].addr, a) &&
		    sock_addr_port(&s->listen[i].addr) == sock_addr_port(a)) {
			s->listen[i].keep = true;
			return true;
		}
	}
	return false;
}

static bool
may_be_missing(const struct sock_addr *a)
{
	return a->ss.ss_family == AF_INET6 &&
	       (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
}

static bool
listen_inet(struct service_entry *s)
{
	struct sock_addrs want = {NULL, 0};
	char text[SOCK_TEXT_MAX];
	bool ok = find_addresses(s, &want);

	for (size_t i = 0; i < s->n_listen; i++)
		s->listen[i].keep = !ok;
	for (size_t i = 0; ok && i < want.n; i++) {
		int fd;

		if (already_open(s, &want.v[i]))
			continue;
		fd = sock_listen_inet(&want.v[i], BACKLOG);
		if (fd >= 0) {
			add_listener(s, fd, &want.v[i]);
			continue;
		}
		/* A kernel without IPv6; what else there is must do. */
		if (may_be_missing(&want.v[i]) && want.n > 1)
			continue;
		sock_addr_format(&want.v[i], text);
		log_error("bind %s port %d: %m", text,
			  sock_addr_port(&want.v[i]));
		ok = false;
	}
	for (size_t i = s->n_listen; i-- > 0;) {
		if (!s->listen[i].keep)
			drop_listener(s, i);
	}
	sock_addrs_free(&want);
	return ok && s->n_listen > 0;
}

static bool
listen_local(struct service_entry *s)
{
	char *path =
	    mem_sprintf("%s/%s", s->is_private ? "private" : "public", s->name);
	int fd, saved;

	if (s->n_listen && s->path && strcmp(path, s->path) == 0) {
		free(path);
		return true;
	}
	master_listen_close(s);
	free(s->path);
	s->path = path;
	if (!master_become_owner())
		return false;
	if (s->type == MASTER_FIFO)
		fd = sock_listen_fifo(path, SOCKET_MODE);
	else
		fd = sock_listen_unix(
		    path,
		    s->type == MASTER_UNIX_DGRAM ? SOCK_DGRAM : SOCK_STREAM,
		    SOCKET_MODE, BACKLOG);
	saved = errno;
	master_become_root();
	if (fd < 0) {
		errno = saved;
		log_error("%s: listen: %m", path);
		return false;
	}
	add_listener(s, fd, NULL);
	if (master_services_is_log(s) && master.log_pipe < 0)
		open_log_pipe(s);
	return true;
}

bool
master_listen_open(struct service_entry *s)
{
	return s->type == MASTER_INET ? listen_inet(s) : listen_local(s);
}
