/* SPDX-License-Identifier: MIT */
/*
 * jail - the only code that gives up privilege.
 *
 * Order: chroot(root) and chdir("/") when root is not NULL; initgroups and
 * setresgid, setresuid to user for good; no_new_privs; RLIMIT_CORE 0; close
 * what must not be inherited. Any failure is fatal. Without root (an ordinary
 * user runs the suite) changing uid and chroot are skipped; what is left is
 * done.
 */
#ifndef LIB_SYS_JAIL_H
#define LIB_SYS_JAIL_H

#include <stdbool.h>

struct jail {
	const char *root; /* chroot directory, or NULL */
	const char *user; /* NULL: keep the uid */
	bool may_exec_setuid; /* skip no_new_privs: runs users' commands */
};

void jail(const struct jail *j);

#endif
