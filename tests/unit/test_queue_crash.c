/* SPDX-License-Identifier: MIT */
/* Writer and owner of the queue stop, or fail, at every operation in turn: what
 * was acknowledged is there, once. */
#include <sys/mman.h>
#include <sys/wait.h>

#include "lib/sys/io.h"
#include "tests/unit/queue_owner_fixture.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_crash_points),
	    cmocka_unit_test(test_disk_full),
	    cmocka_unit_test(test_io_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
