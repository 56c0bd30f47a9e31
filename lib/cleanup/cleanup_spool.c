/* SPDX-License-Identifier: MIT */
#include "lib/cleanup/cleanup_spool.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/sys/io.h"

struct spool {
	struct buf memory; /* all of it, until there is a file */
	int fd;
	int64_t size;
	bool failed;
};

struct spool *
spool_new(void)
{
	struct spool *s = mem_alloc(sizeof(*s));

	s->fd = -1;
	return s;
}

void
spool_free(struct spool *s)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	buf_free(&s->memory);
	free(s);
}

static void
fail(struct spool *s, const char *what)
{
	if (!s->failed)
		log_warn("%s temporary file of a message: %m", what);
	s->failed = true;
}

/* Not every file system below the queue can make a file without a name. */
static void
open_file(struct spool *s)
{
	static const char *const folders[] = {"incoming", "/tmp"};

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		s->fd = open(folders[i], O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (s->fd >= 0)
			break;
	}
	if (s->fd < 0)
		fail(s, "make");
	else if (!io_write_all(s->fd, s->memory.data, s->memory.len))
		fail(s, "write");
	buf_free(&s->memory);
}

void
spool_write(struct spool *s, struct span data)
{
	if (s->failed || data.len == 0)
		return;
	if (s->fd < 0 && s->memory.len + data.len > SPOOL_MEMORY_MAX)
		open_file(s);
	if (s->failed)
		return;
	if (s->fd < 0)
		buf_append_span(&s->memory, data);
	else if (!io_pwrite_all(s->fd, data.data, data.len, s->size))
		fail(s, "write");
	s->size += (int64_t)data.len;
}

int64_t
spool_size(const struct spool *s)
{
	return s->size;
}

bool
spool_failed(const struct spool *s)
{
	return s->failed;
}

bool
spool_read(struct spool *s, int64_t offset, size_t max, struct buf *out)
{
	char *room;

	if (s->failed || offset >= s->size)
		return !s->failed;
	if ((int64_t)max > s->size - offset)
		max = (size_t)(s->size - offset);
	if (s->fd < 0) {
		buf_append(out, s->memory.data + offset, max);
		return true;
	}
	room = buf_reserve(out, max);
	if (!io_pread_all(s->fd, room, max, offset)) {
		fail(s, "read");
		return false;
	}
	out->len += max;
	out->data[out->len] = '\0';
	return true;
}
