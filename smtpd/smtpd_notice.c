/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_notice.h"

#include <stdlib.h>
#include <string.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/dsn/notice.h"
#include "lib/sys/io.h"
#include "smtpd/smtpd_state.h"

enum {
	ERROR_BOUNCE = 1 << 0,
	ERROR_POLICY = 1 << 1,
	ERROR_PROTOCOL = 1 << 2,
	ERROR_RESOURCE = 1 << 3,
	ERROR_SOFTWARE = 1 << 4,
};

static const struct {
	const char *name;
	unsigned bit;
} classes[] = {
    {"bounce", ERROR_BOUNCE},     {"policy", ERROR_POLICY},
    {"protocol", ERROR_PROTOCOL}, {"resource", ERROR_RESOURCE},
    {"software", ERROR_SOFTWARE},
};

static unsigned wanted;

void
smtpd_notice_open(void)
{
	wanted = 0;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (conf_list_has(conf->notify_classes, classes[i].name))
			wanted |= classes[i].bit;
}

/* ---- what was said ---- */

void
smtpd_notice_in(struct smtpd *s, struct span line)
{
	if (wanted && !s->standalone)
		transcript_in(&s->transcript, line);
}

static bool
begins(struct span text, const char *what)
{
	size_t len = strlen(what);

	return text.len >= len && !memcmp(text.data, what, len);
}

static bool
of_content(const struct smtpd *s)
{
	return !strcmp(s->where, "END-OF-MESSAGE") ||
	       !strcmp(s->where, "DATA") || !strcmp(s->where, "BDAT");
}

/* "550 5.7.1 ...": what is said about a message or an address. */
static unsigned
class_of_refusal(const struct smtpd *s, struct span status)
{
	if (begins(status, ".1.1 ") || begins(status, ".1.0 "))
		return ERROR_BOUNCE;
	if (of_content(s) && (begins(status, ".3.4 ") || begins(status, ".4.")))
		return ERROR_BOUNCE;
	return ERROR_POLICY;
}

static unsigned
class_of(const struct smtpd *s, struct span reply, const struct why *why)
{
	struct span status = span_from(reply, 5 < reply.len ? 5 : reply.len);

	if ((reply.data[0] != '4' && reply.data[0] != '5') || reply.len < 4 ||
	    reply.data[3] == '-' || begins(reply, "421") ||
	    begins(reply, "459") || begins(reply, "554 5.5.1 ") ||
	    begins(status, ".5.3 "))
		return 0;
	/* What a milter cannot answer counts as its refusal. */
	if (begins(status, ".3.5 Server configuration problem"))
		return ERROR_POLICY;
	if (begins(status, ".3.5 "))
		return ERROR_SOFTWARE;
	/* A table that fails is no class of its own. */
	if (begins(status, ".3.0 "))
		return of_content(s) ? ERROR_RESOURCE : 0;
	if (begins(status, ".3.1 "))
		return ERROR_RESOURCE;
	if (why)
		return class_of_refusal(s, status);
	return begins(status, ".7.") ? ERROR_POLICY : ERROR_PROTOCOL;
}

void
smtpd_notice_out(struct smtpd *s, struct span reply, const struct why *why)
{
	if (!wanted || s->standalone || !reply.len)
		return;
	transcript_out(&s->transcript, reply);
	s->error_classes |= class_of(s, reply, why) & wanted;
}

/* ---- the notice ---- */

static void
put_address(const char *address, struct buf *out)
{
	addr_quote(span_of(address), out);
	if (!strchr(address, '@'))
		buf_printf(out, "@%s", conf->myorigin);
}

static void
put_header(const struct smtpd *s, struct buf *text)
{
	buf_append_cstr(text, "Date: ");
	notice_date(io_now(), text);
	buf_append_cstr(text, "\nFrom: Mail Delivery System <");
	put_address("MAILER-DAEMON", text);
	buf_append_cstr(text, ">\nTo: Postmaster <");
	put_address(conf->error_notice_recipient, text);
	buf_printf(text, ">\nSubject: %s SMTP server: errors from %s\n\n",
		   conf->mail_name, buf_cstr(&s->peer.namaddr));
}

static void
put_text(const struct smtpd *s, const char *reason, struct buf *text)
{
	put_header(s, text);
	buf_append_cstr(text, "Transcript of session follows.\n\n");
	transcript_render(&s->transcript, text);
	buf_append_cstr(text, "\n");
	if (reason)
		buf_printf(text, "Session aborted, reason: %s\n", reason);
	buf_append_cstr(text,
			"\nFor other details, see the local mail logfile\n");
}

static void
put_received(struct cleanup *c)
{
	struct buf text = BUF_INIT;

	buf_printf(&text, "Received: by %s (%s)\n\tid %s; ", conf->myhostname,
		   conf->mail_name, cleanup_id(c));
	notice_date(io_now(), &text);
	buf_append_byte(&text, '\n');
	cleanup_prepend_header(c, buf_span(&text));
	buf_free(&text);
}

static void
fill_envelope(struct envelope *e)
{
	struct buf from = BUF_INIT;

	put_address(conf->double_bounce_sender, &from);
	free(e->sender);
	e->sender = buf_steal(&from);
	e->flags |= ENVELOPE_NOTICE;
	free(e->encoding);
	e->encoding = mem_strdup("8bit");
	free(e->rewrite);
	e->rewrite = mem_strdup("local");
}

static void
send_notice(struct smtpd *s, const char *reason)
{
	struct why why = WHY_INIT;
	struct cleanup *c = cleanup_begin(CLEANUP_BOUNCE, &why);
	const char *to = s->error_classes & ERROR_BOUNCE
			     ? conf->bounce_notice_recipient
			     : conf->error_notice_recipient;
	struct buf text = BUF_INIT;
	bool ok = false;

	if (c) {
		fill_envelope(cleanup_envelope(c));
		cleanup_recipient(c, span_of(to), NULL, NULL, 0);
		put_received(c);
		put_text(s, reason, &text);
		cleanup_content(c, buf_span(&text));
		ok = cleanup_end(c, &why);
	}
	if (!ok)
		log_warn("postmaster notice failed: %s", buf_cstr(&why.text));
	buf_free(&text);
	why_free(&why);
}

static void
forget(struct smtpd *s)
{
	transcript_free(&s->transcript);
	s->error_classes = 0;
}

static bool
is_long(const struct smtpd *s)
{
	return s->transcript.lines >
	       (size_t)conf->smtpd_history_flush_threshold;
}

void
smtpd_notice_taken(struct smtpd *s)
{
	s->error_classes = 0;
	if (is_long(s))
		forget(s);
}

void
smtpd_notice_rset(struct smtpd *s)
{
	if (!is_long(s))
		return;
	smtpd_notice_end(s, NULL);
}

void
smtpd_notice_end(struct smtpd *s, const char *reason)
{
	if (s->error_classes)
		send_notice(s, reason);
	forget(s);
}
