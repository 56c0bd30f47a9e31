/* SPDX-License-Identifier: MIT */
/*
 * sanitizer - linked into every program of MODE=asan and MODE=ubsan: where its
 * sanitizers report to.
 *
 * A daemon has no standard error, master clears its environment, and a set-gid
 * program must not trust one. So each report becomes a file in $(B)/reports,
 * named report.PROGRAM.PID; tests/check fails when there is one at its end.
 * ASAN_OPTIONS=log_path=stderr brings the report of a command to the terminal.
 *
 * Leaks are looked for at the end of every process that ends well (one that
 * gives up frees nothing), daemons too, but for set-gid programs and in a
 * chroot: the checker attaches to its own process as a debugger, and finds its
 * threads in /proc.
 */
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "sanitizer_reports.h"

#define LOG_TO "log_path=" SANITIZER_REPORTS "/report:log_exe_name=1"

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);
const char *__lsan_default_suppressions(void);
int __lsan_is_turned_off(void);

static int exit_status;

const char *
__asan_default_options(void)
{
	return LOG_TO ":detect_stack_use_after_return=1:strict_string_checks=1:"
		      "print_suppressions=0";
}

const char *
__ubsan_default_options(void)
{
	return LOG_TO ":print_stacktrace=1";
}

/* Berkeley DB finds its pages by distances: nothing seems to point to them.
 * Cyrus SASL's plugins lose the name of a LOGIN that the client breaks off,
 * and a directive of DIGEST-MD5 that comes twice. */
const char *
__lsan_default_suppressions(void)
{
	return "leak:libdb-\nleak:liblogin\nleak:libdigestmd5\n";
}

int
__lsan_is_turned_off(void)
{
	if (exit_status != 0 || getuid() != geteuid() ||
	    getgid() != getegid() || access("/proc/self/task", R_OK) < 0)
		return 1;
	/* A process that changed its uid may not be attached to otherwise. */
	return prctl(PR_SET_DUMPABLE, 1L, 0L, 0L, 0L) < 0;
}

static void
note_status(int status, void *arg)
{
	(void)arg;
	exit_status = status;
}

/* Called at exit() before the leak checker, which was there first. */
__attribute__((constructor)) static void
watch_exit(void)
{
	on_exit(note_status, NULL);
}
