/* SPDX-License-Identifier: MIT */
#include "lib/addr/rewrite.h"

#include "lib/addr/addr.h"
#include "lib/conf/conf.h"

/* "@a,@b:user@site" is "user@site" (RFC 5321 appendix C). */
static void
strip_route(struct buf *addr)
{
	long colon;

	while (addr->len && addr->data[0] == '@') {
		colon = span_find(buf_span(addr), ':');
		if (colon < 0)
			return;
		buf_consume(addr, (size_t)colon + 1);
	}
}

/* Make "user@domain" of two parts of addr. */
static void
join_parts(struct buf *addr, struct span user, struct span domain)
{
	struct buf new = BUF_INIT;

	buf_append_span(&new, user);
	buf_append_byte(&new, '@');
	buf_append_span(&new, domain);
	buf_set(addr, buf_span(&new));
	buf_free(&new);
}

static void
swap_bang(struct buf *addr)
{
	struct span s = buf_span(addr);
	long bang = span_find(s, '!');

	if (bang >= 0)
		join_parts(addr, span_from(s, (size_t)bang + 1),
			   span_make(s.data, (size_t)bang));
}

static void
swap_percent(struct buf *addr)
{
	long percent = span_rfind(buf_span(addr), '%');

	if (percent >= 0)
		addr->data[percent] = '@';
}

static bool
has_domain(const struct buf *addr)
{
	return addr_at(buf_span(addr)) >= 0;
}

static void
strip_final_dot(struct buf *addr)
{
	char before;

	if (addr->len < 2 || addr->data[addr->len - 1] != '.')
		return;
	before = addr->data[addr->len - 2];
	if (before != '.' && before != '@')
		buf_truncate(addr, addr->len - 1);
}

static void
append_origin(enum rewrite_context ctx, struct buf *addr)
{
	const char *origin = conf->myorigin;

	if (ctx == REWRITE_REMOTE)
		origin = conf->remote_header_rewrite_domain;
	else if (!conf->append_at_myorigin)
		return;
	if (*origin)
		buf_printf(addr, "@%s", origin);
}

/* user@host, but not user@[literal], user@ and user@host.domain. */
static void
append_domain(enum rewrite_context ctx, struct buf *addr)
{
	struct span domain = addr_domain(buf_span(addr));
	const char *more = conf->mydomain;

	if (domain.len == 0 || domain.data[0] == '[' ||
	    span_find(domain, '.') >= 0)
		return;
	if (ctx == REWRITE_REMOTE)
		more = conf->remote_header_rewrite_domain;
	else if (!conf->append_dot_mydomain)
		return;
	if (*more)
		buf_printf(addr, ".%s", more);
}

void
rewrite_address(enum rewrite_context ctx, struct buf *addr)
{
	if (ctx == REWRITE_NONE || addr->len == 0)
		return;
	strip_route(addr);
	if (addr->len == 0)
		return;
	if (span_equal_cstr(buf_span(addr), "@")) {
		buf_reset(addr);
		return;
	}
	if (!has_domain(addr) && conf->swap_bangpath)
		swap_bang(addr);
	if (!has_domain(addr) && conf->allow_percent_hack)
		swap_percent(addr);
	if (!has_domain(addr))
		append_origin(ctx, addr);
	append_domain(ctx, addr);
	strip_final_dot(addr);
}
