/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_content.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "smtp/smtp_checks.h"
#include "smtp/smtp_convert.h"

enum { CHUNK = 32768 };

static void
put_header(struct stream_content *c, const char *name, const char *address,
	   bool brackets)
{
	struct buf line = BUF_INIT;

	buf_printf(&line, "%s: %s", name, brackets ? "<" : "");
	addr_quote(span_of(address), &line);
	buf_append_cstr(&line, brackets ? ">\n" : "\n");
	stream_content_write(c, buf_span(&line));
	buf_free(&line);
}

/* These belong to one recipient; qmgr sends one
 * (TRANSPORT_destination_recipient_limit = 1). */
static void
put_headers(struct stream_content *c, const struct agent_request *req,
	    unsigned flags)
{
	const struct agent_rcpt *r = &req->rcpts[0];

	if (flags & MAIL_ADD_RETURN_PATH)
		put_header(c, "Return-Path", req->sender, true);
	if (flags & MAIL_ADD_ORIGINAL_TO)
		put_header(c, "X-Original-To",
			   r->orig_to[0] ? r->orig_to : r->address, false);
	if (flags & MAIL_ADD_DELIVERED_TO)
		put_header(c, "Delivered-To", r->address, false);
}

bool
smtp_content_send(struct smtp_session *s, struct agent_request *req,
		  const struct smtp_mail_options *opt, struct why *why)
{
	struct stream_content c;
	int64_t offset = req->content_offset, left = req->content_length;
	struct smtp_convert *convert = NULL;
	char *chunk = mem_alloc(CHUNK);
	bool ok = true;

	stream_content_begin(&c, &s->stream,
			     conf->smtp_line_length_limit > 0
				 ? (size_t)conf->smtp_line_length_limit
				 : 0);
	put_headers(&c, req, opt->flags);
	if (smtp_convert_wanted(s, req) || smtp_checks_wanted())
		convert = smtp_convert_begin(&c, s, req->queue_id,
					     smtp_convert_wanted(s, req));
	while (ok && left > 0 && s->stream.status == STREAM_OK) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		if (!io_pread_all(req->fd, chunk, n, offset)) {
			why_set(why, "4.3.0", "message cannot be read: %s",
				errno ? strerror(errno) : "it is too short");
			ok = false;
			break;
		}
		if (convert)
			ok = smtp_convert_write(convert, span_make(chunk, n),
						why);
		else
			stream_content_write(&c, span_make(chunk, n));
		offset += (int64_t)n;
		left -= (int64_t)n;
	}
	free(chunk);
	if (convert && !smtp_convert_end(&convert, !ok, why))
		ok = false;
	if (!ok)
		return false;
	if (s->features & FEATURE_DELAY_DOT) {
		/* The firewall wants the end of data in a packet of its own. */
		stream_flush(&s->stream);
		usleep((useconds_t)conf->smtp_pix_workaround_delay_time);
	}
	stream_content_end(&c);
	if (c.broken && !*opt->break_logged)
		log_info("%s: breaking line > %d bytes with <CR><LF>SPACE",
			 req->queue_id, conf->smtp_line_length_limit);
	*opt->break_logged = *opt->break_logged || c.broken;
	return true;
}

bool
smtp_content_header_is_8bit(const struct agent_request *req)
{
	int64_t offset = req->content_offset, left = req->content_length;
	char *chunk = mem_alloc(CHUNK);
	bool found = false, end = false;
	char last = '\n';

	while (left > 0 && !found && !end) {
		size_t n = left < CHUNK ? (size_t)left : CHUNK;

		if (!io_pread_all(req->fd, chunk, n, offset))
			break;
		for (size_t i = 0; i < n && !found && !end; i++) {
			found = (unsigned char)chunk[i] >= 0x80;
			end = chunk[i] == '\n' && last == '\n';
			last = chunk[i];
		}
		offset += (int64_t)n;
		left -= (int64_t)n;
	}
	free(chunk);
	return found;
}
