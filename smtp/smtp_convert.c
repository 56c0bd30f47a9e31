/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_convert.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/mime/mime.h"
#include "smtp/smtp_checks.h"

struct smtp_convert {
	struct mime *mime;
	struct stream_content *c;
	const char *queue_id, *peer;
	bool to_7bit;
	bool checks;
	bool too_deep;
	bool failed; /* a table */
	struct buf out;
};

bool
smtp_convert_wanted(const struct smtp_session *s,
		    const struct agent_request *req)
{
	return !conf->disable_mime_output_conversion &&
	       !(s->features & FEATURE_8BITMIME) &&
	       strcmp(req->encoding, "8bit") == 0;
}

static void
put(struct smtp_convert *v, struct span text, bool line_end)
{
	if (v->too_deep || v->failed)
		return;
	stream_content_write(v->c, text);
	if (line_end)
		stream_content_write(v->c, span_of("\n"));
}

static void
put_checked(struct smtp_convert *v, bool ok)
{
	v->failed |= !ok;
	put(v, buf_span(&v->out), false);
	buf_reset(&v->out);
}

static void
on_header(void *arg, enum mime_owner owner, struct span header)
{
	struct smtp_convert *v = arg;

	if (!v->checks)
		put(v, header, true);
	else if (!v->failed)
		put_checked(
		    v, smtp_checks_header(v->queue_id, owner, header, &v->out));
}

/* A long line is checked piece by piece. */
static void
on_body(void *arg, struct span text, bool line_end, size_t offset)
{
	struct smtp_convert *v = arg;
	bool ok;

	if (!v->checks || v->failed ||
	    offset > (size_t)conf->body_checks_size_limit) {
		put(v, text, line_end);
		return;
	}
	ok = smtp_checks_body(v->queue_id, text, &v->out);
	if (!line_end && v->out.len)
		buf_truncate(&v->out, v->out.len - 1);
	put_checked(v, ok);
}

static void
on_error(void *arg, enum mime_error error, struct span text)
{
	struct smtp_convert *v = arg;

	(void)text;
	if (error == MIME_TOO_DEEP && v->to_7bit)
		v->too_deep = true;
}

static const struct mime_events events = {on_header, on_body, on_error};

struct smtp_convert *
smtp_convert_begin(struct stream_content *c, const struct smtp_session *s,
		   const char *queue_id, bool to_7bit)
{
	struct smtp_convert *v = mem_alloc(sizeof(*v));
	struct mime_limits limits = {
	    .header_size = (size_t)conf->header_size_limit,
	    .boundary = (size_t)conf->mime_boundary_length_limit,
	    .nesting = conf->mime_nesting_limit,
	    .line = (size_t)conf->line_length_limit,
	    .to_7bit = to_7bit,
	};

	*v = (struct smtp_convert){.c = c,
				   .queue_id = queue_id,
				   .peer = s->name,
				   .to_7bit = to_7bit,
				   .checks = smtp_checks_wanted()};
	v->mime = mime_new(&limits, &events, v);
	mime_start_message(v->mime);
	return v;
}

static bool
good(const struct smtp_convert *v, struct why *why)
{
	if (v->failed) {
		why_set(why, "4.3.0", "local data error while talking to %s",
			v->peer);
		return false;
	}
	if (v->too_deep)
		why_set(why, "5.6.0", "MIME nesting exceeds safety limit");
	return !v->too_deep;
}

bool
smtp_convert_write(struct smtp_convert *v, struct span piece, struct why *why)
{
	mime_feed(v->mime, piece);
	return good(v, why);
}

bool
smtp_convert_end(struct smtp_convert **vp, bool give_up, struct why *why)
{
	struct smtp_convert *v = *vp;
	bool ok = true;

	*vp = NULL;
	if (!give_up) {
		mime_finish(v->mime);
		ok = good(v, why);
	}
	mime_free(v->mime);
	buf_free(&v->out);
	free(v);
	return ok;
}
