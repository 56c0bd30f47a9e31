/* SPDX-License-Identifier: MIT */
/* MAIL, RCPT, VRFY: addresses and their ESMTP parameters. */
#include "smtpd/smtpd_cmd.h"

#include <sys/statvfs.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/base/utf8.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/smtp/cmd.h"
#include "lib/smtp/probe.h"
#include "lib/sys/io.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"
#include "smtpd/smtpd_data.h"
#include "smtpd/smtpd_limits.h"
#include "smtpd/smtpd_milter.h"
#include "smtpd/smtpd_proxy.h"
#include "smtpd/smtpd_route.h"
#include "smtpd/smtpd_sasl.h"
#include "smtpd/smtpd_tls.h"

enum { ENVID_MAX = 100, ADDRESS_MAX = 1024 };

/* ---- addresses ---- */

/* A CR would reach our Received: header. A domain is ASCII unless the client
 * announced SMTPUTF8. */
static bool
plausible(const struct smtpd *s, struct span addr)
{
	struct span domain = addr_domain(addr);

	if (addr.len > ADDRESS_MAX || span_find(addr, '\r') >= 0 ||
	    (!s->mail.smtputf8 && !utf8_is_ascii(domain.data, domain.len)))
		return false;
	return conf->allow_min_user || addr.len == 0 || addr.data[0] != '-';
}

/* "FROM:<a@b> PARAMS": into addr and rest. */
static bool
parse_address(struct smtpd *s, const char *command, struct span arg,
	      bool empty_ok, struct buf *addr, struct span *rest)
{
	const char *what = NULL;
	bool strict = conf->strict_rfc821_envelopes && command[0] != 'V';

	if (addr_parse_path(arg, strict, addr, rest, &what) &&
	    (addr->len || (empty_ok && arg.data[0] == '<')) &&
	    (command[0] != 'V' || rest->len == 0) &&
	    plausible(s, buf_span(addr)))
		return true;
	log_warn("Illegal address syntax from %s in %s command: %.*s",
		 buf_cstr(&s->peer.namaddr), command, SPAN_ARG(arg));
	return false;
}

/* strict_smtputf8: is this an address that the client may not send? */
static bool
undeclared_utf8(struct smtpd *s, const struct buf *addr)
{
	if (!conf->smtputf8_enable || !conf->strict_smtputf8 ||
	    s->mail.smtputf8 || utf8_is_ascii(addr->data, addr->len))
		return false;
	smtpd_reply(s, "553 5.6.7 Must declare SMTPUTF8 to send unicode "
		       "address");
	return true;
}

/* Is SMTPUTF8 one of the parameters? It counts for the address in front. */
static bool
asks_for_utf8(const struct smtpd *s, struct span arg)
{
	struct span key, value;

	if (!conf->smtputf8_enable || (s->ehlo_off & EHLO_SMTPUTF8))
		return false;
	while (cmd_next_param(&arg, &key, &value))
		if (!value.data && span_equal_cstr_nocase(key, "SMTPUTF8"))
			return true;
	return false;
}

static bool
bad_option(struct smtpd *s, struct span key, struct span value)
{
	if (value.data)
		smtpd_reply(s, "555 5.5.4 Unsupported option: %.*s=%.*s",
			    SPAN_ARG(key), SPAN_ARG(value));
	else
		smtpd_reply(s, "555 5.5.4 Unsupported option: %.*s",
			    SPAN_ARG(key));
	return false;
}

/* ---- MAIL ---- */

static bool
parse_size(struct smtpd *s, struct span value)
{
	int64_t size;

	for (size_t i = 0; i < value.len; i++)
		if (value.data[i] < '0' || value.data[i] > '9')
			value.len = 0;
	if (value.len == 0) {
		smtpd_reply(s, "501 5.5.4 Bad message size syntax");
		return false;
	}
	if (!num_parse(value, 0, INT64_MAX, &size)) {
		smtpd_reply(s, "552 5.3.4 Message size exceeds file system "
			       "imposed limit");
		return false;
	}
	s->mail.size = size;
	return true;
}

static bool
parse_envid(struct smtpd *s, struct span value)
{
	struct buf *envid = &s->mail.envid;

	if (envid->len == 0 && value.len && value.len <= ENVID_MAX &&
	    xtext_decode_text(value, envid) &&
	    utf8_is_ascii(envid->data, envid->len))
		return true;
	smtpd_reply(s, "501 5.5.4 Bad ENVID parameter syntax");
	return false;
}

static bool
parse_ret(struct smtpd *s, struct span value)
{
	if (s->mail.ret == RET_NONE)
		s->mail.ret = cmd_parse_ret(value);
	else
		s->mail.ret = RET_NONE;
	if (s->mail.ret != RET_NONE)
		return true;
	smtpd_reply(s, "501 5.5.4 Bad RET parameter syntax");
	return false;
}

static bool
dsn_disabled(struct smtpd *s)
{
	if (!(s->ehlo_off & EHLO_DSN))
		return false;
	smtpd_reply(s, "501 5.7.1 DSN support is disabled");
	return true;
}

static bool
mail_param(struct smtpd *s, struct span key, struct span value)
{
	if (!value.data && s->mail.smtputf8 &&
	    span_equal_cstr_nocase(key, "SMTPUTF8"))
		return true;
	if (!value.data && smtpd_tls_requirable(s) &&
	    span_equal_cstr_nocase(key, "REQUIRETLS")) {
		s->mail.requiretls = true;
		return true;
	}
	if (!value.data)
		return bad_option(s, key, value);
	if (span_equal_cstr_nocase(key, "BODY") &&
	    (span_equal_cstr_nocase(value, "8BITMIME") ||
	     span_equal_cstr_nocase(value, "7BIT"))) {
		buf_set_cstr(&s->mail.encoding,
			     value.data[0] == '8' ? "8bit" : "7bit");
		return true;
	}
	if (span_equal_cstr_nocase(key, "SIZE"))
		return parse_size(s, value);
	if (span_equal_cstr_nocase(key, "AUTH"))
		return smtpd_sasl_mail_param(s, value);
	if (span_equal_cstr_nocase(key, "ENVID"))
		return !dsn_disabled(s) && parse_envid(s, value);
	if (span_equal_cstr_nocase(key, "RET"))
		return !dsn_disabled(s) && parse_ret(s, value);
	return bad_option(s, key, value);
}

/* Room for a message of the largest size, and what queue_minfree wants. */
static bool
storage_left(struct smtpd *s, struct why *why)
{
	struct statvfs fs;
	double left;

	if (conf->message_size_limit > 0 &&
	    s->mail.size > conf->message_size_limit) {
		why_set_code(why, 552, "5.3.4",
			     "Message size exceeds fixed limit");
		return false;
	}
	if (s->standalone || statvfs(".", &fs) < 0)
		return true;
	left = (double)fs.f_bavail * (double)fs.f_frsize;
	if (left >= (double)conf->queue_minfree &&
	    left >= (double)s->mail.size &&
	    left >= 1.5 * (double)conf->message_size_limit)
		return true;
	if (left < (double)conf->queue_minfree)
		log_warn("not enough free space in mail queue: %.0f bytes < "
			 "queue_minfree",
			 left);
	else
		log_warn("not enough free space in mail queue: %.0f bytes < "
			 "1.5*message size limit",
			 left);
	why_set_code(why, 452, "4.3.1", "Insufficient system storage");
	return false;
}

static bool
mail_permitted(struct smtpd *s)
{
	struct why why = WHY_INIT;
	bool ok = true;

	/* From here on logs show the sender. */
	s->mail.active = true;
	if (!storage_left(s, &why)) {
		smtpd_log_reject(s, "reject", &why);
		ok = false;
	} else if (!s->unrestricted && !smtpd_access_mail(s, &why)) {
		ok = false;
	}
	if (!ok)
		smtpd_reply_why(s, &why);
	why_free(&why);
	return ok;
}

/* The address at the front of arg as the client wrote it, rest behind it. */
static struct span
raw_path(struct span arg, struct span rest)
{
	return span_trim(span_make(arg.data, arg.len - rest.len));
}

static bool
milters_agree(struct smtpd *s, const char *refused)
{
	if (refused)
		smtpd_milter_reply(s, refused);
	return !refused;
}

static bool
take_mail(struct smtpd *s, struct span arg)
{
	struct span rest, key, value, params;

	s->mail.smtputf8 = asks_for_utf8(s, arg);
	if (smtpd_proxy_is_on(s))
		buf_printf(&s->mail.mail_arg, "FROM:%.*s", SPAN_ARG(arg));
	if (!parse_address(s, "MAIL", arg, true, &s->mail.sender, &rest)) {
		smtpd_reply(s, "501 5.1.7 Bad sender address syntax");
		return false;
	}
	params = rest;
	while (cmd_next_param(&rest, &key, &value))
		if (!mail_param(s, key, value))
			return false;
	if (undeclared_utf8(s, &s->mail.sender))
		return false;
	return mail_permitted(s) &&
	       milters_agree(
		   s, smtpd_milter_mail(s, raw_path(arg, params), params));
}

bool
smtpd_cmd_mail(struct smtpd *s, struct span arg)
{
	if (conf->smtpd_helo_required && s->helo.len == 0) {
		smtpd_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
		return false;
	}
	if (s->mail.active) {
		smtpd_reply(s, "503 5.5.1 Error: nested MAIL command");
		return false;
	}
	if (s->mail.content.chunks != CHUNKS_NONE) {
		smtpd_reply(s, "503 5.5.1 Error: MAIL after BDAT");
		return false;
	}
	if (!span_starts_nocase(arg, "from:") ||
	    span_trim(span_from(arg, 5)).len == 0) {
		smtpd_reply(s, "501 5.5.4 Syntax: MAIL FROM:<address>");
		return false;
	}
	if (!smtpd_limits_mail(s))
		return false;
	if (!take_mail(s, span_trim(span_from(arg, 5)))) {
		/* What XFORWARD said is for the next MAIL that is taken. */
		struct smtpd_forward forward = s->forward;

		s->forward = (struct smtpd_forward){0};
		smtpd_mail_reset(s);
		s->forward = forward;
		return false;
	}
	smtpd_reply(s, "250 2.1.0 Ok");
	return true;
}

/* ---- RCPT ---- */

struct rcpt_params {
	int notify;
	struct buf orcpt;
};

static bool
rcpt_param(struct smtpd *s, struct rcpt_params *p, struct span key,
	   struct span value)
{
	if (value.data && span_equal_cstr_nocase(key, "NOTIFY")) {
		if (dsn_disabled(s))
			return false;
		p->notify = p->notify ? 0 : cmd_parse_notify(value);
		if (p->notify)
			return true;
		smtpd_reply(s, "501 5.5.4 Error: Bad NOTIFY parameter syntax");
		return false;
	}
	if (value.data && span_equal_cstr_nocase(key, "ORCPT")) {
		if (dsn_disabled(s))
			return false;
		if (p->orcpt.len == 0 && value.len <= ADDRESS_MAX &&
		    cmd_parse_orcpt(value, &p->orcpt))
			return true;
		smtpd_reply(s, "501 5.5.4 Error: Bad ORCPT parameter syntax");
		return false;
	}
	return bad_option(s, key, value);
}

/*
 * Recipients over the limit are put off; clients that honour that may do so
 * for a while before it counts as an error.
 */
static bool
too_many(struct smtpd *s)
{
	unsigned before = s->errors;

	if (conf->smtpd_recipient_limit <= 0 ||
	    s->mail.n_rcpts < (size_t)conf->smtpd_recipient_limit)
		return false;
	smtpd_reply(s, "452 4.5.3 Error: too many recipients");
	if (s->mail.n_refused++ < (size_t)conf->smtpd_recipient_overshoot_limit)
		s->errors = before;
	return true;
}

static bool
pass_to_filter(struct smtpd *s, struct span arg)
{
	struct buf whole = BUF_INIT;
	bool ok;

	buf_printf(&whole, "TO:%.*s", SPAN_ARG(arg));
	ok = smtpd_proxy_rcpt(s, buf_span(&whole));
	buf_free(&whole);
	return ok;
}

static bool
take_rcpt(struct smtpd *s, struct span arg, struct rcpt_params *p)
{
	struct why why = WHY_INIT;
	struct span rest, key, value, params;
	bool ok;

	if (!parse_address(s, "RCPT", arg, false, &s->recipient, &rest)) {
		buf_reset(&s->recipient);
		smtpd_reply(s, "501 5.1.3 Bad recipient address syntax");
		return false;
	}
	if (conf->address_verify_sender_ttl > 0 &&
	    probe_is_sender(buf_span(&s->recipient), io_now()))
		probe_base_sender(&s->recipient);
	params = rest;
	while (cmd_next_param(&rest, &key, &value))
		if (!rcpt_param(s, p, key, value))
			return false;
	if (undeclared_utf8(s, &s->recipient))
		return false;
	if (too_many(s))
		return false;
	ok = s->unrestricted || smtpd_access_rcpt(s, &why);
	if (!ok)
		smtpd_milter_rcpt_refused(s, raw_path(arg, params), params,
					  &why);
	else if (!milters_agree(
		     s, smtpd_milter_rcpt(s, raw_path(arg, params), params)))
		return false;
	ok = ok && smtpd_data_open(s, &why);
	if (ok && s->mail.proxy)
		ok = pass_to_filter(s, arg);
	if (ok)
		smtpd_mail_add_rcpt(s, buf_span(&s->recipient),
				    p->orcpt.len ? p->orcpt.data : NULL,
				    p->notify);
	else if (why_is_set(&why))
		smtpd_reply_why(s, &why);
	why_free(&why);
	return ok;
}

static void
forget_recipient(struct smtpd *s)
{
	buf_reset(&s->recipient);
	smtpd_route_forget(s);
}

bool
smtpd_cmd_rcpt(struct smtpd *s, struct span arg)
{
	struct rcpt_params p = {0, BUF_INIT};
	bool ok;

	if (!s->mail.active) {
		smtpd_reply(s, "503 5.5.1 Error: need MAIL command");
		return false;
	}
	if (s->mail.content.chunks != CHUNKS_NONE) {
		smtpd_reply(s, "503 5.5.1 Error: RCPT after BDAT");
		return false;
	}
	if (!span_starts_nocase(arg, "to:") ||
	    span_trim(span_from(arg, 3)).len == 0) {
		smtpd_reply(s, "501 5.5.4 Syntax: RCPT TO:<address>");
		return false;
	}
	if (!smtpd_limits_rcpt(s))
		return false;
	forget_recipient(s);
	ok = take_rcpt(s, span_trim(span_from(arg, 3)), &p);
	forget_recipient(s);
	buf_free(&p.orcpt);
	if (ok)
		smtpd_reply(s, "250 2.1.5 Ok");
	return ok;
}

/* ---- VRFY ---- */

/* "address SMTPUTF8": cut the word off. */
static bool
cut_smtputf8(const struct smtpd *s, struct span *arg)
{
	static const char word[] = " SMTPUTF8";

	if (!conf->smtputf8_enable || (s->ehlo_off & EHLO_SMTPUTF8) ||
	    !span_ends_nocase(*arg, word))
		return false;
	arg->len -= sizeof(word) - 1;
	*arg = span_trim(*arg);
	return true;
}

static bool
verify(struct smtpd *s, struct span arg)
{
	struct why why = WHY_INIT;
	struct span rest;
	bool ok = false;

	if (!parse_address(s, "VRFY", arg, false, &s->recipient, &rest)) {
		smtpd_reply(s, "501 5.1.3 Bad recipient address syntax");
	} else if (undeclared_utf8(s, &s->recipient)) {
		ok = false;
	} else if (!s->unrestricted && !smtpd_access_vrfy(s, &why)) {
		smtpd_reply_why(s, &why);
	} else {
		smtpd_reply(s, "252 2.0.0 %.*s", SPAN_ARG(arg));
		ok = true;
	}
	why_free(&why);
	return ok;
}

bool
smtpd_cmd_vrfy(struct smtpd *s, struct span arg)
{
	bool before = s->mail.smtputf8, ok;

	if (conf->disable_vrfy_command || (s->ehlo_off & EHLO_VRFY)) {
		smtpd_reply(s, "502 5.5.1 VRFY command is disabled");
		return false;
	}
	if (conf->smtpd_helo_required && s->helo.len == 0) {
		smtpd_reply(s, "503 5.5.1 Error: send HELO/EHLO first");
		return false;
	}
	if (arg.len == 0 ||
	    (conf->smtputf8_enable && !(s->ehlo_off & EHLO_SMTPUTF8) &&
	     span_equal_cstr_nocase(arg, "SMTPUTF8"))) {
		smtpd_reply(s, "501 5.5.4 Syntax: VRFY address [SMTPUTF8]");
		return false;
	}
	/* It is of this command, whatever the transaction around it is. */
	s->mail.smtputf8 = cut_smtputf8(s, &arg);
	forget_recipient(s);
	ok = verify(s, arg);
	forget_recipient(s);
	s->mail.smtputf8 = before;
	return ok;
}
