/* SPDX-License-Identifier: MIT */
#include "smtpd/smtpd_cmd.h"

#include <stdio.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_sasl.h"
#include "smtpd/smtpd_tls.h"

enum { ETRN_LOG_MAX = 100 };

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
	if (again)
		smtpd_milter_abort(s);
	smtpd_mail_reset(s);
	if (!s->unrestricted && !smtpd_access_helo(s, &why)) {
		smtpd_reply_why(s, &why);
		buf_free(&s->helo);
		ok = false;
	} else if (esmtp) {
		/* As in Postfix: who said EHLO once stays ESMTP. */
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

static bool
cmd_ehlo(struct smtpd *s, struct span arg)
{
	struct strvec lines = STRVEC_INIT;
	char size[40] = "SIZE";
	const char *refused;
	unsigned off;

	if (!take_helo(s, arg, true, &refused))
		return false;
	off = s->ehlo_off = smtpd_ehlo_discarded(s);
	/* No mail will be taken, but replies still have enhanced codes. */
	if (refused && refused[0] == '5')
		off = s->ehlo_off = ~(unsigned)EHLO_ENHANCED;
	if (conf->message_size_limit > 0)
		snprintf(size, sizeof(size), "SIZE %lld",
			 (long long)conf->message_size_limit);
	const struct {
		const char *text;
		bool on;
	} offers[] = {
	    {"PIPELINING", !(off & EHLO_PIPELINING)},
	    {size, !(off & EHLO_SIZE)},
	    {"VRFY", !(off & EHLO_VRFY) && !conf->disable_vrfy_command},
	    {"ETRN", !(off & EHLO_ETRN)},
	    {"STARTTLS", smtpd_tls_offered(s)},
	    {NULL, true}, /* AUTH */
	    {"ENHANCEDSTATUSCODES", !(off & EHLO_ENHANCED)},
	    {"8BITMIME", !(off & EHLO_8BITMIME)},
	    {"DSN", !(off & EHLO_DSN)},
	};
	strvec_add(&lines, conf->myhostname);
	for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++)
		if (!offers[i].text)
			smtpd_sasl_ehlo(s, &lines);
		else if (offers[i].on)
			strvec_add(&lines, offers[i].text);
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

/* No site is eligible: deliveries for a site start with postqueue -s. */
static bool
cmd_etrn(struct smtpd *s, struct span arg)
{
	struct span domain = arg;
	struct why why = WHY_INIT;
	size_t shown;

	if (conf->smtpd_helo_required && s->helo.len == 0) {
		smtpd_reply(s, "503 Error: send HELO/EHLO first");
		return false;
	}
	if (s->mail.active) {
		smtpd_reply(s, "503 Error: MAIL transaction in progress");
		return false;
	}
	if (arg.len == 0 || span_find(arg, ' ') >= 0) {
		smtpd_reply(s, "500 Syntax: ETRN domain");
		return false;
	}
	if (domain.data[0] == '@' || domain.data[0] == '#')
		domain = span_from(domain, 1);
	if (!addr_valid_hostname(domain) && !addr_valid_literal(domain, NULL)) {
		smtpd_reply(s, "501 Error: invalid parameter syntax");
		return false;
	}
	buf_set(&s->etrn_domain, domain);
	if (!s->unrestricted && !smtpd_access_etrn(s, &why)) {
		smtpd_reply_why(s, &why);
		why_free(&why);
		return false;
	}
	shown = domain.len < ETRN_LOG_MAX ? domain.len : ETRN_LOG_MAX;
	log_warn("reject: ETRN %.*s... from %s", (int)shown, domain.data,
		 buf_cstr(&s->peer.namaddr));
	smtpd_reply(s, "459 <%.*s>: service unavailable", SPAN_ARG(domain));
	return false;
}

static bool
cmd_xclient(struct smtpd *s, struct span arg)
{
	(void)arg;
	smtpd_reply(s, "550 5.7.0 Error: insufficient authorization");
	return false;
}

/* Its data would follow at once; nothing that comes next can be trusted to be
 * a command. */
static bool
cmd_bdat(struct smtpd *s, struct span arg)
{
	(void)arg;
	smtpd_reply(s, "521 5.5.1 Error: command not implemented");
	return false;
}

const struct smtpd_command smtpd_commands[] = {
    {"HELO", cmd_helo, CMD_ENDS_GROUP | CMD_CLEAR},
    {"EHLO", cmd_ehlo, CMD_ENDS_GROUP | CMD_CLEAR},
    {"XCLIENT", cmd_xclient, CMD_ENDS_GROUP | CMD_CLEAR},
    {"XFORWARD", cmd_xclient, CMD_ENDS_GROUP},
    {"STARTTLS", smtpd_cmd_starttls, CMD_ENDS_GROUP | CMD_CLEAR},
    {"AUTH", smtpd_cmd_auth, 0},
    {"MAIL", smtpd_cmd_mail, 0},
    {"RCPT", smtpd_cmd_rcpt, 0},
    {"DATA", smtpd_cmd_data, CMD_ENDS_GROUP},
    {"BDAT", cmd_bdat, 0},
    {"RSET", cmd_rset, CMD_JUNK},
    {"NOOP", cmd_noop, CMD_JUNK | CMD_ENDS_GROUP | CMD_CLEAR},
    {"VRFY", smtpd_cmd_vrfy, CMD_JUNK | CMD_ENDS_GROUP},
    {"ETRN", cmd_etrn, CMD_JUNK | CMD_ENDS_GROUP},
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
