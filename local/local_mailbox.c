/* SPDX-License-Identifier: MIT */
/* The mailbox of an account; and what is done without account. */
#include <errno.h>
#include <grp.h>
#include <stdlib.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "local/local.h"

static struct {
	struct maps *transports, *fallbacks, *commands;
} tables;

void
local_mailbox_open(void)
{
	const unsigned flags = TABLE_FOLD_FIXED | TABLE_NO_REGSUB;

	tables.transports = maps_open("mailbox_transport_maps",
				      conf->mailbox_transport_maps, flags);
	tables.fallbacks = maps_open("fallback_transport_maps",
				     conf->fallback_transport_maps, flags);
	tables.commands =
	    maps_open("mailbox_command_maps", conf->mailbox_command_maps,
		      flags | TABLE_NO_PROXY);
}

struct local_account *
local_account_find(const char *user, struct why *why)
{
	struct local_account *acc;
	const struct passwd *pw;

	/* Never a path of somebody else's. */
	if (!*user || strchr(user, '/') || *user == '.')
		return NULL;
	errno = 0;
	pw = getpwnam(user);
	if (!pw) {
		if (errno == EIO || errno == EMFILE || errno == ENFILE ||
		    errno == ENOMEM || errno == EINTR || errno == EAGAIN)
			why_set(why, "4.3.0", "user lookup error for %s: %m",
				user);
		return NULL;
	}
	acc = mem_alloc(sizeof(*acc));
	acc->name = mem_strdup(pw->pw_name);
	acc->home = mem_strdup(pw->pw_dir ? pw->pw_dir : "");
	acc->shell = mem_strdup(pw->pw_shell ? pw->pw_shell : "");
	acc->uid = pw->pw_uid;
	acc->gid = pw->pw_gid;
	return acc;
}

void
local_account_free(struct local_account *acc)
{
	if (!acc)
		return;
	free(acc->name);
	free(acc->home);
	free(acc->shell);
	free(acc);
}

bool
local_rights_allowed(uid_t uid, gid_t gid, const char *user)
{
	const struct passwd *pw = getpwnam(conf->mail_owner);
	const struct group *gr;

	if (uid == 0 || !pw || pw->pw_uid == uid || pw->pw_gid == gid)
		return false;
	gr = getgrnam(conf->setgid_group);
	if (gr && gr->gr_gid == gid)
		return false;
	pw = *user ? getpwnam(user) : getpwuid(uid);
	return pw && pw->pw_uid == uid && pw->pw_gid == gid;
}

static bool
has_dots(const char *path)
{
	return strstr(path, "/../") || strstr(path, "/./");
}

/* Root's own mailbox and .forward file, as the configuration has them. */
bool
local_root_path_allowed(const char *path)
{
	const struct passwd *pw = getpwuid(0);
	const char *spool = conf->mail_spool_directory;
	char *home, *mail;
	bool ok;

	if (!pw || !pw->pw_dir || strlen(pw->pw_dir) < 2 || has_dots(path))
		return false;
	home = mem_sprintf("%s/", pw->pw_dir);
	mail = mem_sprintf("%s%s%s", spool,
			   spool[strlen(spool) - (*spool ? 1 : 0)] == '/' ? ""
									  : "/",
			   pw->pw_name);
	if (*conf->home_mailbox && !strncmp(path, home, strlen(home)) &&
	    !strcmp(path + strlen(home), conf->home_mailbox))
		ok = true;
	else if (!strncmp(path, home, strlen(home)))
		ok = !strncmp(path + strlen(home), ".forward", 8) &&
		     !strchr(path + strlen(home), '/');
	else
		ok = !strncmp(path, mail, strlen(mail)) &&
		     (!path[strlen(mail)] || !strcmp(path + strlen(mail), "/"));
	free(home);
	free(mail);
	return ok;
}

/* In a table by the user's name, else the parameter. false: reported. */
static bool
choose(struct local_job *j, const struct local_addr *a, struct maps *maps,
       const char *parameter, struct buf *out)
{
	struct why why = WHY_INIT;
	enum table_status st = TABLE_ABSENT;

	buf_reset(out);
	if (!maps_is_empty(maps))
		st = maps_get(maps, span_of(a->user), out, &why);
	if (st == TABLE_RETRY)
		local_report(j, a, &why);
	else if (st == TABLE_ABSENT)
		buf_set_cstr(out, parameter);
	why_free(&why);
	return st != TABLE_RETRY;
}

static struct as_user_id
account_id(const struct local_account *acc, enum as_user_kind kind)
{
	return (struct as_user_id){
	    .kind = kind, .uid = acc->uid, .gid = acc->gid, .user = acc->name};
}

/* home_mailbox or mail_spool_directory: a Maildir or an mbox file. */
static void
to_mailbox(struct local_job *j, const struct local_addr *a,
	   const struct local_account *acc)
{
	struct as_user_id id = account_id(acc, AS_USER_PLAIN);
	const char *spool = conf->mail_spool_directory;
	size_t n = strlen(spool);
	char *path;

	if (*conf->home_mailbox) {
		path = mem_sprintf("%s/%s", acc->home, conf->home_mailbox);
	} else if (n && spool[n - 1] == '/') {
		path = mem_sprintf("%s%s/", spool, acc->name);
	} else {
		path = mem_sprintf("%s/%s", spool, acc->name);
		id.kind = AS_USER_SPOOL;
	}
	if (path[strlen(path) - 1] == '/')
		local_to_maildir(j, a, &id, path);
	else
		local_to_mbox(j, a, &id, path);
	free(path);
}

static bool
home_is_there(struct local_job *j, const struct local_addr *a,
	      const struct local_account *acc)
{
	struct as_user_id id = account_id(acc, AS_USER_PLAIN);
	struct why why = WHY_INIT;
	struct as_user *u;
	bool ok;

	if (!conf->require_home_directory || acc->uid == 0)
		return true;
	u = as_user_get(&id, &why);
	ok = u && as_user_has_directory(u, acc->home, &why);
	if (!ok) {
		why_prepend(&why,
			    "cannot access home directory %s: ", acc->home);
		local_report(j, a, &why);
	}
	why_free(&why);
	return ok;
}

static void
to_account(struct local_job *j, const struct local_addr *a,
	   const struct local_account *acc)
{
	struct local_rights rights = {acc->uid, acc->gid, ""};
	struct buf command = BUF_INIT;

	if (strlen(acc->name) < sizeof(rights.user))
		memcpy(rights.user, acc->name, strlen(acc->name) + 1);
	if (!home_is_there(j, a, acc) ||
	    !choose(j, a, tables.commands, conf->mailbox_command, &command))
		goto out;
	if (command.len)
		local_to_command(j, a,
				 acc->uid ? &rights : local_default_rights(),
				 acc, buf_cstr(&command));
	else
		to_mailbox(j, a, acc);
out:
	buf_free(&command);
}

/* Mail that somebody must get: with nobody for it, it goes nowhere. */
static bool
is_required_alias(const char *user)
{
	return !strcmp(user, "mailer-daemon") || !strcmp(user, "postmaster");
}

static void
to_nobody(struct local_job *j, const struct local_addr *a)
{
	struct buf spec = BUF_INIT, relay = BUF_INIT;

	if (!choose(j, a, tables.fallbacks, conf->fallback_transport, &spec))
		goto out;
	if (local_is_probe(j) && (spec.len || *conf->luser_relay) &&
	    !is_required_alias(a->user)) {
		local_reportf(j, a, "2.0.0", "passed on by %s",
			      spec.len ? "fallback_transport" : "luser_relay");
	} else if (spec.len) {
		local_to_transport(j, a, buf_cstr(&spec));
	} else if (is_required_alias(a->user)) {
		log_warn("required alias not found: %s", a->user);
		local_reportf(j, a, "2.0.0", "discarded");
	} else if (*conf->luser_relay && !a->relayed) {
		struct local_addr next = *a;

		next.relayed = true;
		local_expand(conf->luser_relay, a, NULL, NULL, &relay);
		local_deliver_text(j, &next, buf_cstr(&relay), NULL);
	} else {
		local_reportf(j, a, "5.1.1", "unknown user: \"%s\"", a->user);
	}
out:
	buf_free(&spec);
	buf_free(&relay);
}

void
local_mailbox(struct local_job *j, const struct local_addr *a,
	      const struct local_account *acc)
{
	struct buf spec = BUF_INIT;

	if (choose(j, a, tables.transports, conf->mailbox_transport, &spec)) {
		if (spec.len)
			local_to_transport(j, a, buf_cstr(&spec));
		else if (acc)
			to_account(j, a, acc);
		else
			to_nobody(j, a);
	}
	buf_free(&spec);
}
