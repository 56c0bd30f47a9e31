/* SPDX-License-Identifier: MIT */
#include "smtpd/postscreen_tests.h"

#include "lib/base/num.h"

bool
screen_action_parse(const char *text, enum screen_action *out)
{
	static const char *const names[] = {"ignore", "enforce", "drop"};

	for (int i = 0; i < 3; i++) {
		if (span_equal_cstr_nocase(span_of(text), names[i])) {
			*out = (enum screen_action)i;
			return true;
		}
	}
	return false;
}

/* Entries of older versions have fewer fields. */
static bool
parse_entry(struct span entry, int64_t expires[SCREEN_TESTS])
{
	struct span field;
	int n = 0;

	for (int i = 0; i < SCREEN_TESTS; i++)
		expires[i] = SCREEN_NEVER;
	while (span_next_token(&entry, ";", &field)) {
		if (n == SCREEN_TESTS ||
		    !num_parse(field, 0, INT64_MAX / 2, &expires[n]))
			return false;
		n++;
	}
	return n > 0;
}

bool
screen_tests_begin(struct screen_tests *t, struct span entry, unsigned enabled,
		   int64_t now)
{
	bool ok;

	*t = (struct screen_tests){.is_new = false};
	ok = parse_entry(entry, t->expires);
	for (int i = 0; i < SCREEN_TESTS; i++) {
		if (!ok)
			t->expires[i] = SCREEN_NEVER;
		if (!(enabled & 1U << i))
			continue;
		if (t->expires[i] <= now)
			t->todo |= 1U << i;
		if (t->expires[i] <= SCREEN_NEVER)
			t->is_new = true;
	}
	return ok || entry.len == 0;
}

bool
screen_tests_known(const struct screen_tests *t)
{
	return t->todo == 0 && !t->failed;
}

unsigned
screen_tests_due(const struct screen_tests *t, unsigned which)
{
	return t->todo & ~t->passed & ~t->skipped & which;
}

void
screen_test_pass(struct screen_tests *t, enum screen_test which, int64_t until)
{
	t->passed |= 1U << which;
	if (t->expires[which] < until)
		t->expires[which] = until;
}

void
screen_tests_pass_all(struct screen_tests *t, int64_t until)
{
	for (int i = 0; i < SCREEN_TESTS; i++)
		screen_test_pass(t, (enum screen_test)i, until);
}

void
screen_test_fail(struct screen_tests *t, enum screen_test which,
		 enum screen_action action)
{
	if (action == ACTION_IGNORE && (TESTS_DEEP & 1U << which))
		t->skipped |= 1U << which;
	else
		t->failed = true;
}

bool
screen_tests_complete(const struct screen_tests *t)
{
	return !t->failed && screen_tests_due(t, ~0U) == 0;
}

bool
screen_tests_changed(const struct screen_tests *t)
{
	return !t->failed && t->passed;
}

/* The earliest of the results that count, without those of skipped tests. */
static int64_t
earliest(const struct screen_tests *t)
{
	int64_t when = 0;

	for (int i = 0; i < SCREEN_TESTS; i++) {
		int64_t at = t->expires[i];

		if (!(t->skipped & 1U << i) && at > SCREEN_NEVER &&
		    (when == 0 || at < when))
			when = at;
	}
	return when ? when : SCREEN_NEVER;
}

void
screen_tests_format(const struct screen_tests *t, struct buf *out)
{
	int64_t other = earliest(t);

	for (int i = 0; i < SCREEN_TESTS; i++) {
		int64_t at = t->skipped & 1U << i ? other : t->expires[i];

		buf_printf(out, "%s%lld", i ? ";" : "", (long long)at);
	}
}

int64_t
screen_entry_expires(struct span entry)
{
	int64_t expires[SCREEN_TESTS], last = 0;

	if (!parse_entry(entry, expires))
		return 0;
	for (int i = 0; i < SCREEN_TESTS; i++) {
		if (expires[i] > last)
			last = expires[i];
	}
	return last;
}
