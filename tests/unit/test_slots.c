/* SPDX-License-Identifier: MIT */
/* lib/service/service_slots: who is idle, across processes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/service/service_slots.h"

static void
test_slots(void **state)
{
	struct slots *s = slots_new(3);
	int status;
	pid_t pid;

	(void)state;
	assert_false(slots_any_idle(s));
	assert_int_equal(slots_take(s), 0);
	assert_int_equal(slots_take(s), 1);
	assert_int_equal(slots_take(s), 2);
	assert_int_equal(slots_take(s), -1);
	assert_true(slots_any_idle(s));
	/* What a worker says, the parent sees, and a dead worker's slot is
	 * free whatever it said last. */
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 3; i++)
			atomic_store(&s->slot[i].state, SLOT_BUSY);
		atomic_store(&s->slot[1].served, 7);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_false(slots_any_idle(s));
	assert_int_equal(atomic_load(&s->slot[1].served), 7);
	slots_give_back(s, 1);
	assert_false(slots_any_idle(s));
	assert_int_equal(slots_take(s), 1);
	assert_int_equal(atomic_load(&s->slot[1].served), 0);
	assert_true(slots_any_idle(s));
	munmap(s, sizeof(*s) + 3 * sizeof(struct slot));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_slots),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
