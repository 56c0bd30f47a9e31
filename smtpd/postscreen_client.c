/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/service/agent.h"
#include "lib/sys/io.h"
#include "smtpd/postscreen_cache.h"
#include "smtpd/postscreen_dnsbl.h"

enum { SHOWN_MAX = 100, LINGER_MAX = 64 * 1024 };

static int clients;

int
postscreen_client_count(void)
{
	return clients;
}

struct screen *
postscreen_client_new(int fd)
{
	struct screen *s = mem_alloc(sizeof(*s));

	s->fd = fd;
	s->reason = "450 4.3.2 Service currently unavailable";
	s->since = io_monotonic();
	clients++;
	return s;
}

static void
free_event(struct event **e)
{
	if (*e)
		event_free(*e);
	*e = NULL;
}

void
postscreen_client_free(struct screen *s)
{
	free_event(&s->read);
	free_event(&s->timer);
	postscreen_tls_end(s);
	if (s->watch)
		postscreen_dnsbl_drop(s->watch);
	postscreen_talk_free(s);
	postscreen_pass_free(s);
	postscreen_start_forget(s);
	if (s->fd >= 0)
		close(s->fd);
	free(s->blocked);
	buf_free(&s->out);
	buf_free(&s->head);
	free(s);
	clients--;
	postscreen_client_gone();
}

/* What the client has sent is taken off the socket first: a reset would throw
 * away the reply that it has not read yet. */
static void
drain(int fd)
{
	char scrap[4096];
	size_t got = 0;
	ssize_t n = 1;

	while (n > 0 && got < LINGER_MAX) {
		n = recv(fd, scrap, sizeof(scrap), MSG_DONTWAIT);
		if (n > 0)
			got += (size_t)n;
	}
}

void
postscreen_client_end(struct screen *s)
{
	log_info("DISCONNECT %s", postscreen_who(s));
	postscreen_tls_end(s);
	drain(s->fd);
	postscreen_client_free(s);
}

const char *
postscreen_who(const struct screen *s)
{
	static char text[4][SOCK_TEXT_MAX + 16];
	static unsigned turn;
	char *out = text[turn++ % 4];

	snprintf(out, sizeof(text[0]), "[%s]:%d", s->addr, s->port);
	return out;
}

const char *
postscreen_elapsed(const struct screen *s)
{
	static struct buf text;

	buf_reset(&text);
	agent_format_delay(io_monotonic() - s->since,
			   conf->delay_logging_resolution_limit, &text);
	return buf_cstr(&text);
}

const char *
postscreen_shown(struct span text)
{
	static struct buf out;
	static const char special[] = "\a\b\f\n\r\t\v\\",
			  letter[] = "abfnrtv\\";

	buf_reset(&out);
	for (size_t i = 0; i < text.len && i < SHOWN_MAX; i++) {
		unsigned char c = (unsigned char)text.data[i];
		const char *p = c ? strchr(special, c) : NULL;

		if (p)
			buf_printf(&out, "\\%c", letter[p - special]);
		else if (c < ' ' || c > 126)
			buf_printf(&out, "\\%03o", c);
		else
			buf_append_byte(&out, (char)c);
	}
	return buf_cstr(&out);
}

/* ---- replies ---- */

/* soft_bounce: the same as a temporary error. */
static void
soften(struct buf *line)
{
	char *p = line->data;

	if (!conf->soft_bounce || p[0] != '5')
		return;
	if (!strncmp(p, "521", 3))
		p[1] = '2';
	p[0] = '4';
	if (line->len > 5 && p[4] == '5' && p[5] == '.')
		p[4] = '4';
}

void
postscreen_reply_text(const char *reply, struct buf *out)
{
	buf_set_cstr(out, reply);
	if (out->len)
		soften(out);
}

void
postscreen_reply(struct screen *s, const char *fmt, ...)
{
	struct buf line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	soften(&line);
	utf8_printable(line.data, line.len, '?');
	if (line.data[0] == '4' || line.data[0] == '5')
		postscreen_footer(s, &line);
	if (s->out.len + line.len < CLIENT_OUT_MAX) {
		buf_append_span(&s->out, buf_span(&line));
		buf_append_cstr(&s->out, "\r\n");
	}
	buf_free(&line);
}

bool
postscreen_flush(struct screen *s)
{
	while (s->out.len) {
		ssize_t n = postscreen_send(s, s->out.data, s->out.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return errno == EAGAIN &&
			       s->out.len < CLIENT_OUT_MAX / 2;
		buf_consume(&s->out, (size_t)n);
	}
	buf_free(&s->out);
	return true;
}

void
postscreen_end_with(struct screen *s, const char *fmt, ...)
{
	struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	postscreen_reply(s, "%s", buf_cstr(&text));
	buf_free(&text);
	postscreen_flush(s);
	postscreen_client_end(s);
}

void
postscreen_hangup(struct screen *s, const char *phase)
{
	log_info("HANGUP after %s from %s in %s", postscreen_elapsed(s),
		 postscreen_who(s), phase);
	postscreen_conclude(s);
	postscreen_client_end(s);
}

/* ---- the outcome ---- */

void
postscreen_conclude(struct screen *s)
{
	struct buf entry = BUF_INIT;

	if (s->veto || s->tests.failed)
		return;
	if (screen_tests_complete(&s->tests))
		log_info("PASS %s %s", s->tests.is_new ? "NEW" : "OLD",
			 postscreen_who(s));
	if (screen_tests_changed(&s->tests)) {
		screen_tests_format(&s->tests, &entry);
		postscreen_cache_put(s->addr, buf_span(&entry));
	}
	buf_free(&entry);
}

void
postscreen_fail(struct screen *s, enum screen_test which,
		enum screen_action action, const char *reply)
{
	screen_test_fail(&s->tests, which, action);
	if (action == ACTION_IGNORE)
		return;
	s->enforce = true;
	s->reason = reply;
}
