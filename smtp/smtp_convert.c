/* SPDX-License-Identifier: MIT */
#include "smtp/smtp_convert.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/mime/mime.h"

struct smtp_convert {
	struct mime *mime;
	struct stream_content *c;
	bool too_deep;
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
	if (v->too_deep)
		return;
	stream_content_write(v->c, text);
	if (line_end)
		stream_content_write(v->c, span_of("\n"));
}

static void
on_header(void *arg, enum mime_owner owner, struct span header)
{
	(void)owner;
	put(arg, header, true);
}

static void
on_body(void *arg, struct span text, bool line_end, size_t offset)
{
	(void)offset;
	put(arg, text, line_end);
}

static void
on_error(void *arg, enum mime_error error, struct span text)
{
	struct smtp_convert *v = arg;

	(void)text;
	if (error == MIME_TOO_DEEP)
		v->too_deep = true;
}

static const struct mime_events events = {on_header, on_body, on_error};

struct smtp_convert *
smtp_convert_begin(struct stream_content *c)
{
	struct smtp_convert *v = mem_alloc(sizeof(*v));
	struct mime_limits limits = {
	    .header_size = (size_t)conf->header_size_limit,
	    .boundary = (size_t)conf->mime_boundary_length_limit,
	    .nesting = conf->mime_nesting_limit,
	    .line = (size_t)conf->line_length_limit,
	    .to_7bit = true,
	};

	*v = (struct smtp_convert){.c = c};
	v->mime = mime_new(&limits, &events, v);
	mime_start_message(v->mime);
	return v;
}

static bool
good(const struct smtp_convert *v, struct why *why)
{
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
	free(v);
	return ok;
}
