/* SPDX-License-Identifier: MIT */
/* $user, $home, ... in forward_path, luser_relay, and the like. */
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/expand.h"
#include "local/local.h"

struct context {
	const struct local_addr *a;
	const struct local_account *acc;
	const char *allowed;
	struct buf value;
};

void
local_filter(const char *text, const char *allowed, struct buf *out)
{
	for (const char *p = text; *p; p++)
		buf_append_byte(out,
				allowed && !strchr(allowed, *p) ? '_' : *p);
}

/* What a name stands for may not be expanded again: a stranger wrote it. */
static const char *
value_of(struct context *c, const char *text)
{
	struct buf plain = BUF_INIT;

	if (!text || !*text)
		return NULL;
	local_filter(text, c->allowed, &plain);
	buf_reset(&c->value);
	for (size_t i = 0; i < plain.len; i++) {
		if (plain.data[i] == '$')
			buf_append_byte(&c->value, '$');
		buf_append_byte(&c->value, plain.data[i]);
	}
	buf_free(&plain);
	return buf_cstr(&c->value);
}

static const char *
lookup(void *arg, struct span name)
{
	struct context *c = arg;
	const struct local_addr *a = c->a;
	char delimiter[2] = {a->delimiter, '\0'};

	if (span_equal_cstr(name, "user"))
		return value_of(c, a->user);
	if (span_equal_cstr(name, "home"))
		return value_of(c, c->acc ? c->acc->home : NULL);
	if (span_equal_cstr(name, "shell"))
		return value_of(c, c->acc ? c->acc->shell : NULL);
	if (span_equal_cstr(name, "recipient"))
		return value_of(c, a->address);
	if (span_equal_cstr(name, "extension"))
		return value_of(c, a->extension);
	if (span_equal_cstr(name, "domain"))
		return value_of(c, a->domain);
	if (span_equal_cstr(name, "local"))
		return value_of(c, a->local);
	if (span_equal_cstr(name, "recipient_delimiter"))
		return value_of(c, delimiter);
	return NULL;
}

void
local_expand(const char *text, const struct local_addr *a,
	     const struct local_account *acc, const char *allowed,
	     struct buf *out)
{
	struct context c = {a, acc, allowed, BUF_INIT};
	struct buf error = BUF_INIT;

	if (!expand_text(span_of(text), lookup, &c, out, &error))
		log_warn("bad expansion \"%s\": %s", text, buf_cstr(&error));
	buf_free(&error);
	buf_free(&c.value);
}
