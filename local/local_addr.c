/* SPDX-License-Identifier: MIT */
/* Where an address leads to. */
#include <ctype.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/addr/alias.h"
#include "lib/addr/rewrite.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/deliver/loop.h"
#include "lib/route/route.h"
#include "local/local.h"

static char *
folded(struct span s)
{
	char *p = mem_strndup(s.data, s.len);

	for (size_t i = 0; i < s.len; i++)
		p[i] = (char)tolower((unsigned char)p[i]);
	return p;
}

/* Cut a->address up; the strings are the caller's to free. */
struct parts {
	char *local, *user, *extension, *domain;
};

static void
split(struct local_addr *a, struct parts *p)
{
	struct span all = span_of(a->address);
	struct span local = addr_localpart(all), domain = addr_domain(all);
	size_t n = addr_split_extension(local, conf->recipient_delimiter);

	*p = (struct parts){0};
	p->local = mem_strndup(local.data, local.len);
	p->user = folded(span_make(local.data, n));
	if (n < local.len)
		p->extension =
		    mem_strndup(local.data + n + 1, local.len - n - 1);
	p->domain = mem_strndup(domain.data, domain.len);
	a->local = p->local;
	a->user = p->user;
	a->extension = p->extension;
	a->domain = p->domain;
	a->delimiter =
	    n < local.len ? local.data[n] : *conf->recipient_delimiter;
}

static void
free_parts(struct parts *p)
{
	free(p->local);
	free(p->user);
	free(p->extension);
	free(p->domain);
}

/* Has the administrator or a user said that others' mail is a new message? */
static bool
goes_on_as_new(const struct local_addr *a)
{
	return a->forward || (a->home && strcmp(a->home->name, a->user) != 0);
}

static void
to_account(struct local_job *j, const struct local_addr *a)
{
	struct why why = WHY_INIT;
	struct local_account *acc = local_account_find(a->user, &why);

	if (!acc && why_is_set(&why))
		local_report(j, a, &why);
	else if (acc && local_is_probe(j))
		local_reportf(j, a, "2.0.0", "delivers to mailbox");
	else if (!acc || a->home || !local_dotforward(j, a, acc))
		local_mailbox(j, a, acc);
	local_account_free(acc);
	why_free(&why);
}

static bool
is_new(struct local_job *j, const struct local_addr *a)
{
	/* The same account under two domains is one mailbox. */
	char *key = folded(span_of(a->local));
	bool new = local_first_time(j, "account %d %s", a->home != NULL, key);

	free(key);
	return new;
}

void
local_deliver_addr(struct local_job *j, struct local_addr *a)
{
	const char *delivered = a->delivered;
	struct parts p;

	if (a->depth > LOCAL_DEPTH_MAX) {
		local_reportf(j, a, "5.4.6", "alias expansion is too deep");
		return;
	}
	if (loop_has(j->loops, a->address)) {
		local_reportf(j, a, "5.4.6", "mail forwarding loop for %s",
			      a->address);
		return;
	}
	split(a, &p);
	if (!conf->frozen_delivered_to)
		a->delivered = a->address;
	if (!local_alias(j, a)) {
		if (goes_on_as_new(a)) {
			/* It is not delivered to this address yet. */
			a->delivered = delivered;
			local_forward_add(j, a, a->address);
		} else if (is_new(j, a)) {
			to_account(j, a);
		}
	}
	free_parts(&p);
}

/* user@domain becomes user+extension@domain. */
static void
add_extension(struct buf *addr, char delimiter, const char *extension)
{
	struct span all = buf_span(addr);
	struct span local = addr_localpart(all), domain = addr_domain(all);
	struct buf out = BUF_INIT;

	buf_append_span(&out, local);
	buf_append_byte(&out, delimiter);
	buf_append_cstr(&out, extension);
	if (addr_at(all) >= 0) {
		buf_append_byte(&out, '@');
		buf_append_span(&out, domain);
	}
	buf_free(addr);
	*addr = out;
}

static bool
is_own_transport(const struct local_job *j, const struct route *r)
{
	struct span name = buf_span(&r->transport);
	long colon = span_find(name, ':');

	if (colon >= 0)
		name.len = (size_t)colon;
	return r->class == CLASS_LOCAL &&
	       span_equal_cstr(name, j->req->transport);
}

void
local_deliver_text(struct local_job *j, const struct local_addr *from,
		   const char *text, const char *extension)
{
	struct route r = ROUTE_INIT;
	struct buf addr = BUF_INIT;
	struct why why = WHY_INIT;
	struct local_addr next = *from;

	/* Mail to nobody is for the one who gets what comes back. */
	if (*text)
		buf_append_cstr(&addr, text);
	else
		buf_printf(&addr, "MAILER-DAEMON@%s", conf->myhostname);
	if (extension && *text)
		add_extension(&addr, from->delimiter, extension);
	rewrite_address(REWRITE_LOCAL, &addr);
	next.parent = from;
	next.depth++;
	if (!route_resolve(span_of(from->sender), buf_span(&addr), &r, &why)) {
		if (!strcmp(why.dsn, "5.1.3"))
			why_set(&why, "5.1.3",
				"bad recipient address syntax: "
				"%s",
				buf_cstr(&addr));
		local_report(j, from, &why);
	} else if (is_own_transport(j, &r)) {
		next.address = buf_cstr(&r.recipient);
		local_deliver_addr(j, &next);
	} else {
		local_forward_add(j, from, buf_cstr(&r.recipient));
	}
	why_free(&why);
	route_free(&r);
	buf_free(&addr);
}

static bool
is_allowed(const char *list, enum local_origin origin)
{
	static const char *const names[] = {
	    [FROM_ALIAS] = "alias",
	    [FROM_FORWARD] = "forward",
	    [FROM_INCLUDE] = "include",
	};

	return origin != FROM_MESSAGE && conf_list_has(list, names[origin]);
}

static void
item_command(struct local_job *j, const struct local_addr *from,
	     const char *command)
{
	if (!is_allowed(conf->allow_mail_to_commands, from->origin))
		local_reportf(j, from, "5.7.1",
			      "mail to command is restricted");
	else if (local_first_time(j, "command %ld %s", (long)from->rights.uid,
				  command))
		local_to_command(j, from, &from->rights, from->home, command);
}

static void
item_file(struct local_job *j, const struct local_addr *from, const char *path)
{
	if (!is_allowed(conf->allow_mail_to_files, from->origin))
		local_reportf(j, from, "5.7.1", "mail to file is restricted");
	else if (local_first_time(j, "file %ld %s", (long)from->rights.uid,
				  path))
		local_to_file(j, from, path);
}

/* "~/file" of a .forward file. */
static void
item_home(struct local_job *j, const struct local_addr *from, const char *item)
{
	char *path;

	if (item[1] != '/' || !from->home) {
		log_warn("%s: %s",
			 item[1] == '/' ? "unknown home directory for"
					: "bad home directory syntax for",
			 item);
		local_reportf(j, from, "5.3.5",
			      "mail system configuration error");
		return;
	}
	path = mem_sprintf("%s%s", from->home->home, item + 1);
	item_file(j, from, path);
	free(path);
}

void
local_deliver_item(struct local_job *j, const struct local_addr *from,
		   const char *item, const char *extension)
{
	const char *arg;

	if (++j->n_items > LOCAL_ITEMS_MAX) {
		if (j->n_items == LOCAL_ITEMS_MAX + 1)
			local_reportf(j, from, "5.4.6",
				      "alias expansion is too large");
		return;
	}
	switch (alias_classify(item, &arg)) {
	case ALIAS_COMMAND:
		item_command(j, from, arg);
		break;
	case ALIAS_FILE:
		item_file(j, from, arg);
		break;
	case ALIAS_HOME:
		item_home(j, from, item);
		break;
	case ALIAS_INCLUDE:
		local_include(j, from, arg);
		break;
	case ALIAS_ADDRESS:
		local_deliver_text(j, from, arg, extension);
		break;
	}
}
