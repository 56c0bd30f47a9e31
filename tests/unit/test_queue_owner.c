/* SPDX-License-Identifier: MIT */
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/ipc/proto.h"
#include "lib/sys/io.h"
#include "tests/unit/queue_fixture.h"

enum { MAX_MESSAGES = 64 };

static struct queue_message *got[MAX_MESSAGES];
static size_t n_got;

static void
take_one(void *arg, struct queue_message *m)
{
	(void)arg;
	assert_true(n_got < MAX_MESSAGES);
	got[n_got++] = m;
}

static size_t
scan_all(struct queue *q)
{
	n_got = 0;
	while (queue_scan_incoming(q, 3, take_one, NULL))
		;
	return n_got;
}

static char found_id[MAX_MESSAGES][QUEUE_ID_MAX];
static size_t n_found;

static void
note_id(void *arg, const char *id, int64_t next)
{
	(void)arg;
	(void)next;
	assert_true(n_found < MAX_MESSAGES);
	snprintf(found_id[n_found++], QUEUE_ID_MAX, "%s", id);
}

static size_t
scan_files(struct queue *q, const char *name)
{
	n_found = 0;
	while (queue_scan_deferred(q, name, 2, note_id, NULL))
		;
	return n_found;
}

static void
test_life(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q;

	(void)state;
	for (int i = 0; i < 7; i++)
		assert_true(fixture_commit(w, "text\n", 5, 2, NULL));
	q = queue_own();
	assert_non_null(q);
	assert_int_equal(scan_all(q), 7);
	assert_int_equal(queue_scan_incoming(q, 9, take_one, NULL), 0);
	for (size_t i = 0; i < 7; i++) {
		assert_int_equal(got[i]->env.n_rcpts, 2);
		assert_int_equal(got[i]->state[1], RCPT_OPEN);
		queue_rcpt_done(q, got[i], 0);
		queue_rcpt_done(q, got[i], 1);
		queue_finish(q, got[i]);
	}
	assert_true(queue_unsynced(q));
	assert_true(queue_sync(q));
	/* Its writer lives: the segment stays, and is not scanned again. */
	assert_int_equal(fixture_count("incoming"), 1);
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 0);
	queue_disown(q);
	q = queue_own();
	assert_non_null(q);
	assert_int_equal(scan_all(q), 0);
	queue_writer_free(w);
	queue_disown(q);
	q = queue_own();
	queue_sync(q);
	assert_int_equal(fixture_count("incoming"), 0);
	queue_disown(q);
}

static void
test_one_owner(void **state)
{
	struct queue *q = queue_own();

	(void)state;
	assert_non_null(q);
	assert_null(queue_own());
	assert_int_equal(errno, EAGAIN);
	queue_disown(q);
	q = queue_own();
	assert_non_null(q);
	queue_disown(q);
}

/* Named by a writer: once, and not again by a scan. */
/* What an agent has from an owner that died, the next owner leaves alone. */
static void
test_in_delivery(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX], other[QUEUE_ID_MAX];
	struct queue *q = queue_own();
	struct queue_message *m;
	int agent;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	assert_true(fixture_commit(w, "more\n", 5, 1, other));
	assert_int_equal(scan_all(q), 2);
	m = !strcmp(got[0]->id, id) ? got[0] : got[1];
	queue_mark_in_delivery(m, true);
	assert_false(queue_is_in_delivery(m)); /* it is our own */
	agent = dup(m->place.fd);
	assert_true(agent >= 0);
	queue_release(q, got[0]);
	queue_release(q, got[1]);
	queue_disown(q);

	q = queue_own();
	assert_int_equal(scan_all(q), 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(queue_is_in_delivery(got[i]),
				 !strcmp(got[i]->id, id));
		queue_release(q, got[i]);
	}
	close(agent);
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 2);
	for (int i = 0; i < 2; i++) {
		assert_false(queue_is_in_delivery(got[i]));
		queue_mark_in_delivery(got[i], true);
		queue_mark_in_delivery(got[i], false);
		queue_finish(q, got[i]);
	}
	queue_disown(q);
	queue_writer_free(w);
}

static void
test_take(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX], *path;
	struct queue *q = queue_own();
	struct queue_message *m;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	path = fixture_only_file("incoming");
	m = queue_take(q, id, path, 0);
	assert_non_null(m);
	assert_string_equal(m->id, id);
	assert_null(queue_take(q, id, path, 0));
	assert_null(queue_take(q, id, path, 7));
	assert_null(queue_take(q, id, "incoming/../../etc/passwd", 0));
	assert_null(queue_take(q, id, "incoming/0123456789ABCDEF", 0));
	assert_int_equal(scan_all(q), 0);
	queue_release(q, m);
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 1);
	queue_finish(q, got[0]);
	assert_null(queue_take(q, id, path, 0));
	queue_disown(q);
	queue_writer_free(w);
	free(path);
}

static void
test_defer(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();
	struct queue_message *m;
	char id[QUEUE_ID_MAX];
	struct stat st;
	struct buf path = BUF_INIT;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 3, id));
	queue_writer_free(w);
	assert_int_equal(scan_all(q), 1);
	m = got[0];
	queue_rcpt_done(q, m, 1);
	m->last = mem_calloc(3, sizeof(*m->last));
	why_set(&m->last[0], "4.4.1", "no luck");
	m->attempts = 1;
	assert_true(queue_defer(q, m, 2000000000000000));
	assert_true(queue_sync(q));
	assert_int_equal(fixture_count("incoming"), 0);
	assert_int_equal(scan_files(q, "deferred"), 1);
	assert_string_equal(found_id[0], id);
	queue_path("deferred", id, &path);
	assert_int_equal(stat(buf_cstr(&path), &st), 0);
	assert_int_equal(st.st_mtim.tv_sec, 2000000000);
	m = queue_open(q, "deferred", id);
	assert_non_null(m);
	assert_null(queue_open(q, "deferred", id));
	assert_int_equal(m->state[0], RCPT_OPEN);
	assert_int_equal(m->state[1], RCPT_DONE);
	assert_int_equal(m->attempts, 1);
	assert_string_equal(buf_cstr(&m->last[0].text), "no luck");
	assert_int_equal(m->place.content_length, 5);
	/* Again, and again until the file is rewritten. */
	for (int i = 0; i < 400; i++) {
		m->attempts++;
		why_set(&m->last[0], "4.4.1", "%0500d", i);
		if (i == 10)
			queue_rcpt_done(q, m, 0);
		assert_true(queue_defer(q, m, 3000000000000000));
		m = queue_open(q, "deferred", id);
		assert_non_null(m);
		assert_int_equal(m->attempts, i + 2);
	}
	assert_int_equal(m->state[0], RCPT_DONE);
	assert_int_equal(m->state[2], RCPT_OPEN);
	assert_int_equal(stat(buf_cstr(&path), &st), 0);
	assert_true(st.st_size < 80000);
	/* Recipients done are on disk after a sync, without more. */
	queue_rcpt_done(q, m, 2);
	assert_true(queue_sync(q));
	queue_release(q, m);
	queue_disown(q);
	q = queue_own();
	m = queue_open(q, "deferred", id);
	assert_int_equal(m->state[2], RCPT_DONE);
	queue_finish(q, m);
	assert_int_equal(fixture_count("deferred"), 0);
	queue_disown(q);
	buf_free(&path);
}

/* A big message becomes a file by renaming. */
static void
test_defer_big(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	size_t len = 300000;
	char *text = calloc(1, len), id[QUEUE_ID_MAX];
	struct queue *q = queue_own();
	struct queue_message *m;
	struct stat before, after;
	struct buf path = BUF_INIT;

	(void)state;
	assert_true(fixture_commit(w, text, len, 2, id));
	assert_int_equal(scan_all(q), 1);
	assert_int_equal(stat(got[0]->place.path, &before), 0);
	queue_rcpt_done(q, got[0], 1);
	assert_true(queue_defer(q, got[0], io_now()));
	assert_true(queue_sync(q));
	queue_path("deferred", id, &path);
	assert_int_equal(stat(buf_cstr(&path), &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	assert_int_equal(fixture_count("incoming"), 0);
	m = queue_open(q, "deferred", id);
	assert_non_null(m);
	assert_int_equal(m->state[1], RCPT_DONE);
	assert_true(queue_hold(q, m));
	assert_int_equal(scan_files(q, "deferred"), 0);
	assert_int_equal(scan_files(q, "hold"), 1);
	assert_int_equal(queue_super(q, SUPER_RELEASE, "hold", id), 1);
	assert_int_equal(scan_files(q, "deferred"), 1);
	queue_disown(q);
	queue_writer_free(w);
	buf_free(&path);
	free(text);
}

/* Damage in the middle of a segment: one message is saved in corrupt/, the
 * others are delivered. */
static void
test_damage(void **state)
{
	(void)state;
	for (int at = 0; at < 420; at += 7) {
		struct queue_writer *w = queue_writer_new("incoming");
		struct queue *q;
		char *path, byte;
		int fd;

		for (int i = 0; i < 4; i++)
			assert_true(
			    fixture_commit(w, "0123456789\n", 11, 1, NULL));
		queue_writer_free(w);
		path = fixture_only_file("incoming");
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x55;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		q = queue_own();
		assert_int_equal(scan_all(q), 3);
		for (size_t i = 0; i < 3; i++)
			queue_finish(q, got[i]);
		assert_true(queue_sync(q));
		assert_int_equal(fixture_count("incoming"), 0);
		assert_int_equal(fixture_count("corrupt"), 1);
		queue_disown(q);
		free(path);
		path = fixture_only_file("corrupt");
		unlink(path);
		free(path);
	}
}

/* What cannot be saved stays where it is. */
static void
test_damage_kept(void **state)
{
	(void)state;
	for (int at = 5; at < 400; at += 60) {
		struct queue_writer *w = queue_writer_new("incoming");
		struct queue *q;
		char *path, byte = 0x55;
		int fd;

		for (int i = 0; i < 3; i++)
			assert_true(
			    fixture_commit(w, "0123456789\n", 11, 1, NULL));
		queue_writer_free(w);
		path = fixture_only_file("incoming");
		fd = open(path, O_RDWR);
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		free(path);
		assert_int_equal(rmdir("corrupt"), 0);
		q = queue_own();
		scan_all(q);
		for (size_t i = 0; i < n_got; i++)
			queue_finish(q, got[i]);
		queue_sync(q);
		queue_disown(q);
		assert_int_equal(fixture_count("incoming"), 1);
		assert_int_equal(mkdir("corrupt", 0700), 0);
		q = queue_own();
		scan_all(q);
		for (size_t i = 0; i < n_got; i++)
			queue_finish(q, got[i]);
		assert_true(queue_sync(q));
		assert_int_equal(fixture_count("incoming"), 0);
		queue_disown(q);
		path = fixture_only_file("corrupt");
		unlink(path);
		free(path);
	}
}

/* What a dying writer leaves at the end was never acknowledged. */
static void
test_torn_tail(void **state)
{
	(void)state;
	for (int cut = 1; cut < 240; cut++) {
		struct queue_writer *w = queue_writer_new("incoming");
		struct queue *q;
		struct stat st;
		char *path;

		for (int i = 0; i < 2; i++)
			assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
		queue_writer_free(w);
		path = fixture_only_file("incoming");
		assert_int_equal(stat(path, &st), 0);
		if (cut >= st.st_size / 2)
			cut = (int)(st.st_size / 2);
		assert_int_equal(truncate(path, st.st_size - cut), 0);
		q = queue_own();
		assert_int_equal(scan_all(q), 1);
		queue_finish(q, got[0]);
		assert_true(queue_sync(q));
		assert_int_equal(fixture_count("incoming"), 0);
		assert_int_equal(fixture_count("corrupt"), 0);
		queue_disown(q);
		free(path);
		if (cut == st.st_size / 2)
			break;
	}
}

/* A message that was copied and not yet journalled: the copy counts. */
static void
test_both(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX], cmd[128];
	struct buf path = BUF_INIT;
	struct queue *q;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, id));
	queue_writer_free(w);
	assert_int_equal(system("mkdir keep; cp incoming/* keep/"), 0);
	q = queue_own();
	assert_int_equal(scan_all(q), 1);
	queue_defer(q, got[0], io_now());
	queue_sync(q);
	queue_disown(q);
	assert_int_equal(fixture_count("incoming"), 0);
	unlink("journal/log");
	assert_int_equal(system("cp keep/* incoming/"), 0);
	q = queue_own();
	assert_int_equal(scan_all(q), 0);
	assert_int_equal(scan_files(q, "deferred"), 1);
	queue_sync(q);
	assert_int_equal(fixture_count("incoming"), 0);
	queue_disown(q);
	/* The copy is not whole: the original counts. */
	unlink("journal/log");
	assert_int_equal(system("cp keep/* incoming/"), 0);
	queue_path("deferred", id, &path);
	assert_int_equal(truncate(buf_cstr(&path), 100), 0);
	q = queue_own();
	assert_null(queue_open(q, "deferred", id));
	assert_int_equal(fixture_count("deferred"), 0);
	assert_int_equal(fixture_count("corrupt"), 0);
	assert_int_equal(scan_all(q), 1);
	queue_finish(q, got[0]);
	queue_disown(q);
	/* No original: what is there is kept for a human. */
	snprintf(cmd, sizeof(cmd), "echo garbage >%s", buf_cstr(&path));
	assert_int_equal(system(cmd), 0);
	q = queue_own();
	assert_null(queue_open(q, "deferred", id));
	assert_int_equal(fixture_count("corrupt"), 1);
	queue_disown(q);
	buf_free(&path);
}

/* The id is taken by another message: neither is lost. */
static void
test_clash(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX], cmd[256];
	struct buf path = BUF_INIT;
	struct queue *q = queue_own();

	(void)state;
	assert_true(fixture_commit(w, "one\n", 4, 1, NULL));
	assert_true(fixture_commit(w, "two\n", 4, 1, id));
	queue_writer_free(w);
	assert_int_equal(scan_all(q), 2);
	queue_defer(q, got[0], io_now());
	queue_sync(q);
	queue_path("deferred", id, &path);
	snprintf(cmd, sizeof(cmd),
		 "mkdir -p $(dirname %s); mv $(find deferred -type f) %s",
		 buf_cstr(&path), buf_cstr(&path));
	assert_int_equal(system(cmd), 0);
	assert_true(queue_defer(q, got[1], io_now()));
	queue_sync(q);
	assert_int_equal(fixture_count("deferred"), 2);
	assert_int_equal(
	    system("test $(cat $(find deferred -type f) | grep -ac "
		   "'one\\|two') = 2"),
	    0);
	queue_disown(q);
	buf_free(&path);
}

static void
test_super(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[6][QUEUE_ID_MAX];
	struct queue *q = queue_own();
	struct queue_message *m;

	(void)state;
	for (int i = 0; i < 6; i++)
		assert_true(fixture_commit(w, "text\n", 5, 2, id[i]));
	queue_writer_free(w);
	assert_int_equal(queue_super(q, SUPER_DELETE, NULL, id[0]), 1);
	assert_int_equal(queue_super(q, SUPER_DELETE, NULL, id[0]), 0);
	assert_int_equal(queue_super(q, SUPER_HOLD, "deferred", id[1]), 0);
	assert_int_equal(queue_super(q, SUPER_HOLD, "incoming", id[1]), 1);
	assert_int_equal(queue_super(q, SUPER_HOLD, NULL, id[1]), 0);
	assert_int_equal(queue_super(q, SUPER_RELEASE, NULL, id[2]), 0);
	assert_int_equal(queue_super(q, SUPER_EXPIRE, NULL, id[2]), 1);
	assert_int_equal(queue_super(q, SUPER_REQUEUE, NULL, id[3]), 1);
	assert_int_equal(queue_super(q, SUPER_EXPIRE, "hold", id[1]), 1);
	assert_int_equal(queue_super(q, SUPER_EXPIRE_RELEASE, "hold", id[1]),
			 1);
	assert_int_equal(queue_super(q, SUPER_DELETE, NULL, "NOSUCH"), 0);
	assert_int_equal(queue_super(q, SUPER_DELETE, NULL, "../x"), 0);
	assert_true(queue_sync(q));
	assert_int_equal(fixture_count("hold"), 0);
	assert_int_equal(fixture_count("deferred"), 2);
	assert_int_equal(fixture_count("maildrop"), 1);
	m = queue_open(q, "deferred", id[1]);
	assert_true(m->expire);
	assert_int_equal(queue_super(q, SUPER_DELETE, NULL, id[1]), -1);
	queue_release(q, m);
	assert_int_equal(queue_super(q, SUPER_REQUEUE, NULL, id[1]), 1);
	assert_int_equal(fixture_count("maildrop"), 2);
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 2);
	queue_release(q, got[0]);
	queue_release(q, got[1]);
	queue_disown(q);
}

struct list_result {
	int n;
	int open;
	char names[256];
};

static bool
list_one(void *arg, const struct queue_listing *l)
{
	struct list_result *r = arg;
	size_t used = strlen(r->names);

	r->n++;
	for (size_t i = 0; i < l->env->n_rcpts; i++)
		r->open += !l->state || l->state[i] == RCPT_OPEN;
	snprintf(r->names + used, sizeof(r->names) - used, "%c",
		 l->queue_name[0]);
	return true;
}

static void
test_list(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue_writer *drop = queue_writer_new("maildrop");
	struct list_result r = {0};
	char id[QUEUE_ID_MAX];
	struct queue *q;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(fixture_commit(w, "text\n", 5, 2, id));
	assert_true(fixture_commit(drop, "text\n", 5, 2, NULL));
	q = queue_own();
	assert_int_equal(scan_all(q), 4);
	queue_finish(q, got[0]);
	queue_hold(q, got[1]);
	queue_defer(q, got[2], io_now());
	queue_rcpt_done(q, got[3], 0);
	queue_sync(q);
	assert_true(queue_list(NULL, list_one, &r));
	assert_int_equal(r.n, 4);
	assert_string_equal(r.names, "midh");
	assert_int_equal(r.open, 7);
	r = (struct list_result){0};
	assert_true(queue_list(got[3]->id, list_one, &r));
	assert_string_equal(r.names, "i");
	r = (struct list_result){0};
	assert_true(queue_list("ABC", list_one, &r));
	assert_int_equal(r.n, 0);
	queue_release(q, got[3]);
	queue_disown(q);
	queue_writer_free(w);
	queue_writer_free(drop);
}

static void
test_repair(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(fixture_commit(w, "text\n", 5, 2, NULL));
	assert_int_equal(scan_all(q), 4);
	for (int i = 0; i < 4; i++)
		queue_defer(q, got[i], io_now());
	queue_disown(q);
	fixture_conf.hash_queue_depth = 2;
	assert_int_equal(rmdir("saved"), 0);
	assert_true(queue_repair());
	assert_int_equal(access("saved", F_OK), 0);
	q = queue_own();
	assert_int_equal(scan_files(q, "deferred"), 4);
	for (int i = 0; i < 4; i++) {
		struct queue_message *m =
		    queue_open(q, "deferred", found_id[i]);

		assert_non_null(m);
		queue_finish(q, m);
	}
	queue_disown(q);
	queue_writer_free(w);
}

/* ---- writers and owner at the same time ---- */

enum { RACE_WRITERS = 4, RACE_MESSAGES = 60 };

static size_t raced;

static void
finish_one(void *arg, struct queue_message *m)
{
	raced++;
	queue_finish(arg, m);
}

/* Many short-lived segments, so that creation meets removal. */
static void
race_writer(void)
{
	for (int i = 0; i < RACE_MESSAGES; i++) {
		struct queue_writer *w = queue_writer_new("incoming");

		for (int k = 0; k <= i % 3; k++)
			if (!fixture_commit(w, "text\n", 5, 1, NULL))
				_exit(1);
		queue_writer_free(w);
	}
	_exit(0);
}

static void
test_race(void **state)
{
	struct queue *q = queue_own();
	int status, left = RACE_WRITERS;
	size_t expected = 0;

	(void)state;
	for (int i = 0; i < RACE_MESSAGES; i++)
		expected += (size_t)RACE_WRITERS * (size_t)(i % 3 + 1);
	for (int i = 0; i < RACE_WRITERS; i++)
		if (fork() == 0)
			race_writer();
	raced = 0;
	while (left) {
		while (waitpid(-1, &status, WNOHANG) > 0) {
			assert_int_equal(status, 0);
			left--;
		}
		queue_rescan_incoming(q);
		while (queue_scan_incoming(q, 50, finish_one, q))
			;
		assert_true(queue_sync(q));
	}
	queue_rescan_incoming(q);
	while (queue_scan_incoming(q, 50, finish_one, q))
		;
	assert_int_equal(raced, expected);
	queue_disown(q);
	q = queue_own();
	queue_sync(q);
	assert_int_equal(fixture_count("incoming"), 0);
	queue_disown(q);
}

/* ---- a disk that refuses ---- */

static enum queue_sys_op refused_op;
static int refused;

static int
refuse_hook(enum queue_sys_op op)
{
	if (op != refused_op)
		return 0;
	refused++;
	return ENOSPC;
}

/* What cannot be deferred waits nevertheless: nobody tries it all the time. */
static void
test_defer_refused(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_true(fixture_commit(w, "text\n", 5, 2, NULL));
	q = queue_own();
	assert_int_equal(scan_all(q), 4);
	refused_op = QUEUE_SYS_CREATE;
	queue_sys_hook = refuse_hook;
	queue_rcpt_done(q, got[0], 1);
	assert_false(queue_defer(q, got[0], io_now() + 3600 * 1000000LL));
	assert_false(queue_defer(q, got[1], io_now() - 1000000));
	assert_false(queue_hold(q, got[2]));
	queue_release(q, got[3]);
	queue_sys_hook = NULL;
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 2);
	assert_int_equal(got[0]->env.n_rcpts, 2);
	queue_release(q, got[0]);
	queue_release(q, got[1]);
	queue_disown(q);
	/* The next owner knows of no delay, but of what was done. */
	q = queue_own();
	assert_int_equal(scan_all(q), 4);
	assert_int_equal(got[0]->state[1], RCPT_DONE);
	for (size_t i = 0; i < 4; i++)
		queue_release(q, got[i]);
	queue_disown(q);
	queue_writer_free(w);
}

static size_t n_given_back;

static void
give_back(void *arg, struct queue_message *m)
{
	assert_true(n_given_back++ < MAX_MESSAGES);
	queue_release(arg, m);
}

/* A pass ends, even when each message is given back at once. */
static void
test_scan_ends(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q;

	(void)state;
	for (int i = 0; i < 7; i++)
		assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	q = queue_own();
	for (size_t pass = 1; pass < 3; pass++) {
		while (queue_scan_incoming(q, 3, give_back, q))
			;
		assert_int_equal(n_given_back, 7 * pass);
		queue_rescan_incoming(q);
	}
	queue_disown(q);
	queue_writer_free(w);
}

static bool refuse_all_writes;

static int
full_hook(enum queue_sys_op op)
{
	return refuse_all_writes && op == QUEUE_SYS_WRITE ? ENOSPC : 0;
}

/* Delivered mail makes room even when the journal has none. */
static void
test_full_makes_room(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	queue_writer_free(w);
	w = queue_writer_new("incoming");
	assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	queue_writer_free(w);
	q = queue_own();
	assert_int_equal(scan_all(q), 2);
	queue_sys_hook = full_hook;
	refuse_all_writes = true;
	queue_finish(q, got[0]);
	assert_false(queue_sync(q));
	assert_int_equal(fixture_count("incoming"), 1);
	refuse_all_writes = false;
	assert_true(queue_sync(q));
	queue_release(q, got[1]);
	queue_disown(q);
	q = queue_own();
	assert_int_equal(scan_all(q), 1);
	queue_release(q, got[0]);
	queue_disown(q);
}

static int logged_errors;

static void
count_errors(enum log_level level, const char *process, const char *line)
{
	logged_errors += level >= LEVEL_ERROR;
	fixture_quiet(level, process, line);
}

/* Held with something to record: the record goes in before the name does. */
static void
test_hold_records(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q;
	struct queue_message *m;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 2, NULL));
	queue_writer_free(w);
	q = queue_own();
	assert_int_equal(scan_all(q), 1);
	assert_true(queue_defer(q, got[0], io_now()));
	assert_true(queue_sync(q));
	assert_int_equal(scan_files(q, "deferred"), 1);
	m = queue_open(q, "deferred", found_id[0]);
	assert_non_null(m);
	logged_errors = 0;
	log_set_sink(count_errors);
	queue_rcpt_done(q, m, 1);
	assert_true(queue_hold(q, m));
	assert_true(queue_sync(q));
	assert_int_equal(logged_errors, 0);
	queue_disown(q);
	q = queue_own();
	m = queue_open(q, "hold", found_id[0]);
	assert_non_null(m);
	assert_int_equal(m->state[0], RCPT_OPEN);
	assert_int_equal(m->state[1], RCPT_DONE);
	queue_release(q, m);
	queue_disown(q);
}

/* ---- stop or fail at every operation ---- */

/* What the child says before and after each step; shared memory. */
struct ledger {
	struct {
		char id[QUEUE_ID_MAX];
		bool committed;
		bool rcpt_synced; /* recipient 0 done, then synced */
		bool may_go;      /* finish was begun */
		bool gone;        /* finished, then synced */
	} m[MAX_MESSAGES];
	size_t n;
	bool ended;
};

static struct ledger *ledger;
static int countdown, fail_errno;

static int
stop_hook(enum queue_sys_op op)
{
	(void)op;
	if (--countdown > 0)
		return 0;
	if (fail_errno == 0)
		_exit(7);
	return countdown > -3 ? fail_errno : 0;
}

static size_t
ledger_find(const char *id)
{
	for (size_t i = 0; i < ledger->n; i++)
		if (strcmp(ledger->m[i].id, id) == 0)
			return i;
	/* Refused, or not acknowledged: such a one may be there. */
	return MAX_MESSAGES - 1;
}

static void
play_commit(struct queue_writer *w, size_t len)
{
	static char text[100000];
	size_t i = ledger->n;
	char id[QUEUE_ID_MAX];

	memset(text, 'a' + (int)i, sizeof(text));
	if (fixture_commit(w, text, len, 2, id)) {
		memcpy(ledger->m[i].id, id, sizeof(id));
		ledger->m[i].committed = true;
		ledger->n++;
	}
}

static void
play_sync(struct queue *q, bool *flag)
{
	if (queue_sync(q) && flag)
		*flag = true;
}

static void
play(void)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();

	if (!q)
		return;
	for (int i = 0; i < 6; i++)
		play_commit(w, i == 3 ? 90000 : 100);
	scan_all(q);
	for (size_t i = 0; i < n_got; i++) {
		size_t k = ledger_find(got[i]->id);

		queue_rcpt_done(q, got[i], 0);
		if (i == 1)
			play_sync(q, &ledger->m[k].rcpt_synced);
		switch (k) {
		case 0:
		case 5:
			ledger->m[k].may_go = true;
			queue_finish(q, got[i]);
			play_sync(q, &ledger->m[k].gone);
			break;
		case 1:
		case 3:
			queue_defer(q, got[i], io_now());
			play_sync(q, NULL);
			break;
		case 2:
			queue_hold(q, got[i]);
			break;
		default:
			queue_release(q, got[i]);
		}
	}
	play_sync(q, NULL);
	scan_files(q, "deferred");
	for (size_t i = 0; i < n_found; i++) {
		struct queue_message *m =
		    queue_open(q, "deferred", found_id[i]);
		size_t k = ledger_find(found_id[i]);

		if (!m)
			continue;
		if (i == 0) {
			ledger->m[k].may_go = true;
			queue_finish(q, m);
			play_sync(q, &ledger->m[k].gone);
		} else {
			m->attempts++;
			queue_rcpt_done(q, m, 0);
			queue_defer(q, m, io_now());
		}
	}
	queue_disown(q);
	queue_writer_free(w);
}

/* Count each message that a new owner finds. */
static void
check_after(void)
{
	struct queue *q = queue_own();
	int times[MAX_MESSAGES] = {0};
	static const char *const names[] = {"deferred", "hold"};

	assert_non_null(q);
	queue_sync(q);
	scan_all(q);
	for (size_t i = 0; i < n_got; i++) {
		size_t k = ledger_find(got[i]->id);

		times[k]++;
		if (ledger->m[k].rcpt_synced)
			assert_int_equal(got[i]->state[0], RCPT_DONE);
		queue_release(q, got[i]);
	}
	for (int n = 0; n < 2; n++) {
		scan_files(q, names[n]);
		for (size_t i = 0; i < n_found; i++) {
			struct queue_message *m =
			    queue_open(q, names[n], found_id[i]);
			size_t k = ledger_find(found_id[i]);

			if (!m)
				continue;
			times[k]++;
			if (ledger->m[k].rcpt_synced)
				assert_int_equal(m->state[0], RCPT_DONE);
			queue_release(q, m);
		}
	}
	for (size_t k = 0; k < ledger->n; k++) {
		if (times[k] > 1 || (times[k] == 0 && !ledger->m[k].may_go) ||
		    (times[k] && ledger->m[k].gone))
			fail_msg("message %zu: %d times", k, times[k]);
	}
	if (fixture_count("corrupt"))
		fail_msg("a file in %s/corrupt", fixture_dir);
	queue_disown(q);
}

/* One run that stops (error 0) or fails at operation n; false: it came to
 * its end before that. */
static bool
run_until(int n, int error)
{
	int status;
	pid_t pid;

	memset(ledger, 0, sizeof(*ledger));
	assert_int_equal(fixture_setup(NULL), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		countdown = n;
		fail_errno = error;
		queue_sys_hook = stop_hook;
		play();
		ledger->ended = countdown > 0;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 7);
	check_after();
	assert_int_equal(fixture_teardown(NULL), 0);
	return !ledger->ended;
}

static void
run_all(int error)
{
	int n = 1;

	ledger = mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(ledger != MAP_FAILED);
	while (run_until(n, error)) {
		n++;
		assert_true(n < 1000);
	}
	/* It has many steps, or this test tests nothing. */
	assert_true(n > 40);
	munmap(ledger, sizeof(*ledger));
}

static void
test_crash_points(void **state)
{
	(void)state;
	run_all(0);
}

static void
test_disk_full(void **state)
{
	(void)state;
	run_all(ENOSPC);
}

static void
test_io_errors(void **state)
{
	(void)state;
	run_all(EIO);
}

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_life),
	    TEST(test_one_owner),
	    TEST(test_take),
	    TEST(test_in_delivery),
	    TEST(test_defer),
	    TEST(test_defer_big),
	    TEST(test_damage),
	    TEST(test_damage_kept),
	    TEST(test_torn_tail),
	    TEST(test_both),
	    TEST(test_clash),
	    TEST(test_super),
	    TEST(test_list),
	    TEST(test_repair),
	    TEST(test_race),
	    TEST(test_defer_refused),
	    TEST(test_scan_ends),
	    TEST(test_full_makes_room),
	    TEST(test_hold_records),
	    cmocka_unit_test(test_crash_points),
	    cmocka_unit_test(test_disk_full),
	    cmocka_unit_test(test_io_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
