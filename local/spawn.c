/* SPDX-License-Identifier: MIT */
/*
 * spawn - run a command for each connection (spawn(8)): what inetd does, with
 * the limits of master.cf.
 *
 * The command runs in a process of its user's (lib/deliver/as_user.h) and
 * gets the connection; nothing of what goes over it is read here.
 */
#include <grp.h>
#include <pwd.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/deliver/as_user.h"
#include "lib/service/service.h"

static struct {
	char *user;
	uid_t uid;
	gid_t gid;
	struct strvec argv;
} attr;

static void
find_user(const char *value)
{
	const char *colon = strchr(value, ':');
	const struct passwd *pw;
	const struct group *gr;

	attr.user = colon ? mem_strndup(value, (size_t)(colon - value))
			  : mem_strdup(value);
	pw = getpwnam(attr.user);
	if (!pw)
		log_fatal("get_service_attr: unknown username: %s", attr.user);
	attr.uid = pw->pw_uid;
	attr.gid = pw->pw_gid;
	if (colon && colon[1]) {
		gr = getgrnam(colon + 1);
		if (!gr)
			log_fatal("get_service_attr: unknown group: %s",
				  colon + 1);
		attr.gid = gr->gr_gid;
	}
	if (attr.uid == 0)
		log_fatal("user= command-line attribute specifies root "
			  "privileges");
	pw = getpwnam(conf->mail_owner);
	if (!service_unprivileged() && pw && pw->pw_uid == attr.uid)
		log_fatal("user= command-line attribute specifies mail system "
			  "owner %s",
			  conf->mail_owner);
}

static void
parse_attributes(const struct strvec *args)
{
	size_t i = 0;

	for (; i < args->n; i++) {
		const char *arg = args->v[i];

		if (!strncmp(arg, "user=", 5)) {
			find_user(arg + 5);
		} else if (!strncmp(arg, "argv=", 5)) {
			strvec_add(&attr.argv, arg + 5);
			break;
		} else {
			log_fatal("unknown attribute name: %s", arg);
		}
	}
	for (i++; i < args->n; i++)
		strvec_add(&attr.argv, args->v[i]);
	if (!attr.user)
		log_fatal("missing user= command-line attribute");
	if (!attr.argv.n)
		log_fatal("missing argv= command-line attribute");
}

static bool
id_is_allowed(uid_t uid, gid_t gid, const char *user)
{
	return uid == attr.uid && gid == attr.gid && !strcmp(user, attr.user);
}

static void
init(void)
{
	const struct as_user_setup setup = {.program = "spawn",
					    .allow = id_is_allowed};

	parse_attributes(service_argv());
	as_user_start(&setup);
}

static void
serve(int fd)
{
	const struct as_user_id id = {.kind = AS_USER_PLAIN,
				      .uid = attr.uid,
				      .gid = attr.gid,
				      .user = attr.user};
	struct strvec env = STRVEC_INIT;
	struct why why = WHY_INIT;
	struct as_user *u = as_user_get(&id, &why);
	int64_t limit = conf_transport_time(service_name(), "_time_limit",
					    conf->command_time_limit);

	command_base_env(&env);
	if (!u || !as_user_serve(u, &attr.argv, &env, fd, limit, &why))
		log_warn("%s", buf_cstr(&why.text));
	as_user_forget();
	strvec_free(&env);
	why_free(&why);
}

int
main(int argc, char **argv)
{
	const struct service def = {
	    .name = "spawn",
	    .model = SERVICE_SESSIONS,
	    .init = init,
	    .after_jail = as_user_drop_root,
	    .serve = serve,
	};

	return service_main(argc, argv, &def);
}
