/* SPDX-License-Identifier: MIT */
/*
 * postqueue - list and flush the queue, for everyone (postqueue(1)).
 *
 * Runs set-gid, so that it may talk to showq and qmgr.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "lib/addr/addr.h"
#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_log.h"
#include "lib/ipc/ipc.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_notify.h"
#include "lib/table/match_list.h"
#include "qmgr/postqueue_show.h"

enum command {
	NO_COMMAND,
	LIST_TEXT,
	LIST_JSON,
	FLUSH_ALL,
	FLUSH_ID,
	FLUSH_SITE,
};

#define FLUSH_IS_DOWN "Cannot flush mail queue - mail system is down"

static _Noreturn void
usage(void)
{
	log_fatal_code(EX_UNAVAILABLE,
		       "usage: postqueue -f | postqueue -i queueid | "
		       "postqueue -j | postqueue -p | postqueue -s site");
}

/* ---- who may ---- */

/* The superuser and the mail owner always; others by name. */
static void
check_user(const char *parameter, const char *list, const char *what)
{
	uid_t uid = getuid();
	const struct passwd *pw = getpwnam(conf->mail_owner);
	struct match_list *allowed;
	struct why why = WHY_INIT;
	const char *name;

	if (uid == 0 || (pw && pw->pw_uid == uid))
		return;
	pw = getpwuid(uid);
	name = pw ? pw->pw_name : "unknown";
	allowed = match_list_open(parameter, list, MATCH_STRING, 0);
	if (match_list_has(allowed, span_of(name), &why) != TABLE_FOUND)
		log_fatal_code(EX_UNAVAILABLE,
			       "User %s(%ld) is not allowed to %s the mail "
			       "queue",
			       name, (long)uid, what);
	match_list_free(allowed);
	why_free(&why);
}

/* ---- listing ---- */

/* Through the same form as from showq. */
static bool
list_local(void *arg, const struct queue_listing *l)
{
	struct showq_reader r = {.fd = -1, .greeted = true};
	struct showq_message m = {0};

	showq_put_message(&r.data, l, false);
	if (showq_next(&r, &m) == SHOWQ_MESSAGE)
		show_message(arg, &m);
	showq_message_free(&m);
	buf_free(&r.data);
	return true;
}

static void
list_without_showq(struct show *s, const char *error)
{
	if (geteuid() != 0 && access("deferred", R_OK | X_OK) < 0)
		log_fatal_code(EX_UNAVAILABLE,
			       "Queue report unavailable - mail system is "
			       "down (Connect to the %s showq service: %s)",
			       conf->mail_name, error);
	log_warn("Mail system is down -- accessing queue directly (Connect to "
		 "the %s showq service: %s)",
		 conf->mail_name, error);
	if (!queue_list(NULL, list_local, s))
		log_fatal_code(EX_UNAVAILABLE, "read the queue: %m");
	show_end(s);
}

static void
list_queue(enum show_form form)
{
	struct show s = {.form = form, .wide = conf->enable_long_queue_ids};
	struct showq_reader r = {.timeout = (int)(conf->ipc_timeout / 1000000)};
	struct showq_message m = {0};
	enum showq_status st;
	struct ipc c;

	if (!ipc_connect(&c, "public/showq", r.timeout)) {
		list_without_showq(&s, strerror(errno));
		return;
	}
	r.fd = c.fd;
	while ((st = showq_next(&r, &m)) == SHOWQ_MESSAGE)
		show_message(&s, &m);
	if (st != SHOWQ_END)
		log_fatal_code(EX_UNAVAILABLE,
			       "malformed showq server response");
	show_end(&s);
	showq_message_free(&m);
	buf_free(&r.data);
	ipc_close(&c);
}

/* ---- flushing ---- */

static void
send_flush(enum msg_attr attr, const char *value)
{
	int timeout = (int)(conf->trigger_timeout / 1000000);
	struct ipc c;

	if (!queue_manager_connect(&c, timeout)) {
		if (value)
			log_warn("connect to public/%s: %s",
				 conf->queue_service_name, strerror(errno));
		log_fatal_code(EX_UNAVAILABLE, FLUSH_IS_DOWN);
	}
	ipc_begin(&c, MSG_FLUSH);
	if (value)
		ipc_put_cstr(&c, attr, value);
	ipc_end(&c);
	if (ipc_flush(&c, timeout) != IPC_OK)
		log_fatal_code(EX_UNAVAILABLE, FLUSH_IS_DOWN);
	ipc_close(&c);
}

/* Only destinations that fast_flush_domains names (ETRN). */
static void
check_site(const char *site)
{
	struct match_list *domains;
	struct why why = WHY_INIT;
	unsigned flags = conf_list_has(conf->parent_domain_matches_subdomains,
				       "fast_flush_domains")
			     ? MATCH_PARENT
			     : 0;

	if (*site == '[' ? !addr_valid_literal(span_of(site), NULL)
			 : !addr_valid_hostname(span_of(site)) ||
			       strspn(site, "0123456789.") == strlen(site))
		log_fatal_code(EX_UNAVAILABLE,
			       "Cannot flush mail queue - invalid "
			       "destination: \"%.100s\"",
			       site);
	domains =
	    match_list_open("fast_flush_domains", conf->fast_flush_domains,
			    MATCH_DOMAIN, flags);
	switch (match_list_has(domains, span_of(site), &why)) {
	case TABLE_FOUND:
		break;
	case TABLE_ABSENT:
		log_fatal_code(EX_UNAVAILABLE,
			       "Flush service is not configured for "
			       "destination \"%s\"",
			       site);
	default:
		log_fatal_code(EX_UNAVAILABLE, FLUSH_IS_DOWN);
	}
	match_list_free(domains);
	why_free(&why);
}

/* ---- start ---- */

struct options {
	enum command command;
	const char *argument;
	const char *config_dir;
};

static void
set_command(struct options *o, enum command c, const char *argument)
{
	if (o->command != NO_COMMAND)
		usage();
	o->command = c;
	o->argument = argument;
}

static void
parse(int argc, char **argv, struct options *o)
{
	int c, verbose = 0;

	while ((c = getopt(argc, argv, "c:fi:jps:v")) > 0) {
		switch (c) {
		case 'c':
			o->config_dir = optarg;
			break;
		case 'f':
			set_command(o, FLUSH_ALL, NULL);
			break;
		case 'i':
			set_command(o, FLUSH_ID, optarg);
			break;
		case 'j':
			set_command(o, LIST_JSON, NULL);
			break;
		case 'p':
			set_command(o, LIST_TEXT, NULL);
			break;
		case 's':
			set_command(o, FLUSH_SITE, optarg);
			break;
		case 'v':
			if (getuid() == 0)
				log_set_verbose(++verbose);
			break;
		default:
			usage();
		}
	}
	if (optind < argc || o->command == NO_COMMAND)
		usage();
}

static void
run(const struct options *o)
{
	switch (o->command) {
	case LIST_TEXT:
	case LIST_JSON:
		check_user("authorized_mailq_users",
			   conf->authorized_mailq_users, "view");
		list_queue(o->command == LIST_JSON ? SHOW_JSON : SHOW_TEXT);
		return;
	case FLUSH_ID:
		check_user("authorized_flush_users",
			   conf->authorized_flush_users, "flush");
		if (!queue_id_valid(span_of(o->argument)))
			log_fatal_code(EX_UNAVAILABLE,
				       "Cannot flush queue ID - invalid "
				       "name: \"%.100s\"",
				       o->argument);
		send_flush(A_QUEUE_ID, o->argument);
		return;
	case FLUSH_SITE:
		check_user("authorized_flush_users",
			   conf->authorized_flush_users, "flush");
		check_site(o->argument);
		send_flush(A_SITE, o->argument);
		return;
	default:
		check_user("authorized_flush_users",
			   conf->authorized_flush_users, "flush");
		send_flush(A_NONE, NULL);
	}
}

int
main(int argc, char **argv)
{
	struct options o = {0};
	struct conf_args args = {.program = "postqueue"};

	log_set_program("postqueue");
	conf_log_open_early("postqueue");
	log_set_stderr_too(true);
	parse(argc, argv, &o);
	args.config_dir = o.config_dir;
	conf_load(&args);
	conf_log_open("postqueue", 0);
	if (chdir(conf->queue_directory) < 0)
		log_fatal_code(EX_UNAVAILABLE, "chdir %s: %m",
			       conf->queue_directory);
	run(&o);
	if (fflush(stdout) != 0)
		log_fatal_code(EX_IOERR, "write output: %m");
	return 0;
}
