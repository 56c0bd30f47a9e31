/* SPDX-License-Identifier: MIT */
/*
 * jail - the only code that gives up privilege.
 *
 * Order: initgroups for user; chroot(root) and chdir("/") when root is not NULL;
 * setresgid, setresuid to user for good; no_new_privs; RLIMIT_CORE 0; close
 * what must not be inherited. Any failure is fatal. Without root (an ordinary
 * user runs the suite) changing uid and chroot are skipped; what is left is
 * done.
 */
#ifndef LIB_SYS_JAIL_H
#define LIB_SYS_JAIL_H

#include <stdbool.h>
#include <sys/types.h>

struct jail {
	const char *root;     /* chroot directory, or NULL */
	const char *user;     /* NULL: keep the uid */
	bool may_exec_setuid; /* skip no_new_privs: runs users' commands */
};

void jail(const struct jail *j);

/*
 * A process of root's that does one task for a user becomes that user for
 * good: no supplementary groups but gid, chroot first when root is not NULL.
 * false: errno; the caller ends the process. For an ordinary user who asks
 * for its own uid only the chroot is refused.
 */
bool jail_become(uid_t uid, gid_t gid, const char *root);

#endif
