/* SPDX-License-Identifier: MIT */
/* The owner of the queue: what it finds, takes, defers and moves. */
#include <sys/wait.h>

#include "lib/ipc/proto.h"
#include "lib/sys/io.h"
#include "tests/unit/queue_owner_fixture.h"

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

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_life),         TEST(test_one_owner), TEST(test_take),
	    TEST(test_in_delivery),  TEST(test_defer),     TEST(test_defer_big),
	    TEST(test_super),        TEST(test_list),      TEST(test_scan_ends),
	    TEST(test_hold_records), TEST(test_race),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
