/* SPDX-License-Identifier: MIT */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/maincf.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_walk.h"
#include "lib/sys/fs.h"
#include "lib/sys/io.h"
#include "lib/sys/proc.h"
#include "master/postmulti.h"

/* What all instances have in common: the primary's setting, or none. */
static const char *const shared[] = {
    "command_directory", "daemon_directory",  "meta_directory",
    "shlib_directory",   "mail_owner",        "setgid_group",
    "sendmail_path",     "mailq_path",        "newaliases_path",
    "html_directory",    "manpage_directory", "readme_directory",
    "sample_directory"};

enum { N_SHARED = sizeof(shared) / sizeof(shared[0]) };

/* ---- making ---- */

static bool
exists(const char *dir, const char *name)
{
	char *path = mem_sprintf("%s/%s", dir, name);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

static void
make_directory(const char *dir)
{
	struct stat st;

	if (!fs_mkdirs(dir, 0755) || stat(dir, &st) < 0)
		log_fatal("cannot create directory %s: %m", dir);
	if (!S_ISDIR(st.st_mode))
		log_fatal("cannot create directory %s: %s", dir,
			  strerror(ENOTDIR));
}

/* text is empty: there is no such file. */
static void
read_prototype(const char *name, struct buf *text)
{
	char *from = mem_sprintf("%s/%s.proto", conf->meta_directory, name);

	if (!io_read_file(from, MAINCF_FILE_MAX, text)) {
		if (errno == ENOENT)
			log_fatal("Missing %s prototype: %s", name, from);
		log_fatal("read %s: %m", from);
	}
	free(from);
}

static void
write_file(const char *dir, const char *name, const struct buf *text)
{
	char *to = mem_sprintf("%s/%s", dir, name);

	if (!fs_replace(to, text->data, text->len, 0644))
		log_fatal("write %s: %m", to);
	free(to);
}

static void
add(struct strvec *settings, const char *name, const char *value)
{
	char *text = mem_sprintf("%s=%s", name, value);

	strvec_add(settings, text);
	free(text);
}

/* What the primary's main.cf sets. */
static void
names_set(struct strvec *names)
{
	struct strvec errors = STRVEC_INIT;
	struct maincf m;

	if (!maincf_read(&m, conf_directory(), &errors, &errors))
		log_fatal("open %s/main.cf: %m", conf_directory());
	for (size_t i = 0; i < m.n; i++)
		strvec_add(names, m.v[i].name);
	maincf_free(&m);
	strvec_free(&errors);
}

static void
edit_main_cf(const struct instance *in)
{
	struct strvec set = STRVEC_INIT, unset = STRVEC_INIT;
	struct strvec names = STRVEC_INIT;

	names_set(&names);
	for (size_t i = 0; i < N_SHARED; i++) {
		if (strvec_has(&names, shared[i]))
			add(&set, shared[i], conf_get(shared[i]));
		else
			strvec_add(&unset, shared[i]);
	}
	add(&set, "queue_directory", in->queue_directory);
	add(&set, "data_directory", in->data_directory);
	/* Until the administrator decides, nobody sends or receives by it. */
	add(&set, "authorized_submit_users", "");
	add(&set, "master_service_disable", "inet");
	if (unset.n)
		postmulti_postconf(in->config_directory, "-#", &unset);
	postmulti_postconf(in->config_directory, "-e", &set);
	strvec_free(&names);
	strvec_free(&set);
	strvec_free(&unset);
}

void
instance_make(const struct instance *in)
{
	const char *dir = in->config_directory;
	char *postfix = mem_sprintf("%s/postfix", conf->command_directory);
	char *argv[] = {postfix, (char[]){"set-permissions"}, NULL};
	struct buf main_cf = BUF_INIT, master_cf = BUF_INIT;

	if (!exists(dir, "main.cf") || !exists(dir, "master.cf")) {
		umask(022);
		read_prototype("main.cf", &main_cf);
		read_prototype("master.cf", &master_cf);
		make_directory(dir);
		write_file(dir, "master.cf", &master_cf);
		write_file(dir, "main.cf", &main_cf);
		edit_main_cf(in);
		make_directory(in->queue_directory);
		if (!postmulti_run(in, argv))
			exit(1); /* it has said why */
	}
	buf_free(&main_cf);
	buf_free(&master_cf);
	free(postfix);
}

/* ---- removing ---- */

enum { HASH_DEPTH = 16 };

/*
 * Everything in a directory that is not root's: whoever owns it cannot lead
 * us elsewhere, because no name is looked up twice.
 */
static void
empty_directory(int parent, const char *name, int depth)
{
	int fd = openat(parent, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	while (d && (e = readdir(d)) != NULL) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0 || depth == 0)
			continue;
		empty_directory(fd, e->d_name, depth - 1);
		unlinkat(fd, e->d_name, AT_REMOVEDIR);
	}
	if (d)
		closedir(d);
	else if (fd >= 0)
		close(fd);
}

static void
remove_directory(int parent, const char *name, const char *path)
{
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		log_warn("%s is not removed: %m", path);
}

static void
remove_queue(const char *queue)
{
	/* What administrators may have kept something in is not emptied. */
	static const struct {
		const char *name;
		bool empty;
	} dirs[] = {
	    {"active", true},   {"bounce", true},   {"corrupt", false},
	    {"defer", true},    {"deferred", true}, {"flush", true},
	    {"hold", true},     {"incoming", true}, {"journal", true},
	    {"maildrop", true}, {"pid", true},      {"private", true},
	    {"public", true},   {"saved", false},   {"trace", true},
	};
	int fd = open(queue, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		char *path = mem_sprintf("%s/%s", queue, dirs[i].name);

		if (dirs[i].empty)
			empty_directory(fd, dirs[i].name, HASH_DEPTH);
		remove_directory(fd, dirs[i].name, path);
		free(path);
	}
	close(fd);
	remove_directory(AT_FDCWD, queue, queue);
}

/* The files that the mail system keeps there. */
static bool
is_our_data(const char *name)
{
	static const char *const names[] = {
	    "master.lock",       "prng_exch",        "verify_cache.",
	    "postscreen_cache.", "smtpd_tls_cache.", "smtp_tls_cache.",
	    "smtpd_scache.",     "smtp_scache.",     "lmtp_scache.",
	    "smtpd_tls_tickets"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t n = strlen(names[i]);

		if (names[i][n - 1] == '.' ? !strncmp(name, names[i], n)
					   : !strcmp(name, names[i]))
			return true;
	}
	return false;
}

static void
remove_data(const char *data)
{
	static const char *const folders[] = {"mta_sts", "tlsrpt"};
	int fd = open(data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)) != NULL)
		if (is_our_data(e->d_name))
			unlinkat(fd, e->d_name, 0);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		empty_directory(fd, folders[i], 1);
		unlinkat(fd, folders[i], AT_REMOVEDIR);
	}
	closedir(d);
	remove_directory(AT_FDCWD, data, data);
}

static bool
on_message(void *arg, const struct queue_listing *l)
{
	(void)l;
	*(bool *)arg = true;
	return false;
}

/* Whatever it is: it may be a message of another mail system. */
static bool
has_files(const char *queue_name)
{
	struct queue_walk *w = queue_walk_new(queue_name);
	const char *name, *path;
	bool found;

	errno = 0;
	found = queue_walk_next(w, &name, &path, NULL) ||
		(errno && errno != ENOENT);
	queue_walk_free(w);
	return found;
}

/* In a child, whose configuration is that of the instance. */
static bool
has_messages(const struct instance *in)
{
	struct conf_args args = {.program = "postmulti",
				 .config_dir = in->config_directory};
	bool found = false;

	conf_load(&args);
	if (chdir(in->queue_directory) < 0)
		return errno != ENOENT;
	/* incoming/ may have segments whose messages are all finished. */
	return !queue_list(NULL, on_message, &found) || found ||
	       has_files("maildrop") || has_files("active") ||
	       has_files("deferred") || has_files("hold");
}

static void
require_empty(const struct instance *in)
{
	int status = -1;
	pid_t pid = proc_fork();

	if (pid == 0)
		_exit(has_messages(in) ? 1 : 0);
	if (pid < 0 || !proc_wait(pid, false, -1, &status) || status != 0)
		log_fatal("Instance '%s' mail queue is not empty",
			  in->config_directory);
}

void
instance_remove(const struct instance *in)
{
	static const char *const files[] = {"main.cf", "master.cf"};

	require_empty(in);
	remove_queue(in->queue_directory);
	remove_data(in->data_directory);
	for (size_t i = 0; i < 2; i++) {
		char *path =
		    mem_sprintf("%s/%s", in->config_directory, files[i]);

		if (unlink(path) < 0 && errno != ENOENT)
			log_warn("%s is not removed: %m", path);
		free(path);
	}
	remove_directory(AT_FDCWD, in->config_directory, in->config_directory);
}
