/* SPDX-License-Identifier: MIT */
/* The last step of a delivery: a file, a Maildir, a command. */
#include <stdlib.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"
#include "local/local.h"

/* The headers that delivery puts in front. context: of
 * prepend_delivered_header. */
static void
make_head(const struct local_addr *a, bool from_line, const char *context,
	  struct buf *out)
{
	if (from_line)
		copy_from_line(a->sender, NULL, io_now(), out);
	copy_header("Return-Path", a->sender, true, out);
	if (conf->enable_original_recipient)
		copy_header("X-Original-To",
			    *a->orig_to ? a->orig_to : a->address, false, out);
	if (conf_list_has(conf->prepend_delivered_header, context))
		copy_header("Delivered-To", a->delivered, false, out);
}

static struct as_user_id
plain_id(const struct local_rights *r)
{
	return (struct as_user_id){.kind = AS_USER_PLAIN,
				   .uid = r->uid,
				   .gid = r->gid,
				   .user = r->user};
}

void
local_to_maildir(struct local_job *j, const struct local_addr *a,
		 const struct as_user_id *id, const char *path)
{
	const struct agent_rcpt *r = &j->req->rcpts[j->rcpt];
	struct buf head = BUF_INIT, identity = BUF_INIT, warning = BUF_INIT;
	struct why why = WHY_INIT;
	struct maildir_request req = {
	    .path = path,
	    .source = j->source,
	    .hostname = conf->myhostname,
	    .arrival = j->req->arrival,
	};
	struct as_user *u;

	make_head(a, false, "file", &head);
	/* The same at each attempt, and never for another delivery. */
	buf_printf(&identity, "%s\n%lld\n%s\n%s", j->req->queue_id,
		   (long long)r->index, a->address, path);
	req.head = buf_span(&head);
	req.identity = buf_span(&identity);
	u = as_user_get(id, &why);
	if (u && as_user_maildir(u, &req, &warning, &why))
		why_set(&why, "2.0.0", "delivered to maildir");
	local_warn(&warning);
	local_report(j, a, &why);
	buf_free(&head);
	buf_free(&identity);
	buf_free(&warning);
	why_free(&why);
}

/* mbox: with what is common to mailboxes and files. */
static bool
append(struct local_job *j, const struct local_addr *a,
       const struct as_user_id *id, struct mbox_request *req, struct why *why)
{
	struct buf head = BUF_INIT, warning = BUF_INIT;
	struct as_user *u;
	bool ok = false;

	make_head(a, true, "file", &head);
	req->head = buf_span(&head);
	req->source = j->source;
	mbox_parse_locks(conf->mailbox_delivery_lock, &req->locks);
	/* A second time when a process that was kept cannot create the mailbox:
	 * a new one may, in a spool directory that belongs to root. */
	for (int tries = 0; !ok && tries < 2; tries++) {
		buf_reset(&warning);
		u = as_user_get(id, why);
		ok = u && as_user_mbox(u, req, &warning, why);
		if (id->kind != AS_USER_SPOOL ||
		    !strstr(buf_cstr(&why->text), "cannot create file"))
			break;
		as_user_forget();
	}
	/* There, PATH.lock cannot be made either. */
	if (id->kind != AS_USER_SPOOL)
		local_warn(&warning);
	buf_free(&head);
	buf_free(&warning);
	return ok;
}

void
local_to_mbox(struct local_job *j, const struct local_addr *a,
	      const struct as_user_id *id, const char *path)
{
	struct mbox_request req = {
	    .path = path,
	    /* In a spool directory that only root writes to there is none. */
	    .lenient_dotlock = id->kind == AS_USER_SPOOL,
	    .owner = conf->strict_mailbox_ownership ? 0 : -1,
	};
	struct why why = WHY_INIT;

	if (append(j, a, id, &req, &why)) {
		why_set(&why, "2.0.0", "delivered to mailbox");
	} else {
		if (strstr(buf_cstr(&why.text), "not owned by recipient"))
			log_warn("specify \"strict_mailbox_ownership = no\" "
				 "to ignore mailbox ownership mismatch");
		why_prepend(&why, "cannot update mailbox %s for user %s. ",
			    path, a->user);
	}
	local_report(j, a, &why);
	why_free(&why);
}

void
local_to_file(struct local_job *j, const struct local_addr *a, const char *path)
{
	struct as_user_id id = plain_id(&a->rights);
	struct mbox_request req = {
	    .path = path, .lenient_dotlock = true, .owner = -1};
	struct why why = WHY_INIT;
	size_t n = strlen(path);

	if (n && path[n - 1] == '/') {
		local_to_maildir(j, a, &id, path);
		return;
	}
	if (append(j, a, &id, &req, &why))
		why_set(&why, "2.0.0", "delivered to file: %s", path);
	else
		why_prepend(&why, "cannot append message to file %s: ", path);
	local_report(j, a, &why);
	why_free(&why);
}

static void
add_env(struct strvec *env, const char *name, const char *value)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "%s=", name);
	local_filter(value, conf->command_expansion_filter, &b);
	strvec_add(env, buf_cstr(&b));
	buf_free(&b);
}

static void
add_env_if(struct strvec *env, const char *name, const char *value)
{
	if (value && *value)
		add_env(env, name, value);
}

static void
make_env(const struct local_job *j, const struct local_addr *a,
	 const struct local_account *acc, struct strvec *env)
{
	const struct agent_request *req = j->req;

	command_base_env(env);
	if (acc) {
		add_env(env, "HOME", acc->home);
		add_env(env, "SHELL", acc->shell);
	}
	add_env(env, "LOGNAME", a->user);
	add_env(env, "USER", a->user);
	add_env(env, "SENDER", a->sender);
	add_env(env, "RECIPIENT", a->address);
	add_env(env, "LOCAL", a->local);
	add_env_if(env, "EXTENSION", a->extension);
	add_env_if(env, "DOMAIN", a->domain);
	add_env(env, "ORIGINAL_RECIPIENT",
		*a->orig_to ? a->orig_to : a->address);
	add_env_if(env, "ENVID", a->dsn_envid);
	add_env_if(env, "CLIENT_ADDRESS", req->client_addr);
	add_env_if(env, "CLIENT_HELO", req->client_helo);
	add_env_if(env, "CLIENT_HOSTNAME", req->client_name);
	add_env_if(env, "CLIENT_PROTOCOL", req->client_proto);
	add_env_if(env, "SASL_METHOD", req->sasl_method);
	add_env_if(env, "SASL_SENDER", req->sasl_sender);
	add_env_if(env, "SASL_USERNAME", req->sasl_username);
}

void
local_to_command(struct local_job *j, const struct local_addr *a,
		 const struct local_rights *rights,
		 const struct local_account *acc, const char *command)
{
	struct as_user_id id = plain_id(rights);
	struct strvec env = STRVEC_INIT;
	struct buf head = BUF_INIT, output = BUF_INIT, warning = BUF_INIT,
		   directory = BUF_INIT;
	struct command_request req = {
	    .command = command,
	    .shell = conf->local_command_shell,
	    .env = &env,
	    .source = j->source,
	    .time_limit = conf->command_time_limit,
	};
	struct why why = WHY_INIT;
	struct as_user *u;

	make_env(j, a, acc, &env);
	make_head(a, true, "command", &head);
	local_expand(conf->command_execution_directory, a, acc,
		     conf->execution_directory_expansion_filter, &directory);
	req.directory = buf_cstr(&directory);
	req.head = buf_span(&head);
	u = as_user_get(&id, &why);
	if (u && as_user_command(u, &req, &output, &warning, &why))
		why_set(&why, "2.0.0", "delivered to command: %s", command);
	local_warn(&warning);
	local_report(j, a, &why);
	buf_free(&head);
	buf_free(&output);
	buf_free(&warning);
	buf_free(&directory);
	strvec_free(&env);
	why_free(&why);
}
