/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_chat.h"

#include <errno.h>
#include <time.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/smtp/cmd.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_footer.h"
#include "smtpd/smtpd_notice.h"

static struct match_list *debug_peers;

void
smtpd_chat_open(void)
{
	if (conf->debug_peer_list[0])
		debug_peers = match_list_open(
		    "debug_peer_list", conf->debug_peer_list, MATCH_HOST,
		    conf_list_has(conf->parent_domain_matches_subdomains,
				  "debug_peer_list")
			? MATCH_PARENT
			: 0);
}

void
smtpd_chat_begin(struct smtpd *s)
{
	struct why why = WHY_INIT;

	s->verbose = log_verbose();
	if (debug_peers &&
	    match_list_has_host(debug_peers, buf_cstr(&s->peer.name),
				buf_cstr(&s->peer.addr), &why) == TABLE_FOUND)
		log_set_verbose(s->verbose + conf->debug_peer_level);
	why_free(&why);
}

void
smtpd_chat_end(struct smtpd *s)
{
	log_set_verbose(s->verbose);
}

/* line: one of the session's, or several with CR LF between them. */
static void
log_lines(const struct smtpd *s, char direction, struct span text)
{
	struct span line;

	if (log_verbose() < 1)
		return;
	while (span_next_token(&text, "\r\n", &line))
		log_info("%c %s: %.*s", direction, buf_cstr(&s->peer.namaddr),
			 SPAN_ARG(line));
}

/* What follows the mechanism is a password, or as good as one. */
static bool
without_password(struct span line, struct buf *out)
{
	struct span verb, arg, mechanism;

	cmd_split(line, &verb, &arg);
	if (!span_equal_cstr_nocase(verb, "AUTH") ||
	    !span_next_token(&arg, " \t", &mechanism) || !arg.len)
		return false;
	buf_printf(out, "AUTH %.*s ...", SPAN_ARG(mechanism));
	return true;
}

void
smtpd_chat_heard(struct smtpd *s, struct span line)
{
	struct buf shown = BUF_INIT;

	if (without_password(line, &shown))
		line = buf_span(&shown);
	log_lines(s, '<', line);
	smtpd_notice_in(s, line);
	buf_free(&shown);
}

static void
tarpit(struct smtpd *s)
{
	struct timespec t = {
	    .tv_sec = (time_t)(conf->smtpd_error_sleep_time / 1000000),
	    .tv_nsec = (conf->smtpd_error_sleep_time % 1000000) * 1000};

	if (conf->smtpd_error_sleep_time <= 0 ||
	    s->errors < (unsigned)conf->smtpd_soft_error_limit)
		return;
	stream_flush(&s->st);
	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

static void
send_line(struct smtpd *s, struct buf *line, const struct why *why)
{
	if (line->len)
		utf8_printable(line->data, line->len, '?');
	/* Of several lines, the last one counts. */
	if ((line->data[0] == '4' || line->data[0] == '5') &&
	    (line->len < 4 || line->data[3] != '-')) {
		s->errors++;
		smtpd_footer_add(s, line);
	}
	log_lines(s, '>', buf_span(line));
	smtpd_notice_out(s, buf_span(line), why);
	tarpit(s);
	buf_append_cstr(line, "\r\n");
	stream_write(&s->st, buf_span(line));
	if (!strncmp(line->data, "421", 3) || !strncmp(line->data, "521", 3))
		s->hangup = true;
}

void
smtpd_reply(struct smtpd *s, const char *fmt, ...)
{
	struct buf line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&line, fmt, ap);
	va_end(ap);
	send_line(s, &line, NULL);
	buf_free(&line);
}

void
smtpd_reply_why(struct smtpd *s, const struct why *why)
{
	struct buf line = BUF_INIT;

	why_render_smtp(why, &line);
	send_line(s, &line, why);
	buf_free(&line);
}

void
smtpd_log_action(struct smtpd *s, const char *what, struct span text)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s: %s: %s from %s: %.*s;", smtpd_queue_id(s), what,
		   s->where, buf_cstr(&s->peer.namaddr), SPAN_ARG(text));
	if (s->mail.active) {
		buf_append_cstr(&line, " from=<");
		addr_quote(buf_span(&s->mail.sender), &line);
		buf_append_byte(&line, '>');
	}
	if (s->recipient.len) {
		buf_append_cstr(&line, " to=<");
		addr_quote(buf_span(&s->recipient), &line);
		buf_append_byte(&line, '>');
	}
	buf_printf(&line, " proto=%s", s->protocol);
	if (s->helo.len)
		buf_printf(&line, " helo=<%s>", buf_cstr(&s->helo));
	log_info("%s", buf_cstr(&line));
	buf_free(&line);
}

void
smtpd_log_reject(struct smtpd *s, const char *what, const struct why *why)
{
	struct buf text = BUF_INIT;

	why_render_smtp(why, &text);
	smtpd_log_action(s, what, buf_span(&text));
	buf_free(&text);
}

void
smtpd_escape(struct span text, size_t max, struct buf *out)
{
	for (size_t i = 0; i < text.len && i < max; i++) {
		unsigned char c = (unsigned char)text.data[i];

		switch (c) {
		case '\r':
			buf_append_cstr(out, "\\r");
			break;
		case '\n':
			buf_append_cstr(out, "\\n");
			break;
		case '\t':
			buf_append_cstr(out, "\\t");
			break;
		case '\\':
			buf_append_cstr(out, "\\\\");
			break;
		default:
			if (c < ' ' || c == 127)
				buf_printf(out, "\\%03o", c);
			else
				buf_append_byte(out, (char)c);
		}
	}
}
