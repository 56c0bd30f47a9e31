/* SPDX-License-Identifier: MIT */
#include "lib/sys/jail.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <linux/close_range.h>

#include "lib/base/log.h"

/* The first descriptor that is not standard input, output or error. */
enum { FIRST_OTHER_FD = 3 };

static void
enter_root(const char *root)
{
	if (chroot(root) < 0)
		log_fatal("chroot(%s): %m", root);
	if (chdir("/") < 0)
		log_fatal("chdir(/): %m");
}

static void
become(const struct passwd *pw)
{
	if (setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0)
		log_fatal("setgid(%ld): %m", (long)pw->pw_gid);
	if (setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0)
		log_fatal("setuid(%ld): %m", (long)pw->pw_uid);
	/* The one mistake that must never go unnoticed. */
	if (pw->pw_uid != 0 && (setuid(0) == 0 || geteuid() == 0))
		log_fatal("privilege of root is still there");
}

static void
lower_limits(const struct jail *j)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		log_fatal("setrlimit(RLIMIT_CORE): %m");
	if (!j->may_exec_setuid &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) < 0)
		log_fatal("prctl(PR_SET_NO_NEW_PRIVS): %m");
	/* Old kernels lack it; every open() of ours asks for it anyway. */
	if (close_range(FIRST_OTHER_FD, ~0U, CLOSE_RANGE_CLOEXEC) < 0 &&
	    errno != ENOSYS && errno != EINVAL)
		log_fatal("close_range: %m");
}

void
jail(const struct jail *j)
{
	bool root = geteuid() == 0;
	struct passwd *pw = NULL;

	/* The user and group files are out of reach after chroot. */
	if (root && j->user) {
		errno = 0;
		pw = getpwnam(j->user);
		if (!pw)
			log_fatal("unknown user: %s", j->user);
		if (initgroups(j->user, pw->pw_gid) < 0)
			log_fatal("initgroups(%s): %m", j->user);
	}
	if (root && j->root)
		enter_root(j->root);
	if (pw)
		become(pw);
	lower_limits(j);
}

bool
jail_become(uid_t uid, gid_t gid, const char *root)
{
	if (geteuid() != 0) {
		errno = EPERM;
		return uid == geteuid() && !root;
	}
	if (root && (chroot(root) < 0 || chdir("/") < 0))
		return false;
	if (setgroups(1, &gid) < 0 || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0)
		return false;
	/* The one mistake that must never go unnoticed. */
	if (uid != 0 && (setuid(0) == 0 || geteuid() == 0))
		log_fatal("privilege of root is still there");
	return true;
}
