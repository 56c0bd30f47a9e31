/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into every process of the mail system under test: counts, over
 * all of them, the calls that change what is on disk or what another process
 * knows, and strikes at the chosen one.
 *
 * The control page is the file /run/postrider-crash, made by crash.py, which
 * also decides what a strike is. A process that finds no such file, or whose
 * name is listed there as exempt, runs as usual.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { STRIKE_ONE = 1, STRIKE_ALL = 2 };

struct control {
	atomic_int armed;	 /* count only while set */
	atomic_int mode;	 /* STRIKE_ONE: kill the caller; STRIKE_ALL:
				    everybody stops until crash.py kills */
	atomic_llong count;
	atomic_llong strike_at; /* 0: never */
	atomic_int fired;
	atomic_int no_sync; /* RWF_DSYNC does nothing */
	char what[64];		 /* program and call that was struck */
	char exempt[256];	 /* program names, a space between */
};

static struct control *control;

__attribute__((constructor)) static void
attach(void)
{
	int fd = open("/run/postrider-crash", O_RDWR | O_CLOEXEC);
	const char *p;
	size_t n = strlen(program_invocation_short_name);

	if (fd < 0)
		return;
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE,
		       MAP_SHARED, fd, 0);
	close(fd);
	if (control == MAP_FAILED) {
		control = NULL;
		return;
	}
	for (p = control->exempt; (p = strstr(p, program_invocation_short_name));
	     p++)
		if ((p == control->exempt || p[-1] == ' ') &&
		    (p[n] == ' ' || p[n] == '\0')) {
			control = NULL;
			return;
		}
}

static void
wait_for_the_end(void)
{
	struct timespec ts = {1, 0};

	for (;;)
		nanosleep(&ts, NULL);
}

static void
step(const char *call)
{
	long long n;

	if (!control || !atomic_load(&control->armed))
		return;
	if (atomic_load(&control->fired)) {
		if (atomic_load(&control->mode) == STRIKE_ALL)
			wait_for_the_end();
		return;
	}
	n = atomic_fetch_add(&control->count, 1) + 1;
	if (n != atomic_load(&control->strike_at))
		return;
	snprintf(control->what, sizeof(control->what), "%s %s",
		 program_invocation_short_name, call);
	atomic_store(&control->fired, 1);
	if (atomic_load(&control->mode) == STRIKE_ONE)
		kill(getpid(), SIGKILL);
	wait_for_the_end();
}

static int
unsynced(int flags)
{
	return control && atomic_load(&control->no_sync) ? flags & ~RWF_DSYNC
							  : flags;
}

static void *
next_of(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

#define WRAP(type, name, params, args)                                         \
	type name params                                                       \
	{                                                                      \
		static type(*next) params;                                     \
                                                                               \
		if (!next)                                                     \
			next = (type(*) params)next_of(#name);                 \
		step(#name);                                                   \
		return next args;                                              \
	}

WRAP(ssize_t, write, (int fd, const void *b, size_t n), (fd, b, n))
WRAP(ssize_t, writev, (int fd, const struct iovec *v, int n), (fd, v, n))
WRAP(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o),
     (fd, b, n, o))
WRAP(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o),
     (fd, b, n, o))
WRAP(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o),
     (fd, v, n, o))
WRAP(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t o),
     (fd, v, n, o))
WRAP(ssize_t, pwritev2,
     (int fd, const struct iovec *v, int n, off_t o, int flags),
     (fd, v, n, o, unsynced(flags)))
WRAP(ssize_t, pwritev64v2,
     (int fd, const struct iovec *v, int n, off64_t o, int flags),
     (fd, v, n, o, unsynced(flags)))
WRAP(ssize_t, send, (int fd, const void *b, size_t n, int f), (fd, b, n, f))
WRAP(ssize_t, sendto,
     (int fd, const void *b, size_t n, int f, const struct sockaddr *a,
      socklen_t l),
     (fd, b, n, f, a, l))
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), (fd, m, f))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, link, (const char *a, const char *b), (a, b))
WRAP(int, unlink, (const char *a), (a))
WRAP(int, unlinkat, (int d, const char *a, int f), (d, a, f))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n))
WRAP(int, mkdir, (const char *a, mode_t m), (a, m))
WRAP(int, rmdir, (const char *a), (a))
WRAP(int, chmod, (const char *a, mode_t m), (a, m))
WRAP(int, fchmod, (int fd, mode_t m), (fd, m))
WRAP(int, fchown, (int fd, uid_t u, gid_t g), (fd, u, g))
WRAP(int, futimens, (int fd, const struct timespec t[2]), (fd, t))
WRAP(int, utimensat,
     (int d, const char *p, const struct timespec t[2], int f), (d, p, t, f))
WRAP(ssize_t, copy_file_range,
     (int a, off64_t *ao, int b, off64_t *bo, size_t n, unsigned f),
     (a, ao, b, bo, n, f))

#define WRAP_OPEN(name)                                                        \
	int name(const char *path, int flags, ...)                             \
	{                                                                      \
		static int (*next)(const char *, int, ...);                    \
		mode_t mode = 0;                                               \
                                                                               \
		if (!next)                                                     \
			next = (int (*)(const char *, int, ...))next_of(#name);\
		if (flags & O_CREAT) {                                         \
			va_list ap;                                            \
                                                                               \
			va_start(ap, flags);                                   \
			mode = va_arg(ap, mode_t);                             \
			va_end(ap);                                            \
			step(#name);                                           \
		}                                                              \
		return next(path, flags, mode);                                \
	}

WRAP_OPEN(open)
WRAP_OPEN(open64)
