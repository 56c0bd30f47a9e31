/* SPDX-License-Identifier: MIT */
#include "lib/sys/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"

enum {
	LINKS_MAX = 40, /* as the kernel follows */
	EVENTS = IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ATTRIB |
		 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR,
};

struct name {
	int wd; /* of the directory */
	char *name;
};

struct watch {
	int fd;
	struct name v[WATCH_NAMES_MAX];
	size_t n;
};

struct watch *
watch_new(void)
{
	struct watch *w = mem_alloc(sizeof(*w));

	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd < 0)
		log_warn("inotify_init: %m -- a changed file is not noticed "
			 "before the next reload");
	return w;
}

void
watch_free(struct watch *w)
{
	if (w->fd >= 0)
		close(w->fd);
	for (size_t i = 0; i < w->n; i++)
		free(w->v[i].name);
	free(w);
}

void
watch_add_list(struct watch *w, const char *list)
{
	struct span rest = span_of(list), word;
	struct buf path = BUF_INIT;

	while (span_next_token(&rest, ", \t\r\n", &word)) {
		if (span_equal_cstr(word, "none"))
			continue;
		buf_set(&path, word);
		watch_add(w, buf_cstr(&path));
	}
	buf_free(&path);
}

int
watch_fd(const struct watch *w)
{
	return w->fd;
}

static void
add_name(struct watch *w, const char *dir, const char *name)
{
	int wd = inotify_add_watch(w->fd, dir, EVENTS);

	if (wd < 0) {
		log_warn("cannot watch %s: %m", dir);
		return;
	}
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].wd == wd && !strcmp(w->v[i].name, name))
			return;
	if (w->n == WATCH_NAMES_MAX) {
		log_warn("too many files to watch; changes of %s/%s are not "
			 "noticed",
			 dir, name);
		return;
	}
	w->v[w->n++] = (struct name){wd, mem_strdup(name)};
}

/* The target of a symbolic link, or false: it is none. */
static bool
read_link(const char *path, struct buf *target)
{
	char text[PATH_MAX];
	ssize_t n = readlink(path, text, sizeof(text));

	if (n <= 0 || (size_t)n >= sizeof(text))
		return false;
	buf_set(target, span_make(text, (size_t)n));
	return true;
}

static bool
is_end(const struct buf *rest)
{
	return strspn(buf_cstr(rest), "/") == rest->len;
}

/*
 * Go down path, component by component; a link is watched and replaced by its
 * target. rest is what is left to go.
 */
static void
follow(struct watch *w, struct buf *rest)
{
	struct buf done = BUF_INIT, full = BUF_INIT, link = BUF_INIT;
	int links = 0;

	buf_set_cstr(&done, rest->len && rest->data[0] == '/' ? "/" : "./");
	while (links < LINKS_MAX) {
		struct span all = buf_span(rest), word;
		struct buf name = BUF_INIT, after = BUF_INIT;

		if (!span_next_token(&all, "/", &word))
			break;
		buf_set(&name, word);
		buf_set(&after, all);
		buf_set(&full, buf_span(&done));
		buf_append_span(&full, word);
		if (read_link(buf_cstr(&full), &link)) {
			links++;
			add_name(w, buf_cstr(&done), buf_cstr(&name));
			if (link.data[0] == '/')
				buf_set_cstr(&done, "/");
			buf_append_byte(&link, '/');
			buf_append_span(&link, buf_span(&after));
			buf_set(rest, buf_span(&link));
		} else {
			/* The last one, or one that is not there yet. */
			if (is_end(&after) || access(buf_cstr(&full), F_OK)) {
				add_name(w, buf_cstr(&done), buf_cstr(&name));
				buf_reset(&after);
			}
			buf_append_byte(&full, '/');
			buf_set(&done, buf_span(&full));
			buf_set(rest, buf_span(&after));
		}
		buf_free(&name);
		buf_free(&after);
	}
	buf_free(&done);
	buf_free(&full);
	buf_free(&link);
}

void
watch_add(struct watch *w, const char *path)
{
	struct buf rest = BUF_INIT;

	if (w->fd < 0)
		return;
	buf_set_cstr(&rest, path);
	follow(w, &rest);
	buf_free(&rest);
}

static bool
concerns(const struct watch *w, const struct inotify_event *e)
{
	if (e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_Q_OVERFLOW))
		return true;
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].wd == e->wd && e->len &&
		    !strcmp(w->v[i].name, e->name))
			return true;
	return false;
}

bool
watch_changed(struct watch *w)
{
	_Alignas(struct inotify_event) char data[8192];
	bool changed = false;
	ssize_t n;

	while (w->fd >= 0 && (n = read(w->fd, data, sizeof(data))) > 0) {
		const char *p = data, *end = data + n;

		while (p + sizeof(struct inotify_event) <= end) {
			const struct inotify_event *e = (const void *)p;

			changed |= concerns(w, e);
			p += sizeof(*e) + e->len;
		}
	}
	return changed;
}
