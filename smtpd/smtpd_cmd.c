/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_cmd.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_notice.h"
#include "smtpd/smtpd_sasl.h"
#include "smtpd/smtpd_tls.h"
#include "smtpd/smtpd_xclient.h"

/*
 * Words of arg, separated by one byte each. What could end a name in a
 * Received: header or in a log line does not go into one.
 */
static void
set_helo(struct smtpd *s, struct span arg)
{
	struct span word;

	buf_reset(&s->helo);
	while (span_next_token(&arg, " \t", &word)) {
		if (s->helo.len)
			buf_append_byte(&s->helo, ' ');
		buf_append_span(&s->helo, word);
	}
	if (s->helo.len)
		utf8_printable(s->helo.data, s->helo.len, '?');
	for (size_t i = 0; i < s->helo.len; i++)
		if (memchr("<>()\\\";@ ", s->helo.data[i], 9))
			s->helo.data[i] = '?';
}

/* refused: what milters said to it; 421 is the reply then. */
static bool
take_helo(struct smtpd *s, struct span arg, bool esmtp, const char **refused)
{
	struct why why = WHY_INIT;
	bool ok = true, again = s->helo.len > 0;

	if (arg.len == 0) {
		smtpd_reply(s, "501 Syntax: %s hostname",
			    esmtp ? "EHLO" : "HELO");
		return false;
	}
	set_helo(s, arg);
	*refused = smtpd_milter_helo(s);
	if (*refused && !strncmp(*refused, "421", 3)) {
		smtpd_milter_reply(s, *refused);
		return false;
	}
	if (!s->unrestricted && !smtpd_access_helo(s, &why)) {
		smtpd_reply_why(s, &why);
		buf_free(&s->helo);
		ok = false;
	} else {
		if (again)
			smtpd_milter_abort(s);
		smtpd_mail_reset(s);
		/* As in Postfix: who said EHLO once stays ESMTP. */
		if (esmtp)
			s->protocol = "ESMTP";
	}
	why_free(&why);
	return ok;
}

static bool
cmd_helo(struct smtpd *s, struct span arg)
{
	const char *refused;

	if (!take_helo(s, arg, false, &refused))
		return false;
	smtpd_reply(s, "250 %s", conf->myhostname);
	return true;
}

static void
offer(struct strvec *rows, const char *text, bool on)
{
	if (on)
		strvec_add(rows, text);
}

/* The rows that follow this host's name; programs compare their order. */
static void
offers(struct smtpd *s, struct strvec *rows)
{
	unsigned off = s->ehlo_off;
	char size[40] = "SIZE";

	if (conf->message_size_limit > 0)
		snprintf(size, sizeof(size), "SIZE %lld",
			 (long long)conf->message_size_limit);
	offer(rows, "PIPELINING", !(off & EHLO_PIPELINING));
	offer(rows, size, !(off & EHLO_SIZE));
	offer(rows, "VRFY", !(off & EHLO_VRFY) && !conf->disable_vrfy_command);
	offer(rows, "ETRN", !(off & EHLO_ETRN));
	offer(rows, "STARTTLS", smtpd_tls_offered(s));
	smtpd_sasl_ehlo(s, rows);
	smtpd_xclient_offer(s, rows);
	offer(rows, "ENHANCEDSTATUSCODES", !(off & EHLO_ENHANCED));
	offer(rows, "8BITMIME", !(off & EHLO_8BITMIME));
	offer(rows, "DSN", !(off & EHLO_DSN));
	offer(rows, "SMTPUTF8",
	      !(off & EHLO_SMTPUTF8) && conf->smtputf8_enable);
	offer(rows, "CHUNKING", !(off & EHLO_CHUNKING));
	offer(rows, "REQUIRETLS", smtpd_tls_requirable(s));
}

static bool
cmd_ehlo(struct smtpd *s, struct span arg)
{
	struct strvec lines = STRVEC_INIT;
	const char *refused;

	if (!take_helo(s, arg, true, &refused))
		return false;
	s->ehlo_off = smtpd_ehlo_discarded(s);
	/* No mail will be taken, but replies still have enhanced codes. */
	if (refused && refused[0] == '5')
		s->ehlo_off = ~(unsigned)EHLO_ENHANCED;
	strvec_add(&lines, conf->myhostname);
	offers(s, &lines);
	for (size_t i = 0; i < lines.n; i++)
		smtpd_reply(s, "250%c%s", i + 1 < lines.n ? '-' : ' ',
			    lines.v[i]);
	strvec_free(&lines);
	return true;
}

static bool
cmd_rset(struct smtpd *s, struct span arg)
{
	if (arg.len) {
		smtpd_reply(s, "501 5.5.4 Syntax: RSET");
		return false;
	}
	smtpd_notice_rset(s);
	smtpd_mail_reset(s);
	smtpd_reply(s, "250 2.0.0 Ok");
	return true;
}

static bool
cmd_noop(struct smtpd *s, struct span arg)
{
	(void)arg;
	smtpd_reply(s, "250 2.0.0 Ok");
	return true;
}

static bool
cmd_quit(struct smtpd *s, struct span arg)
{
	(void)arg;
	smtpd_reply(s, "221 2.0.0 Bye");
	s->hangup = true;
	return true;
}

const struct smtpd_command smtpd_commands[] = {
    {"HELO", cmd_helo, CMD_ENDS_GROUP | CMD_CLEAR},
    {"EHLO", cmd_ehlo, CMD_ENDS_GROUP | CMD_CLEAR},
    {"XCLIENT", smtpd_cmd_xclient, CMD_ENDS_GROUP | CMD_GREETS | CMD_CLEAR},
    {"XFORWARD", smtpd_cmd_xforward, CMD_ENDS_GROUP},
    {"STARTTLS", smtpd_cmd_starttls, CMD_ENDS_GROUP | CMD_CLEAR},
    {"AUTH", smtpd_cmd_auth, 0},
    {"MAIL", smtpd_cmd_mail, 0},
    {"RCPT", smtpd_cmd_rcpt, 0},
    {"DATA", smtpd_cmd_data, CMD_ENDS_GROUP},
    /* Its data must be read, whatever comes of it. */
    {"BDAT", smtpd_cmd_bdat, CMD_CLEAR},
    {"RSET", cmd_rset, CMD_JUNK},
    {"NOOP", cmd_noop, CMD_JUNK | CMD_ENDS_GROUP | CMD_CLEAR},
    {"VRFY", smtpd_cmd_vrfy, CMD_JUNK | CMD_ENDS_GROUP},
    {"ETRN", smtpd_cmd_etrn, CMD_JUNK | CMD_ENDS_GROUP},
    {"QUIT", cmd_quit, CMD_QUIT | CMD_ENDS_GROUP | CMD_CLEAR},
    {NULL, NULL, 0},
};

const struct smtpd_command *
smtpd_command_find(struct span verb)
{
	for (const struct smtpd_command *c = smtpd_commands; c->name; c++)
		if (span_equal_cstr_nocase(verb, c->name))
			return c;
	return NULL;
}
