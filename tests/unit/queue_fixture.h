/* SPDX-License-Identifier: MIT */
/* queue_fixture - a queue directory of its own for each test of lib/queue. */
#ifndef TESTS_UNIT_QUEUE_FIXTURE_H
#define TESTS_UNIT_QUEUE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those first */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/queue/image.h"
#include "lib/queue/queue.h"
#include "lib/queue/queue_sys.h"

static struct conf fixture_conf;
static char fixture_dir[64];

static inline void
fixture_quiet(enum log_level level, const char *process, const char *line)
{
	(void)process;
	if (level > LEVEL_ERROR || getenv("TEST_VERBOSE"))
		fprintf(stderr, "log: %s\n", line);
}

static inline int
fixture_setup(void **state)
{
	(void)state;
	fixture_conf.hash_queue_names = "deferred, defer";
	fixture_conf.hash_queue_depth = 1;
	fixture_conf.mail_owner = "root";
	fixture_conf.setgid_group = "root";
	fixture_conf.enable_long_queue_ids = false;
	fixture_conf.queue_minfree = 0;
	fixture_conf.queue_service_name = "qmgr";
	conf = &fixture_conf;
	log_set_sink(fixture_quiet);
	queue_sys_hook = NULL;
	snprintf(fixture_dir, sizeof(fixture_dir), "%s", "/tmp/queue.XXXXXX");
	if (!mkdtemp(fixture_dir) || chdir(fixture_dir) < 0)
		return -1;
	return queue_make_directories() ? 0 : -1;
}

static inline int
fixture_remove(const char *path, const struct stat *st, int type,
	       struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline int
fixture_teardown(void **state)
{
	(void)state;
	queue_sys_hook = NULL;
	if (chdir("/") < 0)
		return -1;
	return nftw(fixture_dir, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Commit a message to n recipients; id gets its id. */
static inline bool
fixture_commit(struct queue_writer *w, const char *text, size_t len, size_t n,
	       char id[QUEUE_ID_MAX])
{
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *e = queue_begin(w, &why);
	bool ok = false;

	if (e) {
		env.sender = mem_strdup("from@example.com");
		for (size_t i = 0; i < n; i++)
			envelope_add_rcpt(&env)->address =
			    mem_sprintf("to%zu@example.org", i);
		if (id)
			memcpy(id, queue_entry_id(e), QUEUE_ID_MAX);
		queue_write(e, span_make(text, len));
		ok = queue_commit(e, &env, &why);
	}
	envelope_free(&env);
	why_free(&why);
	return ok;
}

/* Files below a directory of the queue. */
static int fixture_count_result;

static inline int
fixture_count_one(const char *path, const struct stat *st, int type,
		  struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)ftw;
	fixture_count_result += type == FTW_F;
	return 0;
}

static inline int
fixture_count(const char *dir)
{
	fixture_count_result = 0;
	nftw(dir, fixture_count_one, 16, FTW_PHYS);
	return fixture_count_result;
}

/* The path of the only file in a directory (not below it); free(). */
static inline char *
fixture_only_file(const char *dir)
{
	char cmd[128], line[256] = "";
	FILE *f;

	snprintf(cmd, sizeof(cmd), "find %s -type f", dir);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	line[strcspn(line, "\n")] = '\0';
	return mem_strdup(line);
}

#endif
