/* SPDX-License-Identifier: MIT */
/* The back end that speaks Dovecot's auth protocol over one connection, which
 * is kept from client to client. */
#include "lib/sasl/authn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/dns.h"
#include "lib/sasl/dovecot.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"

enum {
	HELLO_SECONDS = 10,
	HELLO_LINES_MAX = 200,
	STALE_LINES_MAX = 1000, /* answers to dialogues that were broken off */
};

static const char lost[] = "Connection lost to authentication server";

struct mech {
	char *name;
	unsigned flags;
};

static struct {
	const struct authn_settings *settings;
	char *host, *port; /* of inet:; host NULL: a path */
	const char *path;
	int fd;
	pid_t pid; /* a child must not read its parent's answers */
	struct buf in;
	uint32_t id;
	bool used; /* an answer came over this connection */
	struct mech mechs[AUTHN_MECHS_MAX];
	size_t n_mechs;
} conn = {.fd = -1};

/* ---- the connection ---- */

static void
drop(void)
{
	if (conn.fd >= 0)
		close(conn.fd);
	conn.fd = -1;
	conn.used = false;
	authn_wipe(&conn.in);
	for (size_t i = 0; i < conn.n_mechs; i++)
		free(conn.mechs[i].name);
	conn.n_mechs = 0;
}

static bool
send_all(const struct buf *out, int64_t deadline)
{
	size_t done = 0;

	while (done < out->len) {
		ssize_t n = send(conn.fd, out->data + done, out->len - done,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0 || errno != EAGAIN ||
		    io_wait_writable(conn.fd, deadline) == 0)
			return false;
	}
	return true;
}

/* More input, at most a line's worth in all. */
static bool
fill(int64_t deadline)
{
	char data[2048];
	ssize_t n;
	int ready;

	do {
		ready = io_wait_readable(conn.fd, deadline);
	} while (ready < 0 && errno == EINTR);
	if (ready == 0)
		log_warn("SASL: timeout waiting for the authentication server");
	if (ready <= 0)
		return false;
	n = recv(conn.fd, data, sizeof(data), MSG_DONTWAIT);
	if (n < 0)
		return errno == EINTR || errno == EAGAIN;
	if (n == 0)
		return false;
	if (conn.in.len + (size_t)n > DOVECOT_LINE_MAX + sizeof(data)) {
		log_warn("SASL: the authentication server sends lines that "
			 "are too long");
		return false;
	}
	buf_append(&conn.in, data, (size_t)n);
	return true;
}

/* The next message; it points into line. */
static bool
read_message(struct buf *line, struct dovecot_msg *m, int64_t deadline)
{
	long eol;

	while ((eol = span_find(buf_span(&conn.in), '\n')) < 0)
		if (!fill(deadline))
			return false;
	buf_set(line, span_make(conn.in.data, (size_t)eol));
	buf_consume(&conn.in, (size_t)eol + 1);
	if (dovecot_parse(buf_span(line), m))
		return true;
	log_warn("SASL: the authentication server sent a line that is not of "
		 "its protocol: %.100s",
		 buf_cstr(line));
	return false;
}

/* ---- the greeting ---- */

static void
add_mech(const struct dovecot_msg *m)
{
	if (conn.n_mechs == AUTHN_MECHS_MAX || !dovecot_valid_mech(m->mech))
		return;
	conn.mechs[conn.n_mechs].name = mem_strndup(m->mech.data, m->mech.len);
	conn.mechs[conn.n_mechs++].flags = m->flags;
}

static bool
hear_greeting(void)
{
	int64_t deadline = io_monotonic() + HELLO_SECONDS * 1000000LL;
	struct buf line = BUF_INIT;
	struct dovecot_msg m;
	bool version = false, done = false, spid = false;

	for (int i = 0; i < HELLO_LINES_MAX && !done; i++) {
		if (!read_message(&line, &m, deadline))
			break;
		version = version || m.command == DOVECOT_VERSION;
		if (!version) {
			log_warn("SASL: the first line of the authentication "
				 "server is not its version");
			break;
		}
		spid = spid || m.command == DOVECOT_SPID;
		if (m.command == DOVECOT_VERSION && m.major != DOVECOT_MAJOR) {
			log_warn("SASL: Protocol version mismatch (%u vs. %d)",
				 (unsigned)m.major, DOVECOT_MAJOR);
			break;
		}
		if (m.command == DOVECOT_MECH)
			add_mech(&m);
		done = m.command == DOVECOT_DONE;
	}
	/* Its other socket greets with SPID and nothing to log in with. */
	if (done && spid && conn.n_mechs == 0) {
		log_warn("SASL: Connected to wrong auth socket (auth-master "
			 "instead of auth-client)");
		done = false;
	}
	buf_free(&line);
	return done;
}

/* ---- connecting ---- */

static int
connect_name(const char *host, int port)
{
	static const enum dns_type types[] = {DNS_AAAA, DNS_A};
	int64_t deadline = io_monotonic() + HELLO_SECONDS * 1000000LL;
	struct sock_addr addr;
	int fd = -1;

	if (sock_addr_parse(host, port, &addr))
		return sock_connect_inet(&addr, NULL, deadline);
	errno = EHOSTUNREACH;
	for (size_t t = 0; t < 2 && fd < 0; t++) {
		struct dns_answer a = DNS_ANSWER_INIT;

		if (dns_query(host, types[t], DNS_HOSTS, HELLO_SECONDS, &a) ==
		    DNS_FOUND)
			for (size_t i = 0; i < a.n && fd < 0; i++)
				if (sock_addr_parse(a.rr[i].text, port, &addr))
					fd = sock_connect_inet(&addr, NULL,
							       deadline);
		dns_answer_free(&a);
	}
	return fd;
}

static int
connect_any(void)
{
	int fd, port;

	if (conn.host) {
		if (sock_port(conn.port, "", &port))
			return connect_name(conn.host, port);
		errno = EADDRNOTAVAIL;
		return -1;
	}
	fd = sock_connect_unix(conn.path, HELLO_SECONDS);
	/* Nobody has set up an authentication server there. One that is only
	 * down has left its socket, and knows other users. */
	if (fd < 0 && conn.settings->fallback && errno == ENOENT) {
		int error = errno;

		fd = sock_connect_unix(conn.settings->fallback, HELLO_SECONDS);
		errno = error;
	}
	return fd;
}

static bool
open_connection(void)
{
	struct buf hello = BUF_INIT;
	bool ok;

	conn.fd = connect_any();
	if (conn.fd < 0) {
		log_warn("SASL: Connect to Dovecot auth socket '%s' failed: %m",
			 conn.settings->path);
		return false;
	}
	conn.pid = getpid();
	dovecot_put_hello(&hello, (uint32_t)conn.pid);
	ok = send_all(&hello, io_monotonic() + HELLO_SECONDS * 1000000LL) &&
	     hear_greeting();
	buf_free(&hello);
	if (!ok) {
		log_warn("SASL: no greeting from the authentication server at "
			 "'%s'",
			 conn.settings->path);
		drop();
	}
	return ok;
}

/* A server that went away while nobody asked it is noticed here. */
static bool
still_there(void)
{
	struct pollfd p = {.fd = conn.fd, .events = POLLIN};

	if (conn.fd < 0)
		return false;
	if (conn.pid != getpid())
		return false;
	if (poll(&p, 1, 0) <= 0 || !(p.revents & (POLLIN | POLLHUP)))
		return true;
	return fill(io_monotonic());
}

static bool
connected(void)
{
	if (still_there())
		return true;
	drop();
	return open_connection();
}

/* ---- the back end ---- */

/* "inet:host:port", "inet:[::1]:port" */
static bool
parse_inet(struct span text, struct buf *reason)
{
	long colon = span_rfind(text, ':');
	struct span host;

	if (colon <= 0 || (size_t)colon + 1 == text.len) {
		buf_printf(reason, "bad authentication server: inet:%.*s",
			   SPAN_ARG(text));
		return false;
	}
	host = span_make(text.data, (size_t)colon);
	if (host.data[0] == '[' && host.data[host.len - 1] == ']')
		host = span_make(host.data + 1, host.len - 2);
	conn.host = mem_strndup(host.data, host.len);
	conn.port = mem_strdup(text.data + colon + 1);
	return true;
}

static bool
dovecot_open(const struct authn_settings *s, struct buf *reason)
{
	struct span path = span_of(s->path);

	conn.settings = s;
	conn.path = s->path;
	if (span_starts_nocase(path, "inet:"))
		return parse_inet(span_from(path, 5), reason);
	if (span_starts_nocase(path, "unix:"))
		conn.path += 5;
	return true;
}

static void
dovecot_mechanisms(const struct authn_client *c, struct strvec *out)
{
	if (!connected())
		return;
	for (size_t i = 0; i < conn.n_mechs; i++)
		if (authn_policy_allows(&c->policy, conn.mechs[i].flags))
			strvec_add(out, conn.mechs[i].name);
}

static enum authn_status
fail(struct authn *a, const char *reason)
{
	buf_set_cstr(&a->reason, reason);
	return AUTHN_FAIL;
}

static enum authn_status
lose(struct authn *a)
{
	drop();
	buf_set_cstr(&a->reason, lost);
	return AUTHN_TEMP;
}

static bool
take_answer(struct authn *a, const struct dovecot_msg *m,
	    enum authn_status *status)
{
	if ((m->command != DOVECOT_OK && m->command != DOVECOT_FAIL &&
	     m->command != DOVECOT_CONT) ||
	    m->id != a->id)
		return false;
	if (m->user.data)
		buf_set(&a->username, m->user);
	if (m->command == DOVECOT_CONT) {
		buf_set(&a->challenge, m->data);
		*status = dovecot_valid_base64(m->data)
			      ? AUTHN_CONTINUE
			      : fail(a, "Authentication backend error");
	} else if (m->command == DOVECOT_FAIL) {
		buf_set(&a->reason, m->reason);
		*status = m->temporary ? AUTHN_TEMP : AUTHN_FAIL;
	} else {
		if (!m->user.data)
			log_warn("missing Dovecot server OK username field");
		*status = AUTHN_OK;
	}
	return true;
}

static enum authn_status
hear_answer(struct authn *a)
{
	int64_t deadline = io_monotonic() + AUTHN_SECONDS * 1000000LL;
	enum authn_status status = AUTHN_TEMP;
	struct buf line = BUF_INIT;
	struct dovecot_msg m;
	bool heard = false;

	for (int i = 0; i < STALE_LINES_MAX && !heard; i++) {
		if (!read_message(&line, &m, deadline))
			break;
		heard = take_answer(a, &m, &status);
	}
	buf_free(&line);
	if (!heard)
		return lose(a);
	conn.used = true;
	return status;
}

static enum authn_status
ask(struct authn *a, const struct dovecot_request *r)
{
	struct buf line = BUF_INIT;
	enum authn_status status;

	/* Without growing: growing would leave copies of a password. */
	buf_reserve(&line, DOVECOT_LINE_MAX + 1024);
	a->id = ++conn.id;
	a->conn = &conn;
	dovecot_put_auth(&line, a->id, r);
	if (send_all(&line, io_monotonic() + AUTHN_SECONDS * 1000000LL))
		status = hear_answer(a);
	else
		status = lose(a);
	authn_wipe(&line);
	return status;
}

static const struct mech *
find_mech(struct span name)
{
	for (size_t i = 0; i < conn.n_mechs; i++)
		if (span_equal_cstr_nocase(name, conn.mechs[i].name))
			return &conn.mechs[i];
	return NULL;
}

static enum authn_status
dovecot_begin(struct authn *a, const struct authn_client *c, struct span mech,
	      struct span response)
{
	struct dovecot_request r = {
	    .mech = mech,
	    .service = conn.settings->service,
	    .addr = c->addr,
	    .server_addr = c->server_addr,
	    .secured = c->secured,
	    .response = response,
	};
	const struct mech *m;
	enum authn_status status;
	bool again;

	if (!connected())
		return lose(a);
	m = find_mech(mech);
	if (!m || !authn_policy_allows(&c->policy, m->flags))
		return fail(a, "Invalid authentication mechanism");
	if (response.data && !dovecot_valid_base64(response))
		return fail(a, "Invalid base64 data in initial response");
	/* RFC 4954 section 4: "=" is a response of no bytes. */
	if (span_equal_cstr(response, "="))
		r.response.len = 0;
	/* A kept connection may be one that the server has given up. */
	again = conn.used;
	status = ask(a, &r);
	if (conn.fd >= 0 || !again || !connected())
		return status;
	buf_reset(&a->reason);
	return ask(a, &r);
}

static enum authn_status
dovecot_step(struct authn *a, struct span response)
{
	struct buf line = BUF_INIT;
	enum authn_status status;

	if (!dovecot_valid_base64(response) ||
	    response.len > DOVECOT_LINE_MAX - 100)
		return fail(a, "Invalid base64 data in continued response");
	if (conn.fd < 0 || conn.pid != getpid())
		return lose(a);
	buf_reserve(&line, response.len + 100);
	dovecot_put_cont(&line, a->id, response);
	if (send_all(&line, io_monotonic() + AUTHN_SECONDS * 1000000LL))
		status = hear_answer(a);
	else
		status = lose(a);
	authn_wipe(&line);
	return status;
}

/* An answer that is still to come is skipped by its number. */
static void
dovecot_end(struct authn *a)
{
	(void)a;
}

const struct authn_backend authn_dovecot = {
    .open = dovecot_open,
    .mechanisms = dovecot_mechanisms,
    .begin = dovecot_begin,
    .step = dovecot_step,
    .end = dovecot_end,
};
