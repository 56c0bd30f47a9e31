/* SPDX-License-Identifier: MIT */
#include "lib/dsn/notice.h"

#include <time.h>

#include "lib/base/utf8.h"

enum {
	FOLD_WIDTH = 79,
	FOLD_INDENT = 4,
	WORD_MAX = 900, /* RFC 5322 section 2.1.1: lines of 998 */
	HOUR = 3600,
	DAY = 24 * HOUR,
};

void
notice_date(int64_t usec, struct buf *out)
{
	time_t t = (time_t)(usec / 1000000);
	char text[100];
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(text, sizeof(text), "%a, %e %b %Y %H:%M:%S %z (%Z)", &tm);
	/* %e pads with a space. */
	if (text[5] == ' ')
		buf_printf(out, "%.5s%s", text, text + 6);
	else
		buf_append_cstr(out, text);
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

void
notice_fold(struct span prefix, struct span text, size_t width, size_t indent,
	    struct buf *out)
{
	size_t column = prefix.len;
	bool fresh = prefix.len == 0; /* nothing on this line yet */

	buf_append_span(out, prefix);
	while (text.len > 0) {
		size_t gap = 0, word = 0;

		while (gap < text.len && is_blank(text.data[gap]))
			gap++;
		while (gap + word < text.len && word < WORD_MAX &&
		       !is_blank(text.data[gap + word]))
			word++;
		if (column + gap + word > width && !fresh) {
			buf_printf(out, "\n%*s", (int)indent, "");
			column = indent;
			gap = 0;
			while (text.len > 0 && is_blank(text.data[0]))
				text = span_from(text, 1);
		}
		buf_append(out, text.data, gap + word);
		column += gap + word;
		fresh = false;
		text = span_from(text, gap + word);
	}
	buf_append_byte(out, '\n');
}

static bool
is_ascii(const char *s)
{
	return utf8_is_ascii(s, strlen(s));
}

static void
boundary(const struct notice *n, struct buf *out)
{
	buf_printf(out, "%s.%lld/%s", n->queue_id,
		   (long long)(n->now / 1000000), n->hostname);
}

static void
start_part(const struct notice *n, const char *description, const char *type,
	   const char *encoding, struct buf *out)
{
	buf_append_cstr(out, "\n--");
	boundary(n, out);
	buf_printf(out, "\nContent-Description: %s\nContent-Type: %s\n",
		   description, type);
	if (encoding)
		buf_printf(out, "Content-Transfer-Encoding: %s\n", encoding);
	buf_append_byte(out, '\n');
}

/* ---- the header of the notice ---- */

static const char *
subject(const struct notice *n)
{
	switch (n->kind) {
	case NOTICE_FAILURE:
		return "Undelivered Mail Returned to Sender";
	case NOTICE_DELAY:
		return "Delayed Mail (still being retried)";
	case NOTICE_SUCCESS:
		return "Successful Mail Delivery Report";
	case NOTICE_POSTMASTER:
		return "Postmaster Copy: Undelivered Mail";
	case NOTICE_REPORT:
		break;
	}
	return "Mail Delivery Status Report";
}

static void
put_header(const struct notice *n, struct buf *out)
{
	buf_append_cstr(out, "Date: ");
	notice_date(n->now, out);
	if (n->obsolete_from)
		buf_printf(out, "\nFrom: %s (Mail Delivery System)", n->daemon);
	else
		buf_printf(out, "\nFrom: Mail Delivery System <%s>", n->daemon);
	buf_printf(out, "\nSubject: %s\nTo: %s\nAuto-Submitted: %s\n",
		   subject(n), n->to,
		   n->kind == NOTICE_POSTMASTER ? "auto-generated"
						: "auto-replied");
	buf_append_cstr(out, "MIME-Version: 1.0\n"
			     "Content-Type: multipart/report; "
			     "report-type=delivery-status;\n\tboundary=\"");
	boundary(n, out);
	buf_append_cstr(out, "\"\nContent-Transfer-Encoding: 8bit\n\n"
			     "This message consists of several MIME parts.\n");
}

/* ---- the part for people ---- */

static void
put_duration(int64_t usec, struct buf *out)
{
	int64_t sec = usec / 1000000;
	bool days = sec >= 2 * DAY;
	int64_t count = sec / (days ? DAY : HOUR);

	buf_printf(out, "%lld %s%s", (long long)count, days ? "day" : "hour",
		   count == 1 ? "" : "s");
}

static void
put_delay_text(const struct notice *n, struct buf *out)
{
	buf_append_cstr(out,
			"This is only a warning. Your message is still on its "
			"way; please do\nnot send it again.\n\n"
			"It has been waiting here for ");
	if (n->delayed >= (int64_t)HOUR * 1000000)
		put_duration(n->delayed, out);
	else
		buf_append_cstr(out, "less than an hour");
	buf_append_cstr(out, ", because one or more\n"
			     "recipients could not be reached.");
	if (n->retry_until > n->arrival) {
		buf_append_cstr(out, " Delivery is attempted again until the\n"
				     "message is ");
		put_duration(n->retry_until - n->arrival, out);
		buf_append_cstr(out, " old.");
	}
	buf_append_cstr(out, "\n");
}

static void
put_explanation(const struct notice *n, struct buf *out)
{
	if (n->kind == NOTICE_POSTMASTER)
		return;
	buf_printf(out, "This is the mail system at host %s.\n\n", n->hostname);
	switch (n->kind) {
	case NOTICE_FAILURE:
		buf_printf(out,
			   "One or more recipients did not get your message. "
			   "Below you find which\nones, and why; the %s "
			   "attached.\n\n"
			   "When you ask your postmaster about it, please send "
			   "this report along.\n",
			   n->headers_only ? "header of the message is"
					   : "message is");
		break;
	case NOTICE_DELAY:
		put_delay_text(n, out);
		break;
	case NOTICE_SUCCESS:
		buf_append_cstr(out,
				"Your message was handed over for the "
				"recipients below. For those where it\n"
				"was passed on to another system, that system "
				"may still send reports of\nits own.\n");
		break;
	default:
		buf_append_cstr(out, "Here is the delivery report that you "
				     "asked for.\n");
	}
	buf_append_cstr(out, "\n                   The mail system\n");
}

static bool
is_expanded(const struct notice_rcpt *r)
{
	return r->orig_to[0] && strcmp(r->orig_to, r->address) != 0;
}

static void
put_people_part(const struct notice *n, struct buf *out)
{
	struct buf prefix = BUF_INIT, text = BUF_INIT;

	start_part(n, "Notification", "text/plain; charset=utf-8", "8bit", out);
	put_explanation(n, out);
	for (size_t i = 0; i < n->n_rcpts; i++) {
		const struct notice_rcpt *r = &n->rcpts[i];

		buf_reset(&prefix);
		buf_printf(&prefix, "<%s>", r->address);
		buf_reset(&text);
		if (is_expanded(r))
			buf_printf(&text, " (expanded from <%s>)", r->orig_to);
		buf_append_cstr(&text, ": ");
		buf_append_span(&text, buf_span(&r->why->text));
		buf_append_byte(out, '\n');
		notice_fold(buf_span(&prefix), buf_span(&text), FOLD_WIDTH,
			    FOLD_INDENT, out);
	}
	buf_free(&prefix);
	buf_free(&text);
}

/* ---- the part for programs ---- */

static const char *
action(const struct notice *n, const struct why *why)
{
	enum why_class c = why_class(why);

	if (n->kind == NOTICE_DELAY)
		return "delayed";
	if (n->kind == NOTICE_REPORT && n->probe)
		return c == WHY_SENT ? "deliverable" : "undeliverable";
	if (n->kind == NOTICE_REPORT && c == WHY_DEFER)
		return "delayed";
	if (n->kind != NOTICE_SUCCESS &&
	    (n->kind != NOTICE_REPORT || c != WHY_SENT))
		return "failed";
	return why->mta.len > 0 ? "relayed" : "delivered";
}

static const char *
address_type(const struct notice *n, const char *address)
{
	return n->smtputf8 && !is_ascii(address) ? "utf-8" : "rfc822";
}

static void
put_original_recipient(const struct notice_rcpt *r, struct buf *out)
{
	buf_append_cstr(out, "Original-Recipient: ");
	if (r->dsn_orcpt[0])
		buf_append_cstr(out, r->dsn_orcpt);
	else
		buf_printf(out, "rfc822;%s",
			   r->orig_to[0] ? r->orig_to : r->address);
	buf_append_byte(out, '\n');
}

static void
put_diagnostic(const struct notice *n, const struct why *why, struct buf *out)
{
	bool remote = why->diag_type && why->diagnostic.len > 0;
	struct buf prefix = BUF_INIT;

	if (remote)
		buf_printf(&prefix, "Diagnostic-Code: %s;", why->diag_type);
	else
		buf_printf(&prefix, "Diagnostic-Code: X-%s;", n->mail_name);
	buf_append_byte(&prefix, ' ');
	notice_fold(buf_span(&prefix),
		    remote ? buf_span(&why->diagnostic) : buf_span(&why->text),
		    FOLD_WIDTH, FOLD_INDENT, out);
	buf_free(&prefix);
}

static void
put_rcpt_fields(const struct notice *n, const struct notice_rcpt *r,
		struct buf *out)
{
	buf_printf(out, "\nFinal-Recipient: %s; %s\n",
		   address_type(n, r->address), r->address);
	put_original_recipient(r, out);
	buf_printf(out, "Action: %s\nStatus: %s\n", action(n, r->why),
		   r->why->dsn);
	if (r->why->mta.len > 0)
		buf_printf(out, "Remote-MTA: dns; %s\n",
			   buf_cstr(&r->why->mta));
	put_diagnostic(n, r->why, out);
	if (n->kind == NOTICE_DELAY && n->retry_until > 0) {
		buf_append_cstr(out, "Will-Retry-Until: ");
		notice_date(n->retry_until, out);
		buf_append_byte(out, '\n');
	}
}

static void
put_status_part(const struct notice *n, struct buf *out)
{
	start_part(n, "Delivery report",
		   n->smtputf8 ? "message/global-delivery-status"
			       : "message/delivery-status",
		   n->smtputf8 ? "8bit" : NULL, out);
	buf_printf(out, "Reporting-MTA: dns; %s\n", n->hostname);
	if (n->envid[0])
		buf_printf(out, "Original-Envelope-Id: %s\n", n->envid);
	buf_printf(out, "X-%s-Queue-ID: %s\nX-%s-Sender: %s; %s\n",
		   n->mail_name, n->queue_id, n->mail_name,
		   address_type(n, n->sender), n->sender);
	buf_append_cstr(out, "Arrival-Date: ");
	notice_date(n->arrival, out);
	buf_append_byte(out, '\n');
	for (size_t i = 0; i < n->n_rcpts; i++)
		put_rcpt_fields(n, &n->rcpts[i], out);
}

/* ---- the message itself ---- */

static void
put_message_head(const struct notice *n, struct buf *out)
{
	bool failed = n->kind != NOTICE_SUCCESS && n->kind != NOTICE_REPORT;
	struct buf what = BUF_INIT;
	const char *type;

	buf_printf(&what, "%sMessage%s", failed ? "Undelivered " : "",
		   n->headers_only ? " Headers" : "");
	if (n->headers_only)
		type = n->smtputf8 ? "message/global-headers"
				   : "text/rfc822-headers";
	else
		type = n->smtputf8 ? "message/global" : "message/rfc822";
	start_part(n, buf_cstr(&what), type, n->seven_bit ? "7bit" : "8bit",
		   out);
	buf_printf(out, "Return-Path: <%s>\n", n->sender);
	buf_free(&what);
}

void
notice_begin(const struct notice *n, struct buf *out)
{
	put_header(n, out);
	put_people_part(n, out);
	put_status_part(n, out);
	put_message_head(n, out);
}

void
notice_end(const struct notice *n, struct buf *out)
{
	buf_append_cstr(out, "\n--");
	boundary(n, out);
	buf_append_cstr(out, "--\n");
}
