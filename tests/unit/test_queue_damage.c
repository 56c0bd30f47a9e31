/* SPDX-License-Identifier: MIT */
/* The owner of the queue meets what is damaged, torn, there twice or in the
 * wrong place. */
#include "lib/sys/io.h"
#include "tests/unit/queue_owner_fixture.h"

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

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_damage), TEST(test_damage_kept), TEST(test_torn_tail),
	    TEST(test_both),   TEST(test_clash),       TEST(test_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
