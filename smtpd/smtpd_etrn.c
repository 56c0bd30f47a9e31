/* SPDX-License-Identifier: MIT */
/*
 * ETRN (RFC 1985): deliver what waits for a site. qmgr finds it in the queue,
 * as for "postqueue -s"; the sites are those of fast_flush_domains.
 */
#include "smtpd/smtpd_cmd.h"

#include <string.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue_notify.h"
#include "lib/table/match_list.h"
#include "smtpd/smtpd_access.h"
#include "smtpd/smtpd_chat.h"

enum { ETRN_LOG_MAX = 100 };

static struct match_list *domains;

void
smtpd_etrn_open(void)
{
	unsigned flags = conf_list_has(conf->parent_domain_matches_subdomains,
				       "fast_flush_domains")
			     ? MATCH_PARENT
			     : 0;

	domains =
	    match_list_open("fast_flush_domains", conf->fast_flush_domains,
			    MATCH_DOMAIN, flags);
}

static bool
ask_qmgr(const char *site)
{
	int timeout = (int)(conf->trigger_timeout / 1000000);
	struct ipc c;
	bool ok;

	if (!queue_manager_connect(&c, timeout)) {
		log_warn("connect to public/%s: %m", conf->queue_service_name);
		return false;
	}
	ipc_begin(&c, MSG_FLUSH);
	ipc_put_cstr(&c, A_SITE, site);
	ipc_end(&c);
	ok = ipc_flush(&c, timeout) == IPC_OK;
	ipc_close(&c);
	return ok;
}

static bool
refuse_site(struct smtpd *s, struct span site)
{
	size_t shown = site.len < ETRN_LOG_MAX ? site.len : ETRN_LOG_MAX;

	log_warn("reject: ETRN %.*s... from %s", (int)shown, site.data,
		 buf_cstr(&s->peer.namaddr));
	smtpd_reply(s, "459 <%.*s>: service unavailable", SPAN_ARG(site));
	return false;
}

static bool
start_queue(struct smtpd *s, struct span site)
{
	struct why why = WHY_INIT;
	enum table_status st = match_list_has(domains, site, &why);

	why_free(&why);
	if (st == TABLE_ABSENT)
		return refuse_site(s, site);
	if (st == TABLE_FOUND && ask_qmgr(buf_cstr(&s->etrn_domain))) {
		smtpd_reply(s, "250 Queuing started");
		return true;
	}
	smtpd_reply(s, "458 <%.*s>: unable to queue messages", SPAN_ARG(site));
	return false;
}

static bool
valid_site(struct span site)
{
	return (addr_valid_hostname(site) || addr_valid_literal(site, NULL)) &&
	       site.len <= 255;
}

bool
smtpd_cmd_etrn(struct smtpd *s, struct span arg)
{
	struct why why = WHY_INIT;
	struct span site = arg;
	bool ok;

	if (conf->smtpd_helo_required && s->helo.len == 0) {
		smtpd_reply(s, "503 Error: send HELO/EHLO first");
		return false;
	}
	if (s->mail.active) {
		smtpd_reply(s, "503 Error: MAIL transaction in progress");
		return false;
	}
	if (arg.len == 0 || span_find(arg, ' ') >= 0) {
		smtpd_reply(s, "500 Syntax: ETRN domain");
		return false;
	}
	if (site.data[0] == '@' || site.data[0] == '#')
		site = span_from(site, 1);
	if (!valid_site(site)) {
		smtpd_reply(s, "501 Error: invalid parameter syntax");
		return false;
	}
	buf_set(&s->etrn_domain, site);
	ok = s->unrestricted || smtpd_access_etrn(s, &why);
	if (!ok)
		smtpd_reply_why(s, &why);
	why_free(&why);
	return ok && start_queue(s, site);
}
