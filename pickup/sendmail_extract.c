/* SPDX-License-Identifier: MIT */
#include "pickup/sendmail.h"

#include "lib/addr/rewrite.h"
#include "lib/base/mem.h"

struct collect {
	struct envelope *env;
	int notify;
};

static void
add_one(void *arg, struct span addr)
{
	struct collect *c = arg;
	struct rcpt *r;

	if (addr.len == 0)
		return;
	r = envelope_add_rcpt(c->env);
	r->address = mem_strndup(addr.data, addr.len);
	r->dsn_notify = c->notify;
}

void
sendmail_add_recipients(struct envelope *env, struct span text, int notify)
{
	struct collect c = {env, notify};

	rewrite_header_scan(text, add_one, &c);
}

/* ---- -t ---- */

enum recipient_header {
	NO_RECIPIENTS,
	RECIPIENTS,
	RESENT_RECIPIENTS,
};

static enum recipient_header
classify(struct span name)
{
	static const char *const names[] = {"to", "cc", "bcc"};
	enum recipient_header kind = RECIPIENTS;

	if (span_starts_nocase(name, "resent-")) {
		kind = RESENT_RECIPIENTS;
		name = span_from(name, strlen("resent-"));
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (span_equal_cstr_nocase(name, names[i]))
			return kind;
	return NO_RECIPIENTS;
}

/* Length of the header field at the start of text, with its folded lines. */
static size_t
field_length(struct span text)
{
	size_t at = 0;

	for (;;) {
		long nl = span_find(span_from(text, at), '\n');

		if (nl < 0)
			return text.len;
		at += (size_t)nl + 1;
		if (at >= text.len ||
		    (text.data[at] != ' ' && text.data[at] != '\t'))
			return at;
	}
}

static void
extract_kind(struct envelope *env, struct span header,
	     enum recipient_header kind, int notify)
{
	while (header.len) {
		size_t n = field_length(header);
		struct span field = span_make(header.data, n);
		long colon = span_find(field, ':');

		header = span_from(header, n);
		if (colon <= 0)
			continue;
		if (classify(span_trim(span_make(field.data, (size_t)colon))) ==
		    kind)
			sendmail_add_recipients(
			    env, span_from(field, (size_t)colon + 1), notify);
	}
}

/* A message that was resent goes to whom it was resent. */
void
sendmail_extract(struct envelope *env, struct span header, int notify)
{
	size_t before = env->n_rcpts;

	extract_kind(env, header, RESENT_RECIPIENTS, notify);
	if (env->n_rcpts == before)
		extract_kind(env, header, RECIPIENTS, notify);
}
