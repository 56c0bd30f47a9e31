/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/queue/queue_own.h"
#include "lib/queue/queue_sys.h"
#include "lib/sys/io.h"

enum {
	BLOCK = 64 * 1024,
	NAME_TRIES = 1000,
};

/* Copy up to length bytes (-1: all there are). */
static bool
copy_bytes(int from, int64_t offset, int64_t length, int to)
{
	char *block = mem_alloc(BLOCK);
	int64_t done = 0;
	ssize_t n = 0;
	bool ok = true;

	while (ok && (length < 0 || done < length)) {
		size_t want = BLOCK;

		if (length >= 0 && length - done < BLOCK)
			want = (size_t)(length - done);
		n = pread(from, block, want, offset + done);
		if (n <= 0)
			break;
		ok = queue_sys_write(to, block, (size_t)n, done);
		done += n;
	}
	free(block);
	return ok && n >= 0;
}

bool
corrupt_save(int fd, int64_t offset, int64_t length, const char *name)
{
	char path[128];
	int to = -1, saved;
	bool ok;

	for (int i = 0; i < NAME_TRIES && to < 0; i++) {
		if (i == 0)
			snprintf(path, sizeof(path), "corrupt/%s", name);
		else
			snprintf(path, sizeof(path), "corrupt/%s.%d", name, i);
		to = queue_sys_create(path, 0600);
		if (to < 0 && errno != EEXIST)
			break;
	}
	if (to < 0) {
		log_warn("create file %s: %m", path);
		return false;
	}
	ok = copy_bytes(fd, offset, length, to) && queue_sys_datasync(to) &&
	     queue_sys_sync_dir("corrupt");
	saved = errno;
	close(to);
	if (!ok) {
		unlink(path);
		errno = saved;
		log_warn("write file %s: %m", path);
		return false;
	}
	log_warn("%s: unreadable message saved as %s", name, path);
	return true;
}

bool
corrupt_move(const char *path, const char *id)
{
	char to[128];
	int i;

	for (i = 0; i < NAME_TRIES; i++) {
		if (i == 0)
			snprintf(to, sizeof(to), "corrupt/%s", id);
		else
			snprintf(to, sizeof(to), "corrupt/%s.%d", id, i);
		if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_NOREPLACE) ==
		    0)
			break;
		if (errno != EEXIST) {
			if (errno == ENOENT)
				return false;
			log_warn("rename %s to %s: %m", path, to);
			return false;
		}
	}
	if (i == NAME_TRIES)
		return false;
	log_warn("%s: unreadable message moved to %s", id, to);
	queue_sys_sync_dir("corrupt");
	queue_sys_sync_parent(path);
	return true;
}
