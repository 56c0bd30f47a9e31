/* SPDX-License-Identifier: MIT */
/*
 * proc - run a program with nothing but what it is given.
 *
 * The child gets default signal handling, an empty signal mask, the three
 * descriptors named here as standard input, output and error, and no other.
 * No shell is involved.
 */
#ifndef LIB_SYS_PROC_H
#define LIB_SYS_PROC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/strvec.h"

/*
 * fork(), and the child has default signal handling and an empty mask from its
 * first moment: no handler of ours (an event loop's, say, which writes to a
 * socket that both have) runs in it.
 */
pid_t proc_fork(void);

struct proc_spec {
	const char *path; /* absolute */
	char *const *argv;
	char *const *envp; /* NULL: as ours */
	const char *cwd;   /* or NULL */
	int in, out, err;  /* -1: /dev/null */
	bool own_group;    /* leads a process group: proc_wait() ends it */
};

/* The process id, or -1 with errno when there is none. A program that cannot
 * be executed is found here as well (errno of execve). */
pid_t proc_spawn(const struct proc_spec *p);

/*
 * Wait for pid until deadline (io_monotonic(), -1: for ever). When it is
 * reached, the process (its group with own_group) is killed, and the result is
 * false with errno ETIMEDOUT. *status is as of waitpid().
 */
bool proc_wait(pid_t pid, bool own_group, int64_t deadline, int *status);

/*
 * Environment from a list of "NAME" (copied from ours when it is set) and
 * "NAME=VALUE", as import_environment and export_environment have it.
 */
void proc_environment(const char *list, struct strvec *env);

#endif
