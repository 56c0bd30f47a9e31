/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/smtp/cmd.h"
#include "lib/sys/io.h"
#include "lib/sys/sock.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_data.h"

enum {
	REPLY_LINE_MAX = 2048,
	REPLY_LINES_MAX = 100,
	COMMAND_MAX = 500, /* of XFORWARD, RFC 5321 section 4.5.3.1.4 */
};

static const char failure[] = "451 4.3.0 Error: queue file write error";

/* Where the filter is; found once, by the parent. */
static const char *where; /* as logs name it; NULL: there is none */
static const char *unix_path;
static struct sock_addrs addresses;
static bool speed_adjust;

struct smtpd_proxy {
	struct stream st;
	int fd;                 /* -1: not connected */
	bool quit;              /* the filter listens to commands */
	struct strvec features; /* rows of its EHLO reply */
	struct strvec reply;    /* the last one; empty: none came */
	struct stream_content content;
	/* speed_adjust: what is to be said, and the content */
	struct strvec commands;
	int spool; /* -1: none */
	int64_t spooled;
	bool spool_failed;
};

/* ---- start ---- */

static void
find_inet(const char *text)
{
	const char *colon = strrchr(text, ':');
	struct buf host = BUF_INIT;
	int port;

	if (colon)
		buf_append(&host, text, (size_t)(colon - text));
	if (host.len > 2 && host.data[0] == '[' &&
	    host.data[host.len - 1] == ']') {
		buf_truncate(&host, host.len - 1);
		buf_consume(&host, 1);
	}
	if (host.len == 0)
		buf_set_cstr(&host, "127.0.0.1");
	if (!sock_port(colon ? colon + 1 : text, conf->known_tcp_ports, &port))
		log_fatal("smtpd_proxy_filter: bad port in \"%s\"", where);
	if (!sock_lookup_host(buf_cstr(&host),
			      sock_families(conf->inet_protocols), &addresses))
		log_warn("smtpd_proxy_filter: host %s not found",
			 buf_cstr(&host));
	for (size_t i = 0; i < addresses.n; i++)
		sock_addr_set_port(&addresses.v[i], port);
	buf_free(&host);
}

void
smtpd_proxy_open(void)
{
	const char *text = conf->smtpd_proxy_filter;
	struct span rest = span_of(conf->smtpd_proxy_options), word;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (!span_equal_cstr_nocase(word, "speed_adjust"))
			log_fatal("smtpd_proxy_options: unknown option "
				  "\"%.*s\"",
				  SPAN_ARG(word));
		speed_adjust = true;
	}
	if (!*text)
		return;
	where = text;
	if (!strncmp(text, "unix:", 5))
		unix_path = text + 5;
	else
		find_inet(strncmp(text, "inet:", 5) ? text : text + 5);
}

bool
smtpd_proxy_is_on(const struct smtpd *s)
{
	return where && !s->standalone;
}

/* ---- talking ---- */

static void
hang_up(struct smtpd_proxy *p)
{
	if (p->fd < 0)
		return;
	close(p->fd);
	stream_free(&p->st);
	p->fd = -1;
	p->quit = false;
}

static bool
lose(struct smtpd_proxy *p)
{
	if (p->st.status == STREAM_TIMEOUT)
		log_warn("timeout talking to proxy %s", where);
	else
		log_warn("lost connection with proxy %s", where);
	strvec_free(&p->reply);
	hang_up(p);
	return false;
}

static bool
is_reply_line(struct span line)
{
	for (size_t i = 0; i < 3; i++)
		if (line.len < 3 || line.data[i] < '0' || line.data[i] > '9')
			return false;
	return line.data[0] >= '2' && line.data[0] <= '5' &&
	       (line.len == 3 || line.data[3] == ' ' || line.data[3] == '-');
}

static bool
garbage(struct smtpd_proxy *p, struct span line)
{
	log_warn("received garbage from proxy %s: %.*s", where,
		 (int)(line.len < 100 ? line.len : 100), line.data);
	strvec_free(&p->reply);
	hang_up(p);
	return false;
}

/* One whole reply into p->reply. */
static bool
read_reply(struct smtpd_proxy *p)
{
	struct span line;

	strvec_free(&p->reply);
	stream_set_timeout(&p->st, conf->smtpd_proxy_timeout);
	stream_set_deadline(&p->st, conf->smtpd_proxy_timeout, 0);
	do {
		if (stream_read_line(&p->st, REPLY_LINE_MAX, &line, NULL) !=
		    STREAM_OK)
			return lose(p);
		if (!is_reply_line(line) || p->reply.n >= REPLY_LINES_MAX ||
		    (p->reply.n && memcmp(p->reply.v[0], line.data, 3) != 0))
			return garbage(p, line);
		strvec_add_span(&p->reply, line);
	} while (line.len > 3 && line.data[3] == '-');
	return true;
}

/* The reply as one text, for logs. */
static void
show_reply(const struct smtpd_proxy *p, struct buf *out)
{
	for (size_t i = 0; i < p->reply.n; i++)
		buf_printf(out, "%s%s", i ? "\r\n" : "", p->reply.v[i]);
	if (p->reply.n == 0)
		buf_append_cstr(out, failure);
}

/* Is the reply of this class? If not, log it. */
static bool
expect(struct smtpd_proxy *p, char class, const char *command)
{
	struct buf text = BUF_INIT;
	bool ok = read_reply(p);

	if (ok && p->reply.v[0][0] != class) {
		show_reply(p, &text);
		log_warn("proxy %s rejected \"%s\": \"%s\"", where, command,
			 buf_cstr(&text));
		/* What is no refusal must not reach the client as one. */
		if (p->reply.v[0][0] < '4')
			strvec_free(&p->reply);
		ok = false;
	}
	buf_free(&text);
	return ok;
}

static bool
say(struct smtpd_proxy *p, char class, const char *command)
{
	if (p->fd < 0)
		return false;
	stream_set_timeout(&p->st, conf->smtpd_proxy_timeout);
	stream_printf(&p->st, "%s\r\n", command);
	return expect(p, class, command);
}

/* The client reads what the filter said, or that mail cannot be taken. */
static void
relay_reply(struct smtpd *s, const struct smtpd_proxy *p)
{
	for (size_t i = 0; i < p->reply.n; i++)
		smtpd_reply(s, "%s", p->reply.v[i]);
	if (p->reply.n == 0)
		smtpd_reply(s, "%s", failure);
}

/* ---- the start of a connection ---- */

static bool
open_connection(struct smtpd_proxy *p)
{
	int64_t limit = conf->smtpd_proxy_timeout;

	errno = EADDRNOTAVAIL;
	if (unix_path)
		p->fd = sock_connect_unix(unix_path, (int)(limit / 1000000));
	for (size_t i = 0; i < addresses.n && p->fd < 0; i++)
		p->fd = sock_connect_inet(&addresses.v[i], NULL,
					  io_monotonic() + limit);
	if (p->fd < 0) {
		log_warn("connect to proxy filter %s: %m", where);
		return false;
	}
	stream_init(&p->st, p->fd, p->fd);
	p->quit = true;
	return expect(p, '2', "connection request");
}

/* The row of the filter's EHLO reply that begins with keyword. */
static struct span
feature(const struct smtpd_proxy *p, const char *keyword)
{
	for (size_t i = 0; i < p->features.n; i++) {
		struct span row = span_from(span_of(p->features.v[i]), 4), word;

		if (span_next_token(&row, " ", &word) &&
		    span_equal_cstr_nocase(word, keyword))
			return row;
	}
	return span_make(NULL, 0);
}

/* " NAME=value", when the filter knows NAME; lines stay short. */
static bool
add_attribute(struct smtpd_proxy *p, struct buf *line, const char *name,
	      struct span value)
{
	struct span known = feature(p, "XFORWARD"), word;
	size_t before = line->len;

	while (span_next_token(&known, " ", &word))
		if (span_equal_cstr_nocase(word, name))
			break;
	if (!word.data || !span_equal_cstr_nocase(word, name))
		return true;
	for (int again = 0; again < 2; again++) {
		if (line->len == 0)
			buf_append_cstr(line, "XFORWARD");
		buf_printf(line, " %s=", name);
		if (value.len == 0)
			buf_append_cstr(line, "[UNAVAILABLE]");
		else
			xtext_encode(value, line);
		if (line->len <= COMMAND_MAX || before == 0)
			break;
		buf_truncate(line, before);
		if (!say(p, '2', buf_cstr(line)))
			return false;
		buf_reset(line);
		before = 0;
	}
	return true;
}

/* An address as in XFORWARD. */
static void
forward_address(const struct buf *addr, struct buf *out)
{
	if (addr->len && strcmp(addr->data, "unknown"))
		buf_printf(out, "%s%s", strchr(addr->data, ':') ? "IPv6:" : "",
			   addr->data);
}

static struct span
known(const struct buf *b)
{
	struct span s = buf_span(b);

	return span_equal_cstr(s, "unknown") ? span_make(NULL, 0) : s;
}

static bool
send_xforward(struct smtpd *s, struct smtpd_proxy *p)
{
	const struct smtpd_forward *f = &s->forward;
	bool other = f->active;
	struct buf line = BUF_INIT, addr = BUF_INIT;
	bool ok;

	forward_address(other ? &f->addr : &s->peer.addr, &addr);
	ok =
	    add_attribute(p, &line, "NAME",
			  known(other ? &f->name : &s->peer.name)) &&
	    add_attribute(p, &line, "ADDR", buf_span(&addr)) &&
	    add_attribute(p, &line, "PORT",
			  known(other ? &f->port : &s->peer.port)) &&
	    add_attribute(p, &line, "HELO",
			  buf_span(other ? &f->helo : &s->helo)) &&
	    add_attribute(p, &line, "IDENT", buf_span(&f->ident)) &&
	    add_attribute(p, &line, "PROTO",
			  other ? buf_span(&f->proto) : span_of(s->protocol)) &&
	    add_attribute(p, &line, "SOURCE",
			  span_of(smtpd_data_is_local(s) ? "LOCAL" : "REMOTE"));
	if (ok && line.len)
		ok = say(p, '2', buf_cstr(&line));
	buf_free(&line);
	buf_free(&addr);
	return ok;
}

static bool
greet(struct smtpd *s, struct smtpd_proxy *p)
{
	struct buf line = BUF_INIT;
	bool ok = open_connection(p);

	buf_printf(&line, "EHLO %s", conf->smtpd_proxy_ehlo);
	ok = ok && say(p, '2', buf_cstr(&line));
	for (size_t i = 1; ok && i < p->reply.n; i++)
		if (strlen(p->reply.v[i]) > 4)
			strvec_add(&p->features, p->reply.v[i]);
	if (!ok) {
		/* What it says to us is not for the client, but 421 is. */
		if (p->reply.n == 0 || strncmp(p->reply.v[0], "421", 3))
			strvec_free(&p->reply);
	} else if (feature(p, "XFORWARD").len) {
		ok = send_xforward(s, p);
		if (!ok)
			strvec_free(&p->reply);
	}
	buf_free(&line);
	return ok;
}

/* ---- the transaction ---- */

/* The client's own words, which are one line without control characters. */
static void
make_command(const char *verb, struct span arg, struct buf *out)
{
	buf_printf(out, "%s %.*s", verb, SPAN_ARG(arg));
	utf8_printable(out->data, out->len, '?');
}

/* Say it now, or when the message is here. */
static bool
pass_command(struct smtpd_proxy *p, const char *verb, struct span arg)
{
	struct buf command = BUF_INIT;
	bool ok = true;

	make_command(verb, arg, &command);
	if (speed_adjust)
		strvec_add(&p->commands, buf_cstr(&command));
	else
		ok = say(p, '2', buf_cstr(&command));
	buf_free(&command);
	return ok;
}

static bool
open_spool(struct smtpd_proxy *p)
{
	p->spool =
	    open("incoming", O_TMPFILE | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
	if (p->spool >= 0)
		return true;
	log_warn("smtpd_proxy_options: temporary file in incoming: %m");
	return false;
}

struct smtpd_proxy *
smtpd_proxy_begin(struct smtpd *s)
{
	struct smtpd_proxy *p = mem_alloc(sizeof(*p));
	bool ok;

	*p = (struct smtpd_proxy){.fd = -1, .spool = -1};
	ok = speed_adjust ? open_spool(p) : greet(s, p);
	if (ok && pass_command(p, "MAIL", buf_span(&s->mail.mail_arg)))
		return p;
	relay_reply(s, p);
	smtpd_proxy_free(p);
	return NULL;
}

bool
smtpd_proxy_rcpt(struct smtpd *s, struct span arg)
{
	struct smtpd_proxy *p = s->mail.proxy;

	if (pass_command(p, "RCPT", arg))
		return true;
	relay_reply(s, p);
	return false;
}

static bool
start_content(struct smtpd_proxy *p)
{
	if (!say(p, '3', "DATA"))
		return false;
	p->quit = false;
	stream_content_begin(&p->content, &p->st, 0);
	return true;
}

bool
smtpd_proxy_data(struct smtpd *s)
{
	struct smtpd_proxy *p = s->mail.proxy;

	if (speed_adjust || start_content(p))
		return true;
	relay_reply(s, p);
	return false;
}

void
smtpd_proxy_content(struct smtpd_proxy *p, struct span piece)
{
	if (p->spool >= 0) {
		if (!p->spool_failed &&
		    !io_write_all(p->spool, piece.data, piece.len)) {
			log_warn("smtpd_proxy_options: temporary file: %m");
			p->spool_failed = true;
		}
		p->spooled += (int64_t)piece.len;
	} else if (p->fd >= 0 && p->st.status == STREAM_OK) {
		stream_set_timeout(&p->st, conf->smtpd_proxy_timeout);
		stream_set_deadline(&p->st, 0, 0);
		stream_content_write(&p->content, piece);
	}
}

/* speed_adjust: all that was put off. */
static bool
replay(struct smtpd *s, struct smtpd_proxy *p)
{
	if (p->spool_failed || !greet(s, p))
		return false;
	for (size_t i = 0; i < p->commands.n; i++)
		if (!say(p, '2', p->commands.v[i]))
			return false;
	if (!start_content(p))
		return false;
	stream_set_timeout(&p->st, conf->smtpd_proxy_timeout);
	stream_set_deadline(&p->st, 0, 0);
	if (!stream_content_write_file(&p->content, p->spool, 0, p->spooled))
		return lose(p);
	return true;
}

static void
log_end(const struct smtpd *s, const struct smtpd_proxy *p, bool ok)
{
	struct buf line = BUF_INIT;

	buf_printf(&line,
		   "proxy-%s: END-OF-MESSAGE: ", ok ? "accept" : "reject");
	show_reply(p, &line);
	buf_append_cstr(&line, "; from=<");
	addr_quote(buf_span(&s->mail.sender), &line);
	buf_append_cstr(&line, "> to=<");
	addr_quote(span_of(s->mail.rcpts[0].address), &line);
	buf_printf(&line, "> proto=%s", s->protocol);
	if (s->helo.len)
		buf_printf(&line, " helo=<%s>", buf_cstr(&s->helo));
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}

bool
smtpd_proxy_end(struct smtpd *s)
{
	struct smtpd_proxy *p = s->mail.proxy;
	bool ok = !speed_adjust || replay(s, p);

	if (ok && p->fd >= 0) {
		stream_content_end(&p->content);
		ok = read_reply(p);
		p->quit = ok;
	} else if (ok) {
		ok = false;
	}
	ok = ok && p->reply.v[0][0] == '2';
	log_end(s, p, ok);
	relay_reply(s, p);
	return ok;
}

void
smtpd_proxy_free(struct smtpd_proxy *p)
{
	if (!p)
		return;
	if (p->fd >= 0 && p->quit &&
	    (p->reply.n == 0 || strncmp(p->reply.v[0], "421", 3))) {
		stream_printf(&p->st, "QUIT\r\n");
		stream_flush(&p->st);
	}
	hang_up(p);
	if (p->spool >= 0)
		close(p->spool);
	strvec_free(&p->features);
	strvec_free(&p->reply);
	strvec_free(&p->commands);
	free(p);
}
