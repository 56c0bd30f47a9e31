/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/service/rate_table.h"

enum { MINUTE = 60000000 };

static struct rate_key
key_of(const char *addr)
{
	struct rate_key key;

	assert_true(rate_key_parse(addr, 32, 64, &key));
	return key;
}

static void
test_keys(void **state)
{
	struct rate_key a = key_of("2001:db8:1:2:3::1"),
			b = key_of("2001:db8:1:2:4::9"),
			c = key_of("2001:db8:1:3::1");
	char text[RATE_KEY_TEXT];

	(void)state;
	assert_memory_equal(&a, &b, sizeof(a));
	assert_memory_not_equal(&a, &c, sizeof(a));
	rate_key_format(&a, text);
	assert_string_equal(text, "2001:db8:1:2::/64");
	a = key_of("192.0.2.1");
	rate_key_format(&a, text);
	assert_string_equal(text, "192.0.2.1");
	assert_true(rate_key_parse("192.0.2.255", 25, 128, &a));
	rate_key_format(&a, text);
	assert_string_equal(text, "192.0.2.128/25");
	assert_true(rate_key_parse("2001:db8::1", 32, 84, &a));
	rate_key_format(&a, text);
	assert_string_equal(text, "2001:db8::/84");
	assert_true(rate_key_parse("::1", 32, 128, &a));
	rate_key_format(&a, text);
	assert_string_equal(text, "::1");
	assert_false(rate_key_parse("unknown", 32, 64, &a));
}

static void
test_windows(void **state)
{
	struct rate_table *t = rate_table_new(64, 4, MINUTE);
	struct rate_key a = key_of("192.0.2.1"), b = key_of("192.0.2.2");

	(void)state;
	assert_int_equal(rate_add(t, &a, RATE_MAIL, 1), 1);
	assert_int_equal(rate_add(t, &a, RATE_MAIL, 2), 2);
	assert_int_equal(rate_add(t, &a, RATE_RCPT, 2), 1);
	assert_int_equal(rate_add(t, &b, RATE_MAIL, 2), 1);
	assert_int_equal(rate_get(t, &a, RATE_MAIL, 3), 2);
	assert_int_equal(rate_get(t, &a, RATE_MAIL, MINUTE + 2), 0);
	assert_int_equal(rate_add(t, &a, RATE_MAIL, MINUTE + 1), 3);
	assert_int_equal(rate_add(t, &a, RATE_MAIL, MINUTE + 2), 1);
}

static void
test_full_table_forgets_the_oldest(void **state)
{
	struct rate_table *t = rate_table_new(RATE_WAYS, 4, MINUTE);
	struct rate_peaks peaks;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char addr[32];
		struct rate_key key;

		snprintf(addr, sizeof(addr), "192.0.%d.%d", i / 250, i % 250);
		key = key_of(addr);
		assert_int_equal(rate_add(t, &key, RATE_CONNECT, i + 1), 1);
		assert_int_equal(rate_add(t, &key, RATE_CONNECT, i + 1), 2);
	}
	rate_take_peaks(t, &peaks);
	assert_int_equal(peaks.entries, RATE_WAYS);
	assert_int_equal(peaks.rate[RATE_CONNECT].value, 2);
	rate_take_peaks(t, &peaks);
	assert_int_equal(peaks.rate[RATE_CONNECT].value, 0);
}

static void
test_sweep(void **state)
{
	struct rate_table *t = rate_table_new(64, 4, MINUTE);
	struct rate_key a = key_of("192.0.2.1"), b = key_of("192.0.2.2");
	struct rate_peaks peaks;

	(void)state;
	rate_add(t, &a, RATE_MAIL, 1);
	rate_sweep(t, MINUTE + 2);
	rate_add(t, &b, RATE_MAIL, MINUTE + 2);
	rate_take_peaks(t, &peaks);
	assert_int_equal(peaks.entries, 1);
}

static void
test_connections(void **state)
{
	struct rate_table *t = rate_table_new(64, 4, MINUTE);
	struct rate_key a = key_of("192.0.2.1"), b = key_of("192.0.2.2");

	(void)state;
	assert_int_equal(rate_connected(t, 0, &a), 1);
	assert_int_equal(rate_connected(t, 1, &a), 2);
	assert_int_equal(rate_connected(t, 2, &b), 1);
	/* A slot has one client. */
	assert_int_equal(rate_connected(t, 1, &a), 2);
	rate_disconnected(t, 0);
	rate_disconnected(t, 0);
	assert_int_equal(rate_connected(t, 3, &a), 2);
	assert_int_equal(rate_connected(t, 4, &a), 0);
	assert_int_equal(rate_connected(t, -1, &a), 0);
}

/* Children that are killed in the middle leave a table that works, and no
 * connection once their slots were cleared. */
static void
test_killed_workers(void **state)
{
	enum { WORKERS = 4, ROUNDS = 40 };
	struct rate_table *t = rate_table_new(64, WORKERS + 1, MINUTE);
	struct rate_key a = key_of("192.0.2.1");

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		pid_t pid[WORKERS];

		for (int i = 0; i < WORKERS; i++) {
			pid[i] = fork();
			assert_true(pid[i] >= 0);
			while (pid[i] == 0) {
				rate_connected(t, i, &a);
				rate_add(t, &a, RATE_MAIL, 1);
			}
		}
		usleep(2000 + round * 100);
		for (int i = 0; i < WORKERS; i++) {
			kill(pid[i], SIGKILL);
			waitpid(pid[i], NULL, 0);
			rate_disconnected(t, i);
		}
		assert_int_equal(rate_connected(t, WORKERS, &a), 1);
		rate_disconnected(t, WORKERS);
		assert_true(rate_add(t, &a, RATE_MAIL, 1) > 0);
	}
}

static void
test_no_count_is_lost(void **state)
{
	enum { WORKERS = 4, EACH = 20000 };
	struct rate_table *t = rate_table_new(64, WORKERS, MINUTE);
	struct rate_key a = key_of("192.0.2.1");

	(void)state;
	for (int i = 0; i < WORKERS; i++) {
		if (fork() != 0)
			continue;
		for (int n = 0; n < EACH; n++)
			rate_add(t, &a, RATE_MAIL, 1);
		_exit(0);
	}
	while (wait(NULL) > 0)
		;
	assert_int_equal(rate_get(t, &a, RATE_MAIL, 1), WORKERS * EACH);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_keys),
	    cmocka_unit_test(test_windows),
	    cmocka_unit_test(test_full_table_forgets_the_oldest),
	    cmocka_unit_test(test_sweep),
	    cmocka_unit_test(test_connections),
	    cmocka_unit_test(test_killed_workers),
	    cmocka_unit_test(test_no_count_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
