/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_sys.h"
#include "lib/queue/queue_walk.h"

struct directory {
	const char *name;
	mode_t mode;
	bool owner; /* mail_owner, else root */
	bool group; /* setgid_group, else root's */
};

/* As postfix set-permissions makes them. */
static const struct directory directories[] = {
    {"active", 0700, true, false},   {"bounce", 0700, true, false},
    {"corrupt", 0700, true, false},  {"defer", 0700, true, false},
    {"deferred", 0700, true, false}, {"flush", 0700, true, false},
    {"hold", 0700, true, false},     {"incoming", 0700, true, false},
    {"journal", 0700, true, false},  {"maildrop", 0730, true, true},
    {"pid", 0755, false, false},     {"private", 0700, true, false},
    {"public", 0710, true, true},    {"saved", 0700, true, false},
    {"trace", 0700, true, false},
};

enum { N_DIRECTORIES = sizeof(directories) / sizeof(directories[0]) };

static bool
make_directory(const struct directory *d, uid_t owner, gid_t group)
{
	if (mkdir(d->name, 0700) < 0) {
		if (errno == EEXIST)
			return true;
		log_error("create directory %s: %m", d->name);
		return false;
	}
	if ((geteuid() == 0 &&
	     chown(d->name, d->owner ? owner : 0, d->group ? group : 0) < 0) ||
	    chmod(d->name, d->mode) < 0) {
		log_error("set owner and mode of %s: %m", d->name);
		return false;
	}
	return true;
}

bool
queue_make_directories(void)
{
	uid_t owner = 0;
	gid_t group = 0;
	bool ok = true;

	if (geteuid() == 0) {
		const struct passwd *pw = getpwnam(conf->mail_owner);
		const struct group *gr = getgrnam(conf->setgid_group);

		if (!pw || !gr) {
			log_error("no user %s or no group %s", conf->mail_owner,
				  conf->setgid_group);
			return false;
		}
		owner = pw->pw_uid;
		group = gr->gr_gid;
	}
	for (size_t i = 0; i < N_DIRECTORIES; i++)
		ok &= make_directory(&directories[i], owner, group);
	return ok;
}

/* Files to be renamed, collected first so that the walk does not meet them
 * again; some at a time. */
enum { BATCH = 1000 };

static size_t
collect_misplaced(const char *queue_name, struct strvec *from)
{
	struct queue_walk *w = queue_walk_new(queue_name);
	struct buf want = BUF_INIT;
	const char *name, *path;

	while (from->n < BATCH && queue_walk_next(w, &name, &path, NULL)) {
		if (!queue_id_valid(span_of(name)))
			continue;
		queue_path(queue_name, name, &want);
		if (strcmp(buf_cstr(&want), path) != 0)
			strvec_add(from, path);
	}
	queue_walk_free(w);
	buf_free(&want);
	return from->n;
}

static bool
move_to_place(const char *queue_name, const char *path)
{
	const char *id = strrchr(path, '/') + 1;
	struct buf to = BUF_INIT;
	bool ok;

	queue_path(queue_name, id, &to);
	ok = queue_sys_make_parents(buf_cstr(&to)) &&
	     (renameat2(AT_FDCWD, path, AT_FDCWD, buf_cstr(&to),
			RENAME_NOREPLACE) == 0 ||
	      errno == ENOENT);
	if (!ok)
		log_error("rename %s to %s: %m", path, buf_cstr(&to));
	buf_free(&to);
	return ok;
}

bool
queue_repair(void)
{
	static const char *const queues[] = {"deferred", "hold", "corrupt"};
	bool ok = queue_make_directories();

	for (size_t i = 0; ok && i < sizeof(queues) / sizeof(queues[0]); i++) {
		struct strvec from = STRVEC_INIT;

		while (ok && collect_misplaced(queues[i], &from)) {
			for (size_t k = 0; ok && k < from.n; k++)
				ok = move_to_place(queues[i], from.v[k]);
			strvec_reset(&from);
		}
		strvec_free(&from);
	}
	return ok;
}
