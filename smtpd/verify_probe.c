/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/addr/rewrite.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup.h"
#include "lib/conf/conf.h"
#include "lib/smtp/probe.h"
#include "lib/sys/io.h"
#include "smtpd/verify.h"

static void
put_content(struct cleanup *c, const char *sender, struct span address)
{
	struct buf text = BUF_INIT;

	buf_append_cstr(&text, "From: <");
	addr_quote(span_of(sender), &text);
	buf_append_cstr(&text, ">\nTo: <");
	addr_quote(address, &text);
	buf_append_cstr(&text, ">\nSubject: Address probe\n\n");
	cleanup_content(c, buf_span(&text));
	buf_free(&text);
}

bool
verify_probe_send(struct span address)
{
	struct why why = WHY_INIT;
	struct cleanup *c = cleanup_begin(CLEANUP_BOUNCE, &why);
	struct buf sender = BUF_INIT;
	struct envelope *e;
	bool ok = false;

	if (c) {
		probe_sender(io_now(), &sender);
		e = cleanup_envelope(c);
		e->sender = mem_strdup(buf_cstr(&sender));
		e->rewrite = mem_strdup("local");
		e->flags |= ENVELOPE_PROBE;
		cleanup_recipient(c, address, NULL, NULL, 0);
		put_content(c, buf_cstr(&sender), address);
		ok = cleanup_end(c, &why);
	}
	if (!ok)
		log_warn("cannot send an address probe: %s",
			 buf_cstr(&why.text));
	buf_free(&sender);
	why_free(&why);
	return ok;
}
