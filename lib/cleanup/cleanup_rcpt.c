/* SPDX-License-Identifier: MIT */
/* Sender and recipients: mapping, expansion, automatic copies. */
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/mem.h"
#include "lib/cleanup/cleanup_internal.h"
#include "lib/conf/conf.h"
#include "lib/ipc/proto.h"
#include "lib/route/route.h"

/* ---- duplicates ---- */

static void
make_key(struct buf *key, const char *address, const char *orig_to)
{
	buf_printf(key, "%s\n%s", address, orig_to ? orig_to : "");
	for (size_t i = 0; i < key->len; i++)
		if (key->data[i] >= 'A' && key->data[i] <= 'Z')
			key->data[i] = (char)(key->data[i] - 'A' + 'a');
}

/*
 * Was this recipient seen before? With enable_original_recipient the address
 * as received is part of what counts.
 */
static bool
is_duplicate(struct cleanup *c, const char *address, const char *orig_to)
{
	static int mark;
	struct buf key = BUF_INIT;
	bool found;

	make_key(&key, address, orig_to);
	if (!c->seen)
		c->seen = htab_new();
	found = htab_get(c->seen, buf_span(&key)) != NULL;
	if (!found &&
	    htab_count(c->seen) < (size_t)conf->duplicate_filter_limit)
		htab_put(c->seen, buf_span(&key), &mark);
	buf_free(&key);
	return found;
}

static void
add_rcpt(struct cleanup *c, const char *address, const char *orig_to,
	 const char *orcpt, int notify)
{
	struct rcpt *r;

	/* In a request it would be cut, and mean somebody else. */
	if (strlen(address) > proto_attr(A_RECIPIENT)->max) {
		cleanup_fail(c, 550, "5.1.3", "recipient address is too long");
		return;
	}
	if (!conf->enable_original_recipient)
		orig_to = NULL;
	if (is_duplicate(c, address, orig_to))
		return;
	r = envelope_add_rcpt(&c->env);
	r->address = mem_strdup(address);
	if (orig_to && strcmp(orig_to, address))
		r->orig_to = mem_strdup(orig_to);
	if (orcpt)
		r->dsn_orcpt = mem_strdup(orcpt);
	r->dsn_notify = notify;
}

/* ---- one recipient ---- */

/*
 * An alias delivers elsewhere: that success is not the sender's business
 * (RFC 3461 section 5.2.7.3).
 */
static int
notify_of_alias(int notify)
{
	if (!(notify & NOTIFY_SUCCESS))
		return notify;
	notify &= ~NOTIFY_SUCCESS;
	return notify ? notify : NOTIFY_NEVER;
}

static void
expand_rcpt(struct cleanup *c, struct span addr, const char *orig_to,
	    const char *orcpt, int notify)
{
	struct strvec list = STRVEC_INIT;

	if (cleanup_expand(c, addr, &list)) {
		bool same = list.n == 1 && span_equal_cstr(addr, list.v[0]);

		for (size_t i = 0; i < list.n; i++)
			add_rcpt(c, list.v[i], orig_to, orcpt,
				 same ? notify : notify_of_alias(notify));
	}
	strvec_free(&list);
}

/* A copy that nobody hears of. */
static void
add_bcc(struct cleanup *c, struct span address)
{
	struct buf addr = BUF_INIT;

	buf_set(&addr, address);
	rewrite_address(REWRITE_LOCAL, &addr);
	if (addr.len)
		expand_rcpt(c, buf_span(&addr), buf_cstr(&addr), NULL,
			    NOTIFY_NEVER);
	buf_free(&addr);
}

static void
auto_bcc(struct cleanup *c, struct maps *maps, const char *parameter,
	 struct span addr)
{
	struct buf value = BUF_INIT;
	struct why why = WHY_INIT;
	enum table_status st;

	if (!c->do_bcc || maps_is_empty(maps) || addr.len == 0)
		return;
	st = route_addr_find(maps, addr, ADDR_FIND_DEFAULT, &value, NULL, &why);
	if (st == TABLE_FOUND) {
		add_bcc(c, span_trim(buf_span(&value)));
	} else if (st == TABLE_RETRY) {
		struct buf text = BUF_INIT;

		buf_set(&text, addr);
		cleanup_map_problem(c, parameter, buf_cstr(&text));
		buf_free(&text);
	}
	buf_free(&value);
	why_free(&why);
}

static void
take_rcpt(struct cleanup *c, const struct cleanup_rcpt *in)
{
	struct buf addr = BUF_INIT, orcpt = BUF_INIT;
	const char *orig_to = in->orig_to ? in->orig_to : in->address;

	buf_set_cstr(&addr, in->address);
	rewrite_address(REWRITE_LOCAL, &addr);
	if (c->do_maps &&
	    !cleanup_map_address(c, &addr, "envelope_recipient", false))
		goto out;
	if (addr.len == 0)
		goto out;
	buf_set(&c->last_rcpt, buf_span(&addr));
	if (c->own_milters)
		strvec_add_span(&c->rewritten, buf_span(&addr));
	if (in->orcpt)
		buf_set_cstr(&orcpt, in->orcpt);
	else if (in->notify != NOTIFY_NEVER)
		buf_printf(&orcpt, "rfc822;%s",
			   c->origin == CLEANUP_SMTPD ? in->address
						      : buf_cstr(&addr));
	expand_rcpt(c, buf_span(&addr), orig_to,
		    orcpt.len ? buf_cstr(&orcpt) : NULL, in->notify);
	auto_bcc(c, cleanup_tables.recipient_bcc, "recipient_bcc_maps",
		 buf_span(&addr));
out:
	buf_free(&addr);
	buf_free(&orcpt);
}

/* ---- all of them ---- */

static void
take_sender(struct cleanup *c)
{
	struct buf addr = BUF_INIT;

	buf_set_cstr(&addr, c->env.sender);
	rewrite_address(REWRITE_LOCAL, &addr);
	if (c->do_maps)
		cleanup_map_address(c, &addr, "envelope_sender", true);
	if (addr.len > proto_attr(A_SENDER)->max) {
		cleanup_fail(c, 550, "5.1.7", "sender address is too long");
		buf_reset(&addr);
	}
	free(c->env.sender);
	c->env.sender = buf_steal(&addr);
}

void
cleanup_take_envelope(struct cleanup *c)
{
	take_sender(c);
	if (!cleanup_is_over(c))
		auto_bcc(c, cleanup_tables.sender_bcc, "sender_bcc_maps",
			 span_of(c->env.sender));
	for (size_t i = 0; i < c->n_in && !cleanup_is_over(c); i++)
		take_rcpt(c, &c->in[i]);
}

static void
take_extracted(struct cleanup *c, const struct strvec *list)
{
	for (size_t i = 0; i < list->n && !cleanup_is_over(c); i++) {
		struct cleanup_rcpt in = {.address = list->v[i]};

		take_rcpt(c, &in);
	}
}

static void
free_rcpt(struct rcpt *r)
{
	free(r->address);
	free(r->orig_to);
	free(r->dsn_orcpt);
	free(r->transport);
	free(r->nexthop);
	*r = (struct rcpt){0};
}

void
cleanup_add_rcpt(struct cleanup *c, struct span address, const char *orcpt,
		 int notify)
{
	struct buf addr = BUF_INIT;

	buf_set(&addr, address);
	rewrite_address(REWRITE_LOCAL, &addr);
	if (addr.len)
		expand_rcpt(c, buf_span(&addr), buf_cstr(&addr), orcpt, notify);
	buf_free(&addr);
}

void
cleanup_delete_rcpt(struct cleanup *c, struct span address)
{
	struct envelope *e = &c->env;
	size_t kept = 0;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct rcpt *r = &e->rcpts[i];
		const char *from = r->orig_to ? r->orig_to : r->address;
		struct buf key = BUF_INIT;

		if (!span_equal_cstr(address, from)) {
			e->rcpts[kept++] = *r;
			continue;
		}
		/* It may come again. */
		make_key(&key, r->address,
			 conf->enable_original_recipient ? from : NULL);
		if (c->seen)
			htab_remove(c->seen, buf_span(&key));
		buf_free(&key);
		free_rcpt(r);
	}
	e->n_rcpts = kept;
}

/* REDIRECT: one recipient instead of all. */
static void
redirect(struct cleanup *c)
{
	struct buf addr = BUF_INIT;

	for (size_t i = 0; i < c->env.n_rcpts; i++)
		free_rcpt(&c->env.rcpts[i]);
	c->env.n_rcpts = 0;
	htab_free(c->seen, NULL);
	c->seen = NULL;
	addr_unquote(buf_span(&c->redirect), &addr);
	rewrite_address(REWRITE_LOCAL, &addr);
	add_rcpt(c, buf_cstr(&addr), NULL, NULL, 0);
	buf_free(&addr);
}

void
cleanup_finish_recipients(struct cleanup *c)
{
	if (c->env.flags & ENVELOPE_EXTRACT)
		take_extracted(c, c->resent ? &c->extract_resent : &c->extract);
	if (c->env.n_rcpts == 0)
		cleanup_fail(c, 550, "5.1.0", "no recipients specified");
	for (; c->bcc_done < c->bcc.n && !cleanup_is_over(c); c->bcc_done++)
		add_bcc(c, span_of(c->bcc.v[c->bcc_done]));
	if (c->do_bcc && *conf->always_bcc && !cleanup_is_over(c))
		add_bcc(c, span_of(conf->always_bcc));
}

void
cleanup_redirect(struct cleanup *c)
{
	for (; c->bcc_done < c->bcc.n && !cleanup_is_over(c); c->bcc_done++)
		cleanup_add_rcpt(c, span_of(c->bcc.v[c->bcc_done]), NULL, 0);
	if (c->redirect.len && !cleanup_is_over(c))
		redirect(c);
}

void
cleanup_free_recipients(struct cleanup *c)
{
	for (size_t i = 0; i < c->n_in; i++) {
		free(c->in[i].address);
		free(c->in[i].orig_to);
		free(c->in[i].orcpt);
	}
	free(c->in);
	c->in = NULL;
	c->n_in = c->cap_in = 0;
	htab_free(c->seen, NULL);
	c->seen = NULL;
}
