/* SPDX-License-Identifier: MIT */
/* Address keys; the contract of route_addr_find() is in route.h. */
#include "lib/addr/addr.h"
#include "lib/conf/conf.h"
#include "lib/route/route_internal.h"

/* Keys other than the full address are nothing for pattern tables. */
static enum table_status
find_key(struct maps *maps, bool full, struct span key, struct buf *value,
	 struct why *why)
{
	return full ? maps_get(maps, key, value, why)
		    : maps_get_partial(maps, key, value, why);
}

/* Tables have addresses as they are written in mail: quoted where RFC 5321
 * needs it. */
static enum table_status
find_address(struct maps *maps, bool full, struct span local, struct span tail,
	     struct buf *value, struct why *why)
{
	struct buf internal = BUF_INIT, key = BUF_INIT;
	enum table_status st;

	buf_append_span(&internal, local);
	buf_append_span(&internal, tail);
	addr_quote(buf_span(&internal), &key);
	st = find_key(maps, full, buf_span(&key), value, why);
	buf_free(&internal);
	buf_free(&key);
	return st;
}

struct find {
	struct maps *maps;
	struct span local, user, at_domain;
	struct buf *value;
	struct why *why;
};

/* Both forms of the local part, with something behind it. ext is set when
 * the short one was found. */
static enum table_status
find_both(const struct find *f, unsigned forms, bool full, struct span tail,
	  bool *ext)
{
	enum table_status st = TABLE_ABSENT;

	*ext = false;
	if (forms & ADDR_FIND_FULL)
		st = find_address(f->maps, full, f->local, tail, f->value,
				  f->why);
	if (st == TABLE_ABSENT && (forms & ADDR_FIND_NOEXT) &&
	    f->user.len < f->local.len) {
		st = find_address(f->maps, false, f->user, tail, f->value,
				  f->why);
		*ext = st == TABLE_FOUND;
	}
	return st;
}

/* The local part alone means an address of this site. */
static enum table_status
is_site(struct span domain, struct why *why)
{
	if (domain.len == 0 || span_equal_cstr_nocase(domain, conf->myorigin))
		return TABLE_FOUND;
	return route_is_local_domain(domain, why);
}

static enum table_status
find_site(const struct find *f, unsigned forms, bool *ext)
{
	struct span domain = span_from(f->at_domain, 1);
	enum table_status st = is_site(domain, f->why);

	if (st != TABLE_FOUND)
		return st;
	if (f->at_domain.len == 0)
		return TABLE_ABSENT; /* the full form was just that */
	return find_both(f, forms, false, span_make("", 0), ext);
}

static enum table_status
find_domain(const struct find *f, unsigned forms)
{
	struct span domain = span_from(f->at_domain, 1);
	enum table_status st = TABLE_ABSENT;

	if ((forms & ADDR_FIND_AT_DOMAIN) && domain.len)
		st = find_key(f->maps, false, f->at_domain, f->value, f->why);
	if (st == TABLE_ABSENT && (forms & ADDR_FIND_DOMAIN) && domain.len)
		st = find_key(f->maps, false, domain, f->value, f->why);
	return st;
}

enum table_status
route_addr_find(struct maps *maps, struct span addr, unsigned forms,
		struct buf *value, struct buf *extension, struct why *why)
{
	struct find f = {.maps = maps, .value = value, .why = why};
	enum table_status st;
	bool ext = false;

	if (extension)
		buf_reset(extension);
	if (maps_is_empty(maps))
		return TABLE_ABSENT;
	f.local = addr_localpart(addr);
	f.at_domain = span_from(addr, f.local.len);
	f.user =
	    span_make(f.local.data,
		      addr_split_extension(f.local, conf->recipient_delimiter));
	st = find_both(&f, forms, true, f.at_domain, &ext);
	if (st == TABLE_ABSENT && (forms & ADDR_FIND_LOCALPART))
		st = find_site(&f, forms, &ext);
	if (st == TABLE_ABSENT)
		st = find_domain(&f, forms);
	if (st == TABLE_ABSENT && (forms & ADDR_FIND_USER_AT))
		st = find_both(&f, forms, false, span_make("@", 1), &ext);
	if (st == TABLE_FOUND && ext && extension)
		buf_append_span(extension, span_from(f.local, f.user.len));
	return st;
}
