/* SPDX-License-Identifier: MIT */
/*
 * virtual - the delivery agent for mailboxes without accounts (virtual(8)):
 * tables say where the mailbox of a full address is, and whose.
 *
 * The mailbox is written by a process with the recipient's ids
 * (lib/deliver/as_user.h); this one only looks up.
 */
#include <ctype.h>
#include <pwd.h>
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/conf/conf.h"
#include "lib/deliver/as_user.h"
#include "lib/ipc/proto.h"
#include "lib/route/route.h"
#include "lib/service/agent_user.h"
#include "lib/sys/io.h"

enum { ID_MAX = 0x7fffffff };

static struct {
	struct maps *mailbox, *uid, *gid;
	unsigned locks;
} tables;

/* A recipient with what the tables say about it. */
struct mailbox {
	char *address; /* lower case */
	char *path;
	int64_t uid, gid;
};

static bool
id_is_allowed(uid_t uid, gid_t gid, const char *user)
{
	const struct passwd *pw;

	(void)user;
	if (uid == 0 || gid == 0 || (int64_t)uid < conf->virtual_minimum_uid)
		return false;
	pw = getpwnam(conf->mail_owner);
	return pw && pw->pw_uid != uid && pw->pw_gid != gid;
}

static void
init(void)
{
	const unsigned flags =
	    TABLE_FOLD_FIXED | TABLE_NO_REGSUB | TABLE_NO_PROXY;
	const struct as_user_setup setup = {
	    .program = "virtual",
	    .file_limit = conf->virtual_mailbox_limit,
	    .allow = id_is_allowed,
	};

	if (conf->virtual_mailbox_limit > 0 &&
	    conf->virtual_mailbox_limit < conf->message_size_limit)
		log_fatal("configuration error: virtual_mailbox_limit is "
			  "smaller than message_size_limit");
	if (!*conf->virtual_mailbox_base)
		log_fatal("bad string length 0 < 1: virtual_mailbox_base = ");
	if (!mbox_parse_locks(conf->virtual_mailbox_lock, &tables.locks))
		log_fatal("virtual_mailbox_lock: unknown method in \"%s\"",
			  conf->virtual_mailbox_lock);
	as_user_start(&setup);
	tables.mailbox = maps_open("virtual_mailbox_maps",
				   conf->virtual_mailbox_maps, flags);
	tables.uid =
	    maps_open("virtual_uid_maps", conf->virtual_uid_maps, flags);
	tables.gid =
	    maps_open("virtual_gid_maps", conf->virtual_gid_maps, flags);
}

static enum table_status
find(struct maps *maps, const char *address, struct buf *value, struct why *why)
{
	return route_addr_find(maps, span_of(address),
			       ADDR_FIND_FULL | ADDR_FIND_NOEXT |
				   ADDR_FIND_AT_DOMAIN,
			       value, NULL, why);
}

/* A mistake of the administrator's: logged, and the mail waits. */
static bool
misconfigured(struct why *why)
{
	why_set(why, "4.3.5", "mail system configuration error");
	return false;
}

static bool
find_id(struct maps *maps, const char *table, const char *kind, int64_t min,
	const char *address, int64_t *id, struct why *why)
{
	struct buf value = BUF_INIT;
	enum table_status st = find(maps, address, &value, why);
	bool ok =
	    st == TABLE_FOUND && num_parse(buf_span(&value), min, ID_MAX, id);

	if (st == TABLE_RETRY)
		log_warn("table %s: lookup %s: %s", table, address,
			 buf_cstr(&why->text));
	else if (st == TABLE_ABSENT)
		log_warn("recipient %s: not found in %s", address, table);
	else if (!ok)
		log_warn("recipient %s: bad %s %s in %s", address, kind,
			 buf_cstr(&value), table);
	buf_free(&value);
	return ok || misconfigured(why);
}

/* A path that leaves virtual_mailbox_base came from an address. */
static bool
path_is_sane(struct span path)
{
	struct span rest = path, part;

	while (span_next_token(&rest, "/", &part))
		if (span_equal_cstr(part, ".."))
			return false;
	return true;
}

static bool
find_mailbox(struct mailbox *m, struct why *why)
{
	struct buf value = BUF_INIT;
	enum table_status st = find(tables.mailbox, m->address, &value, why);
	bool ok = st == TABLE_FOUND;

	if (st == TABLE_ABSENT) {
		why_set(why, "5.1.1", "unknown user: \"%s\"", m->address);
	} else if (st == TABLE_RETRY) {
		log_warn("table virtual_mailbox_maps: lookup %s: %s",
			 m->address, buf_cstr(&why->text));
		misconfigured(why);
	} else if (!path_is_sane(buf_span(&value))) {
		log_warn("recipient %s: bad mailbox path %s in "
			 "virtual_mailbox_maps",
			 m->address, buf_cstr(&value));
		ok = misconfigured(why);
	} else {
		m->path = mem_sprintf("%s/%s", conf->virtual_mailbox_base,
				      buf_cstr(&value));
	}
	buf_free(&value);
	return ok &&
	       find_id(tables.uid, "virtual_uid_maps", "uid",
		       conf->virtual_minimum_uid > 1 ? conf->virtual_minimum_uid
						     : 1,
		       m->address, &m->uid, why) &&
	       find_id(tables.gid, "virtual_gid_maps", "gid", 1, m->address,
		       &m->gid, why);
}

static void
make_head(const struct agent_request *req, const struct agent_rcpt *r,
	  bool from_line, struct buf *out)
{
	if (from_line)
		copy_from_line(req->sender, NULL, io_now(), out);
	copy_header("Return-Path", req->sender, true, out);
	if (conf->enable_original_recipient)
		copy_header("X-Original-To",
			    *r->orig_to ? r->orig_to : r->address, false, out);
	copy_header("Delivered-To", r->address, false, out);
}

static bool
to_maildir(const struct agent_request *req, const struct agent_rcpt *r,
	   const struct mailbox *m, struct as_user *u, struct span head,
	   struct buf *warning, struct why *why)
{
	struct buf identity = BUF_INIT;
	struct maildir_request mr = {
	    .path = m->path,
	    .source = {req->fd, req->content_offset, req->content_length},
	    .head = head,
	    .hostname = conf->myhostname,
	    .arrival = req->arrival,
	};
	bool ok;

	buf_printf(&identity, "%s\n%lld\n%s\n%s", req->queue_id,
		   (long long)r->index, r->address, m->path);
	mr.identity = buf_span(&identity);
	ok = as_user_maildir(u, &mr, warning, why);
	if (ok)
		why_set(why, "2.0.0", "delivered to maildir");
	buf_free(&identity);
	return ok;
}

static bool
to_mbox(const struct agent_request *req, const struct mailbox *m,
	struct as_user *u, struct span head, struct buf *warning,
	struct why *why)
{
	struct mbox_request mr = {
	    .path = m->path,
	    .source = {req->fd, req->content_offset, req->content_length},
	    .head = head,
	    .locks = tables.locks,
	    .owner = conf->strict_mailbox_ownership ? 0 : -1,
	};
	bool ok = as_user_mbox(u, &mr, warning, why);

	if (ok)
		why_set(why, "2.0.0", "delivered to mailbox");
	else
		why_prepend(why, "delivery failed to mailbox %s: ", m->path);
	return ok;
}

static void
to_mailbox(const struct agent_request *req, const struct agent_rcpt *r,
	   const struct mailbox *m, struct why *why)
{
	const struct as_user_id id = {.kind = AS_USER_PLAIN,
				      .uid = (uid_t)m->uid,
				      .gid = (gid_t)m->gid,
				      .user = ""};
	bool maildir = m->path[strlen(m->path) - 1] == '/', ok = false;
	struct as_user *u = as_user_get(&id, why);
	struct buf head = BUF_INIT, warning = BUF_INIT;
	struct span rest, line;

	make_head(req, r, !maildir, &head);
	if (u && maildir)
		ok = to_maildir(req, r, m, u, buf_span(&head), &warning, why);
	else if (u)
		ok = to_mbox(req, m, u, buf_span(&head), &warning, why);
	/* The tables are the administrator's: what they cause can be mended. */
	if (!ok && strcmp(why->dsn, "5.2.0") == 0)
		why_set_class(why, WHY_DEFER);
	rest = buf_span(&warning);
	while (span_next_token(&rest, "\n", &line))
		log_warn("%.*s", SPAN_ARG(line));
	buf_free(&head);
	buf_free(&warning);
}

static void
deliver_one(struct agent_request *req, size_t i)
{
	const struct agent_rcpt *r = &req->rcpts[i];
	struct mailbox m = {.address = mem_strdup(r->address)};
	struct why why = WHY_INIT;

	for (char *p = m.address; *p; p++)
		*p = (char)tolower((unsigned char)*p);
	if (find_mailbox(&m, &why)) {
		if (req->flags & DELIVER_PROBE)
			why_set(&why, "2.0.0", "delivers to mailbox");
		else
			to_mailbox(req, r, &m, &why);
	}
	agent_rcpt_done(req, i, &why);
	free(m.address);
	free(m.path);
	why_free(&why);
}

static void
deliver(struct agent_request *req)
{
	for (size_t i = 0; i < req->n_rcpts; i++)
		deliver_one(req, i);
}

int
main(int argc, char **argv)
{
	static const struct agent_user agent = {
	    .name = "virtual",
	    .init = init,
	    .deliver = deliver,
	};

	return agent_user_main(argc, argv, &agent);
}
