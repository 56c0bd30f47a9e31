/* SPDX-License-Identifier: MIT */
#include "master/master_pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "lib/sys/lock.h"
#include "master/master.h"

static int pid_fd = -1;
static int data_fd = -1;

static int
open_lock(const char *path)
{
	static const struct lock_policy patience = {
	    .methods = LOCK_BY_FLOCK,
	    .attempts = 10,
	    .delay = 20000,
	};
	const char *reason;
	int fd = fs_open_safe(path, O_RDWR | O_CREAT, 0600, (uid_t)-1, &reason);

	if (fd < 0 && reason)
		log_fatal("open lock file %s: %s", path, reason);
	if (fd < 0)
		log_fatal("open lock file %s: %m", path);
	/* Whoever asks for the status holds the lock for a moment. */
	if (!lock_fd(fd, true, &patience))
		log_fatal("open lock file %s: unable to set exclusive lock: %m",
			  path);
	return fd;
}

static void
write_pid(int fd, const char *path)
{
	char text[40];
	int len =
	    snprintf(text, sizeof(text), "%*lu\n",
		     (int)sizeof(unsigned long) * 4, (unsigned long)getpid());

	if (ftruncate(fd, 0) < 0 || !io_pwrite_all(fd, text, (size_t)len, 0))
		log_fatal("write lock file %s: %m", path);
}

static int
open_data_lock(const char *path)
{
	int fd;

	if (!master_become_owner())
		log_fatal("cannot lock %s", path);
	fd = open_lock(path);
	master_become_root();
	return fd;
}

void
master_pidfile_take(void)
{
	char *lock = mem_sprintf("%s/master.lock", conf->data_directory);

	if (mkdir("pid", 0755) < 0 && errno != EEXIST)
		log_fatal("mkdir pid: %m");
	pid_fd = open_lock("pid/master.pid");
	write_pid(pid_fd, "pid/master.pid");
	data_fd = open_data_lock(lock);
	write_pid(data_fd, lock);
	free(lock);
}

void
master_pidfile_release(void)
{
	if (pid_fd >= 0)
		close(pid_fd);
	if (data_fd >= 0)
		close(data_fd);
	pid_fd = data_fd = -1;
}

bool
master_pidfile_is_locked(void)
{
	int fd = open("pid/master.pid", O_RDWR | O_CLOEXEC);
	bool locked;

	if (fd < 0 && errno == ENOENT)
		return false;
	if (fd < 0)
		log_fatal("open lock file pid/master.pid: %m");
	locked = !lock_fd_now(fd, true, LOCK_BY_FLOCK);
	close(fd);
	return locked;
}
