/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"

enum { DEPTH_MAX = 33 };

struct queue_walk {
	char name[16];
	struct {
		DIR *dir;
		size_t path_len; /* with the '/' */
	} level[DEPTH_MAX];
	size_t depth;
	struct buf path;
};

struct queue_walk *
queue_walk_new(const char *queue_name)
{
	struct queue_walk *w = mem_alloc(sizeof(*w));

	snprintf(w->name, sizeof(w->name), "%s", queue_name);
	return w;
}

static void
leave_all(struct queue_walk *w)
{
	while (w->depth)
		closedir(w->level[--w->depth].dir);
}

void
queue_walk_free(struct queue_walk *w)
{
	if (!w)
		return;
	leave_all(w);
	buf_free(&w->path);
	free(w);
}

/* Open the directory that path names. */
static bool
enter(struct queue_walk *w)
{
	DIR *dir;

	if (w->depth == DEPTH_MAX)
		return false;
	dir = opendir(buf_cstr(&w->path));
	if (!dir)
		return false;
	buf_append_byte(&w->path, '/');
	w->level[w->depth].dir = dir;
	w->level[w->depth++].path_len = w->path.len;
	return true;
}

static bool
is_directory(const struct dirent *d, const char *path)
{
	struct stat st;

	if (d->d_type != DT_UNKNOWN)
		return d->d_type == DT_DIR;
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool
queue_walk_next(struct queue_walk *w, const char **name, const char **path,
		struct stat *st)
{
	if (w->depth == 0) {
		buf_set_cstr(&w->path, w->name);
		if (!enter(w))
			return false;
	}
	while (w->depth) {
		struct dirent *d;

		buf_truncate(&w->path, w->level[w->depth - 1].path_len);
		d = readdir(w->level[w->depth - 1].dir);
		if (!d) {
			closedir(w->level[--w->depth].dir);
			continue;
		}
		if (d->d_name[0] == '.')
			continue;
		buf_append_cstr(&w->path, d->d_name);
		if (d->d_name[1] == '\0' && is_directory(d, w->path.data)) {
			enter(w);
			continue;
		}
		if (d->d_type != DT_REG && d->d_type != DT_UNKNOWN)
			continue;
		if (st &&
		    (lstat(w->path.data, st) < 0 || !S_ISREG(st->st_mode)))
			continue;
		*path = w->path.data;
		*name = w->path.data + w->level[w->depth - 1].path_len;
		return true;
	}
	errno = 0;
	return false;
}
