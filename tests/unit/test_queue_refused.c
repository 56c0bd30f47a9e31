/* SPDX-License-Identifier: MIT */
/* The owner of the queue on a disk that refuses. */
#include "lib/sys/io.h"
#include "tests/unit/queue_owner_fixture.h"

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

#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_defer_refused),
	    TEST(test_full_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
