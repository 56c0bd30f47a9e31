/* SPDX-License-Identifier: MIT */
#include <pwd.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/conf/conf.h"
#include "master/master.h"

bool
master_become_owner(void)
{
	const struct passwd *pw;

	if (master.unprivileged)
		return true;
	pw = getpwnam(conf->mail_owner);
	if (!pw) {
		log_error("unknown mail_owner: %s", conf->mail_owner);
		return false;
	}
	if (setegid(pw->pw_gid) < 0 || seteuid(pw->pw_uid) < 0)
		log_fatal("seteuid(%s): %m", conf->mail_owner);
	return true;
}

void
master_become_root(void)
{
	if (master.unprivileged)
		return;
	if (seteuid(0) < 0 || setegid(0) < 0)
		log_fatal("seteuid(0): %m");
}
