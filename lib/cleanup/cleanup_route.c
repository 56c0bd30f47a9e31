/* SPDX-License-Identifier: MIT */
/* Each recipient's destination goes into the image. */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/route/route.h"

/*
 * An address without a route is still accepted: it bounces (error) or is
 * tried again (retry) by the queue manager.
 */
static void
set_failure(struct rcpt *r, const struct why *why)
{
	bool bounce = why_class(why) == WHY_BOUNCE;
	const char *text = buf_cstr(&why->text);

	r->transport = mem_strdup(bounce ? "error" : "retry");
	r->nexthop = mem_sprintf("%s %s", why->dsn, text);
	r->class = CLASS_DEFAULT;
}

static void
set_recipient(struct rcpt *r, const struct route *route)
{
	if (!strcmp(r->address, buf_cstr(&route->recipient)))
		return;
	if (!r->orig_to && conf->enable_original_recipient)
		r->orig_to = r->address;
	else
		free(r->address);
	r->address = mem_strdup(buf_cstr(&route->recipient));
}

/* content_filter and FILTER: all recipients take that way. */
static void
set_filter(struct rcpt *r, const char *filter)
{
	struct span value = span_of(filter), nexthop;
	struct span transport = value;
	long colon = span_find(value, ':');

	nexthop = span_make("", 0);
	if (colon >= 0) {
		transport = span_make(value.data, (size_t)colon);
		nexthop = span_from(value, (size_t)colon + 1);
	}
	if (nexthop.len == 0)
		nexthop = span_of(conf->default_filter_nexthop);
	if (nexthop.len == 0)
		nexthop = addr_domain(span_of(r->address));
	r->transport = mem_strndup(transport.data, transport.len);
	r->nexthop = mem_strndup(nexthop.data, nexthop.len);
}

static void
route_rcpt(struct cleanup *c, struct rcpt *r, struct route *route)
{
	struct why why = WHY_INIT;

	if (!route_resolve(span_of(c->env.sender), span_of(r->address), route,
			   &why)) {
		set_failure(r, &why);
	} else {
		r->class = (int)route->class;
		set_recipient(r, route);
		if (c->env.filter) {
			set_filter(r, c->env.filter);
		} else {
			r->transport = mem_strdup(buf_cstr(&route->transport));
			r->nexthop = mem_strdup(buf_cstr(&route->nexthop));
		}
	}
	why_free(&why);
}

void
cleanup_route(struct cleanup *c)
{
	struct route route = ROUTE_INIT;

	for (size_t i = 0; i < c->env.n_rcpts; i++)
		route_rcpt(c, &c->env.rcpts[i], &route);
	route_free(&route);
}
