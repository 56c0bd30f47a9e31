/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fts.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/mastercf.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "lib/sys/proc.h"
#include "master/postfix_rules.h"
#include "master/postfix_script.h"
#include "master/postfix_tables.h"

enum { COMPARE_MAX = 1024 * 1024 };

/* Below queue_directory. */
static const struct {
	const char *name;
	mode_t mode;
	bool root;  /* else mail_owner */
	bool group; /* setgid_group */
} directories[] = {
    {"active", 0700, false, false},   {"bounce", 0700, false, false},
    {"corrupt", 0700, false, false},  {"defer", 0700, false, false},
    {"deferred", 0700, false, false}, {"flush", 0700, false, false},
    {"hold", 0700, false, false},     {"incoming", 0700, false, false},
    {"private", 0700, false, false},  {"saved", 0700, false, false},
    {"trace", 0700, false, false},    {"pid", 0755, true, false},
    {"maildrop", 01730, false, true}, {"public", 02710, false, true},
};

enum { N_DIRECTORIES = sizeof(directories) / sizeof(directories[0]) };

/* Who things should belong to. */
struct owners {
	uid_t root, mail;
	gid_t group;
	bool check_group;
};

static void
find_owners(const struct postfix_options *o, struct owners *w)
{
	struct passwd *pw = getpwnam(conf->mail_owner);
	struct group *gr = getgrnam(conf->setgid_group);

	*w = (struct owners){0};
	if (o->unprivileged) {
		w->root = w->mail = geteuid();
		return;
	}
	w->mail = pw ? pw->pw_uid : 0;
	w->group = gr ? gr->gr_gid : 0;
	w->check_group = true;
}

static bool
set_owner(const char *path, size_t i, const struct owners *w)
{
	if (!w->check_group)
		return chmod(path, directories[i].mode) == 0;
	return lchown(path, directories[i].root ? w->root : w->mail,
		      directories[i].group ? w->group : 0) == 0 &&
	       chmod(path, directories[i].mode) == 0;
}

static bool
create_directories(const struct owners *w)
{
	bool ok = true;

	for (size_t i = 0; i < N_DIRECTORIES; i++) {
		const char *name = directories[i].name;
		struct stat st;

		if (stat(name, &st) == 0 && S_ISDIR(st.st_mode))
			continue;
		if (mkdir(name, 0700) < 0 || !set_owner(name, i, w)) {
			log_error("cannot create directory %s/%s: %m",
				  conf->queue_directory, name);
			ok = false;
		}
	}
	if (!ok)
		log_error("unable to create missing queue directories");
	return ok;
}

static bool
create_data_directory(const struct owners *w)
{
	const char *dir = conf->data_directory;
	struct stat st;

	if (stat(dir, &st) == 0)
		return true;
	if (fs_mkdirs(dir, 0755) && chmod(dir, 0700) == 0 &&
	    (!w->check_group ||
	     chown(dir, w->mail, getpwnam(conf->mail_owner)->pw_gid) == 0))
		return true;
	log_error("cannot create data_directory %s: %m", dir);
	return false;
}

static bool
check_master_cf(void)
{
	char *path = mem_sprintf("%s/master.cf", conf_directory());
	struct strvec errors = STRVEC_INIT;
	struct mastercf cf = {.v = NULL};
	bool ok = access(path, R_OK) == 0;

	if (!ok) {
		log_error("no %s file found", path);
	} else {
		ok = mastercf_read(path, &cf, &errors);
		for (size_t i = 0; i < errors.n; i++)
			log_error("%s", errors.v[i]);
		ok = ok && postfix_check_rules(path, &cf);
		mastercf_free(&cf);
	}
	strvec_free(&errors);
	free(path);
	return ok;
}

static void
warn_unless_owner(const char *path, const struct stat *st, uid_t uid,
		  const char *name)
{
	if (st->st_uid != uid)
		log_warn("not owned by %s: %s", name, path);
}

static void
check_one(const char *path, uid_t uid, const char *name, bool writable_too)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return;
	warn_unless_owner(path, &st, uid, name);
	if (writable_too && !S_ISLNK(st.st_mode) && (st.st_mode & 022))
		log_warn("group or other writable: %s", path);
}

static void
check_group(const char *path, const struct owners *w)
{
	struct stat st;

	if (w->check_group && stat(path, &st) == 0 && st.st_gid != w->group)
		log_warn("not owned by group %s: %s", conf->setgid_group, path);
}

/* Every file below dir: owned by root, and nobody else may write it. */
static void
check_tree(const char *dir, const struct owners *w)
{
	char *start = mem_sprintf("%s/.", dir);
	char *const roots[] = {start, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *e;

	while (fts && (e = fts_read(fts)) != NULL) {
		if (e->fts_info == FTS_DP || e->fts_info == FTS_NS)
			continue;
		check_one(e->fts_path, w->root, "root", e->fts_info != FTS_SL);
	}
	if (fts)
		fts_close(fts);
	free(start);
}

static void
check_queue_owners(const struct owners *w)
{
	for (size_t i = 0; i < N_DIRECTORIES; i++) {
		char *path = mem_sprintf("%s/%s", conf->queue_directory,
					 directories[i].name);

		if (directories[i].root)
			check_one(path, w->root, "root", true);
		else
			check_one(path, w->mail, conf->mail_owner, false);
		if (directories[i].group)
			check_group(path, w);
		free(path);
	}
}

static bool
files_differ(const char *a, const char *b)
{
	struct buf x = BUF_INIT, y = BUF_INIT;
	bool differ =
	    io_read_file(a, COMPARE_MAX, &x) &&
	    io_read_file(b, COMPARE_MAX, &y) &&
	    (x.len != y.len || memcmp(buf_cstr(&x), buf_cstr(&y), x.len) != 0);

	buf_free(&x);
	buf_free(&y);
	return differ;
}

/* Copies that chrooted services read: queue_directory/etc of /etc, ... */
static void
check_copies(const struct owners *w)
{
	char *const roots[] = {(char[]){"etc"}, (char[]){"lib"},
			       (char[]){"usr"}, NULL};
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *e;

	while (fts && (e = fts_read(fts)) != NULL) {
		char *copy, *original;

		if (e->fts_info != FTS_F)
			continue;
		copy = mem_sprintf("%s/%s", conf->queue_directory, e->fts_path);
		original = mem_sprintf("/%s", e->fts_path);
		if (strncmp(e->fts_path, "etc/", 4) == 0 &&
		    files_differ(copy, original))
			log_warn("%s and %s differ", copy, original);
		check_one(copy, w->root, "root", false);
		free(copy);
		free(original);
	}
	if (fts)
		fts_close(fts);
}

static void
check_commands(const struct owners *w)
{
	static const char *const names[] = {"postqueue", "postdrop"};

	for (size_t i = 0; i < 2; i++) {
		char *path =
		    mem_sprintf("%s/%s", conf->command_directory, names[i]);
		struct stat st;

		check_group(path, w);
		if (w->check_group && stat(path, &st) == 0 &&
		    (st.st_mode & 02111) != 02111)
			log_warn("not set-gid or not owner+group+world "
				 "executable: %s",
				 path);
		free(path);
	}
}

/* postconf knows about unused parameters, and says so. */
static bool
check_parameters(void)
{
	char *path = mem_sprintf("%s/postconf", conf->command_directory);
	char *argv[] = {path, NULL};
	struct proc_spec p = {
	    .path = path,
	    .argv = argv,
	    .in = -1,
	    .out = -1,
	    .err = STDERR_FILENO,
	};
	pid_t pid = proc_spawn(&p);
	int status = 0;

	if (pid > 0)
		proc_wait(pid, false, -1, &status);
	if (pid < 0 || status != 0)
		log_error("cannot execute %s!", path);
	free(path);
	return pid > 0 && status == 0;
}

/* What every daemon would refuse to start with; a child meets it. */
static bool
check_as_daemon(void)
{
	struct conf_args args = {
	    .program = "master",
	    .config_dir = conf_directory(),
	    .daemon = true,
	};
	int status;
	pid_t pid = proc_fork();

	if (pid == 0) {
		conf_load(&args);
		_exit(0);
	}
	return pid > 0 && proc_wait(pid, false, -1, &status) && status == 0;
}

bool
postfix_check(const struct postfix_options *o)
{
	struct owners w;
	char *top;

	find_owners(o, &w);
	if (!check_parameters() || !check_as_daemon() || !check_master_cf() ||
	    !create_directories(&w) || !create_data_directory(&w))
		return false;
	postfix_check_tables();
	top = mem_sprintf("%s/.", conf->queue_directory);
	check_one(top, w.root, "root", true);
	free(top);
	check_tree(conf_directory(), &w);
	if (!o->unprivileged)
		check_tree(conf->daemon_directory, &w);
	top = mem_sprintf("%s/.", conf->data_directory);
	check_one(top, w.mail, conf->mail_owner, false);
	free(top);
	check_queue_owners(&w);
	check_commands(&w);
	if (!o->unprivileged)
		check_copies(&w);
	return true;
}

int
postfix_set_permissions(const struct postfix_options *o)
{
	static const char *const setgid[] = {"postqueue", "postdrop"};
	struct owners w;
	int failures = 0;

	find_owners(o, &w);
	if (!create_directories(&w) || !create_data_directory(&w))
		return 1;
	for (size_t i = 0; i < N_DIRECTORIES; i++) {
		if (!set_owner(directories[i].name, i, &w)) {
			log_error("set owner of %s/%s: %m",
				  conf->queue_directory, directories[i].name);
			failures++;
		}
	}
	for (size_t i = 0; w.check_group && i < 2; i++) {
		char *path =
		    mem_sprintf("%s/%s", conf->command_directory, setgid[i]);

		if (access(path, F_OK) == 0 &&
		    (chown(path, w.root, w.group) < 0 ||
		     chmod(path, 02555) < 0)) {
			log_error("set owner of %s: %m", path);
			failures++;
		}
		free(path);
	}
	return failures ? 1 : 0;
}
