/* SPDX-License-Identifier: MIT */
/*
 * One connection from smtpd: fixed, bounded fields of Dovecot's auth protocol,
 * mechanisms PLAIN (RFC 4616) and LOGIN. One dialogue at a time: a new AUTH
 * ends the one before.
 */
#include <errno.h>
#include <event2/event.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/base64.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sasl/authn.h"
#include "lib/sasl/dovecot.h"
#include "lib/sasl/plain.h"
#include "smtpd/authd.h"

enum {
	CLIENTS_MAX = 2000,
	IN_MAX = 2 * DOVECOT_LINE_MAX,
	COOKIE_BYTES = 16,
	ADDR_MAX = 45, /* of an IP address as text */
};

enum step {
	STEP_NONE,
	STEP_PLAIN,
	STEP_USER,
	STEP_PASSWORD,
	STEP_CHECK,
};

struct client {
	struct event_base *base;
	int fd;
	struct event *readable;
	struct buf in;
	enum step step;
	uint32_t id;
	struct buf user, rip;
	struct authd_check *check;
};

static int n_clients;

static void
client_free(struct client *c)
{
	if (c->check)
		authd_check_cancel(c->check);
	event_free(c->readable);
	close(c->fd);
	authn_wipe(&c->in);
	buf_free(&c->user);
	buf_free(&c->rip);
	free(c);
	n_clients--;
}

/* Answers are short. Who does not read them loses the connection: the next
 * event says so. */
static void
say(struct client *c, const struct buf *line)
{
	if (send(c->fd, line->data, line->len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
	    (ssize_t)line->len)
		shutdown(c->fd, SHUT_RDWR);
}

/* ---- a dialogue ---- */

static void
answer(struct client *c, enum authd_verdict verdict)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s\t%u", verdict == AUTHD_OK ? "OK" : "FAIL",
		   (unsigned)c->id);
	if (c->user.len)
		buf_printf(&line, "\tuser=%s", buf_cstr(&c->user));
	if (verdict == AUTHD_TEMP)
		buf_append_cstr(&line, "\ttemp");
	buf_append_byte(&line, '\n');
	c->step = STEP_NONE;
	say(c, &line);
	buf_free(&line);
}

static void
on_checked(void *arg, enum authd_verdict verdict)
{
	struct client *c = arg;

	c->check = NULL;
	answer(c, verdict);
}

static void
challenge(struct client *c, const char *text, enum step next)
{
	struct buf line = BUF_INIT, b64 = BUF_INIT;

	base64_encode(span_of(text), &b64);
	dovecot_put_cont(&line, c->id, buf_span(&b64));
	c->step = next;
	say(c, &line);
	buf_free(&line);
	buf_free(&b64);
}

static bool
take_user(struct client *c, struct span user)
{
	buf_reset(&c->user);
	if (!plain_valid_text(user, PLAIN_USER_MAX))
		return false;
	buf_set(&c->user, user);
	return true;
}

static void
check(struct client *c, struct span password)
{
	if (!plain_valid_text(password, PLAIN_PASSWORD_MAX)) {
		answer(c, AUTHD_FAIL);
		return;
	}
	c->step = STEP_CHECK;
	c->check = authd_check_start(c->base, buf_span(&c->user), password,
				     buf_span(&c->rip), on_checked, c);
	if (!c->check) {
		log_warn("too many logins at a time");
		answer(c, AUTHD_TEMP);
	}
}

static void
take_plain(struct client *c, struct span data)
{
	struct span user, password;
	bool ok = plain_parse(data, &user, &password);

	buf_set(&c->user, user);
	if (ok)
		check(c, password);
	else
		answer(c, AUTHD_FAIL);
}

static void
take_response(struct client *c, struct span b64)
{
	struct buf data = BUF_INIT;

	buf_reserve(&data, b64.len);
	if (!base64_decode(b64, &data))
		answer(c, AUTHD_FAIL);
	else if (c->step == STEP_PLAIN)
		take_plain(c, buf_span(&data));
	else if (c->step == STEP_USER && take_user(c, buf_span(&data)))
		challenge(c, "Password:", STEP_PASSWORD);
	else if (c->step == STEP_PASSWORD)
		check(c, buf_span(&data));
	else
		answer(c, AUTHD_FAIL);
	authn_wipe(&data);
}

static void
forget_dialogue(struct client *c)
{
	if (c->check)
		authd_check_cancel(c->check);
	c->check = NULL;
	c->step = STEP_NONE;
	buf_reset(&c->user);
	buf_reset(&c->rip);
}

static void
begin(struct client *c, const struct dovecot_msg *m)
{
	bool plain = span_equal_cstr_nocase(m->mech, "PLAIN");

	forget_dialogue(c);
	c->id = m->id;
	if (plain_valid_text(m->rip, ADDR_MAX))
		buf_set(&c->rip, m->rip);
	if (!plain && !span_equal_cstr_nocase(m->mech, "LOGIN")) {
		answer(c, AUTHD_FAIL);
		return;
	}
	c->step = plain ? STEP_PLAIN : STEP_USER;
	if (m->data.data)
		take_response(c, m->data);
	else
		challenge(c, plain ? "" : "Username:", c->step);
}

/* ---- lines ---- */

static bool
take_line(struct client *c, struct span line)
{
	struct dovecot_msg m;

	if (!dovecot_parse(line, &m))
		return false;
	switch (m.command) {
	case DOVECOT_VERSION:
		return m.major == DOVECOT_MAJOR;
	case DOVECOT_AUTH:
		begin(c, &m);
		return true;
	case DOVECOT_CONT:
		if (m.id == c->id && c->step != STEP_NONE &&
		    c->step != STEP_CHECK)
			take_response(c, m.data);
		return true;
	case DOVECOT_CANCEL:
		if (m.id == c->id)
			forget_dialogue(c);
		return true;
	default:
		return true;
	}
}

/* false: the client broke the protocol. */
static bool
take_lines(struct client *c)
{
	long eol;

	while ((eol = span_find(buf_span(&c->in), '\n')) >= 0) {
		size_t before = c->in.len;

		if (!take_line(c, span_make(c->in.data, (size_t)eol)))
			return false;
		buf_consume(&c->in, (size_t)eol + 1);
		/* Passwords do not lie around behind the end. */
		explicit_bzero(c->in.data + c->in.len, before - c->in.len);
	}
	return c->in.len <= DOVECOT_LINE_MAX;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct client *c = arg;
	ssize_t n;

	(void)what;
	n = recv(fd, c->in.data + c->in.len, IN_MAX - c->in.len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->in.len += (size_t)n;
		c->in.data[c->in.len] = '\0';
		if (take_lines(c))
			return;
		log_warn("a client does not speak the protocol");
	}
	client_free(c);
}

/* ---- a new client ---- */

/* Nobody but the mail system may guess passwords here. */
static bool
may_ask(int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	const struct passwd *pw = getpwnam(conf->mail_owner);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return false;
	if (cred.uid == 0 || cred.uid == geteuid() ||
	    (pw && cred.uid == pw->pw_uid))
		return true;
	log_warn("refused a client with user id %d", (int)cred.uid);
	return false;
}

static void
greet(struct client *c)
{
	static unsigned serial;
	unsigned char cookie[COOKIE_BYTES];
	struct buf line = BUF_INIT;

	if (getrandom(cookie, sizeof(cookie), 0) != (ssize_t)sizeof(cookie))
		memset(cookie, 0, sizeof(cookie));
	buf_printf(&line,
		   "VERSION\t%d\t%d\nMECH\tPLAIN\tplaintext\n"
		   "MECH\tLOGIN\tplaintext\nSPID\t%d\nCUID\t%u\nCOOKIE\t",
		   DOVECOT_MAJOR, DOVECOT_MINOR, (int)getpid(), ++serial);
	for (size_t i = 0; i < sizeof(cookie); i++)
		buf_printf(&line, "%02x", cookie[i]);
	buf_append_cstr(&line, "\nDONE\n");
	say(c, &line);
	buf_free(&line);
}

void
authd_client_new(struct event_base *base, int fd)
{
	struct client *c;

	if (n_clients >= CLIENTS_MAX || !may_ask(fd)) {
		close(fd);
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->base = base;
	c->fd = fd;
	/* It never grows: growing would leave copies of passwords. */
	buf_reserve(&c->in, IN_MAX + 1);
	c->readable = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, c);
	if (!c->readable || event_add(c->readable, NULL) < 0)
		log_fatal("cannot watch a client");
	n_clients++;
	greet(c);
}
