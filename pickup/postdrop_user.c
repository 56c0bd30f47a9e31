/* SPDX-License-Identifier: MIT */
#include "pickup/postdrop_user.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/strvec.h"
#include "lib/conf/conf.h"
#include "lib/sys/io.h"

enum {
	DEPTH_MAX = 8, /* files that name files */
	FILE_MAX = 1024 * 1024,
};

static bool list_has(struct span list, const char *user, int depth);

static bool
file_has(const char *path, const char *user, int depth)
{
	struct buf text = BUF_INIT;
	bool found;

	if (depth >= DEPTH_MAX || !io_read_file(path, FILE_MAX, &text)) {
		log_warn("authorized_submit_users: open %s: %m", path);
		buf_free(&text);
		return false;
	}
	found = list_has(buf_span(&text), user, depth + 1);
	buf_free(&text);
	return found;
}

static bool
table_has(const char *spec, const char *user)
{
	char *path = mem_sprintf("%s/postmap", conf->command_directory);
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		if (setregid(getgid(), getgid()) < 0 ||
		    setreuid(getuid(), getuid()) < 0)
			_exit(1);
		close(STDOUT_FILENO);
		execl(path, "postmap", "-q", user, spec, (char *)NULL);
		_exit(1);
	}
	free(path);
	if (pid < 0) {
		log_warn("fork: %m");
		return false;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status == 0;
}

/* The first element that matches decides. */
static bool
list_has(struct span list, const char *user, int depth)
{
	struct strvec words = STRVEC_INIT;
	bool found = false, matched = false;

	strvec_split(&words, list, ", \t\r\n", true);
	for (size_t i = 0; i < words.n && !matched; i++) {
		const char *word = words.v[i];
		bool negated = false;

		for (; *word == '!'; word++)
			negated = !negated;
		if (*word == '/')
			matched = file_has(word, user, depth);
		else if (!strncmp(word, "static:", 7))
			matched = true;
		else if (strchr(word, ':'))
			matched = table_has(word, user);
		else
			matched = !strcasecmp(word, user);
		found = matched && !negated;
	}
	strvec_free(&words);
	return found;
}

bool
drop_user_authorized(const char *list)
{
	struct passwd *pw;

	/* The default asks for no name. */
	if (!strncmp(list, "static:", 7) && !strpbrk(list, ", \t"))
		return true;
	pw = getpwuid(getuid());
	return list_has(span_of(list), pw ? pw->pw_name : "unknown", 0);
}
