/* SPDX-License-Identifier: MIT */
#include <sys/file.h>

#include "lib/base/htab.h"
#include "lib/queue/queue_receipt.h"
#include "lib/queue/queue_sys.h"
#include "tests/unit/queue_fixture.h"

enum { MAX_MESSAGES = 8 };

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

/* An agent that has a slot, as after MSG_RECEIPTS. */
static struct receipt_slot
agent_slot(struct queue *q, int64_t *slot)
{
	struct receipt_slot s = RECEIPT_SLOT_NONE;

	*slot = queue_receipt_slot(q);
	assert_true(*slot >= 0);
	receipt_slot_take(&s, dup(queue_receipt_fd(q)), *slot);
	return s;
}

static struct receipt
receipt_for(const struct queue_message *m, uint32_t i)
{
	struct receipt r = {
	    .index = i, .file = m->segment, .offset = m->place.offset};

	snprintf(r.id, sizeof(r.id), "%s", m->id);
	return r;
}

static void
test_record(void **state)
{
	struct receipt r = {.id = "12345ABCDE1234",
			    .index = 7,
			    .file = UINT64_C(0xFEDCBA9876543210),
			    .offset = 4711},
		       back;
	char raw[RECEIPT_BYTES];

	(void)state;
	receipt_encode(&r, raw);
	assert_true(receipt_decode(raw, &back));
	assert_string_equal(back.id, r.id);
	assert_int_equal(back.index, 7);
	assert_true(back.file == r.file);
	assert_int_equal(back.offset, 4711);
	for (size_t i = 0; i < sizeof(raw); i++) {
		raw[i] ^= 0x10;
		assert_false(receipt_decode(raw, &back));
		raw[i] ^= 0x10;
	}
	memset(raw, 0, sizeof(raw));
	assert_false(receipt_decode(raw, &back));
	/* An id that would lead out of the queue directory. */
	snprintf(r.id, sizeof(r.id), "../../etc/passwd");
	receipt_encode(&r, raw);
	assert_false(receipt_decode(raw, &back));
}

static void
test_slots(void **state)
{
	struct queue *q = queue_own();
	int64_t a = queue_receipt_slot(q), b = queue_receipt_slot(q);

	(void)state;
	assert_int_equal(a, 0);
	assert_int_equal(b, RECEIPT_SLOT);
	queue_receipt_slot_free(q, a);
	assert_int_equal(queue_receipt_slot(q), a);
	queue_receipt_slot_free(q, -1);
	queue_disown(q);
}

/* A ring: what is old is overwritten, nothing outside the slot is. */
static void
test_ring(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();
	int64_t slot, other;
	struct receipt_slot s = agent_slot(q, &slot), t = agent_slot(q, &other);
	struct receipt r, many[RECEIPTS_IN_SLOT + 5];
	struct queue_message *m;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 3, NULL));
	assert_int_equal(scan_all(q), 1);
	m = got[0];
	r = receipt_for(m, 2);
	receipt_write(&t, &r, 1, true);
	r = receipt_for(m, 0);
	receipt_write(&s, &r, 1, true);
	assert_true(queue_receipt_has(q, slot, m, 0));
	assert_false(queue_receipt_has(q, slot, m, 1));
	assert_false(queue_receipt_has(q, slot, m, 2));
	r = receipt_for(m, 1);
	for (int i = 0; i < RECEIPTS_IN_SLOT; i++)
		receipt_write(&s, &r, 1, true);
	assert_false(queue_receipt_has(q, slot, m, 0));
	assert_true(queue_receipt_has(q, slot, m, 1));
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		many[i] = receipt_for(m, 0);
	receipt_write(&s, many, sizeof(many) / sizeof(many[0]), true);
	assert_true(queue_receipt_has(q, slot, m, 0));
	assert_true(queue_receipt_has(q, other, m, 2));
	assert_false(queue_receipt_has(q, -1, m, 2));
	/* No slot: nothing is written, and nobody is hurt. */
	receipt_slot_close(&s);
	receipt_write(&s, &r, 1, true);
	receipt_slot_close(&t);
	queue_release(q, m);
	queue_disown(q);
	queue_writer_free(w);
}

static unsigned writes, syncs;

static int
count_hook(enum queue_sys_op op)
{
	writes += op == QUEUE_SYS_WRITE;
	syncs += op == QUEUE_SYS_SYNC;
	return 0;
}

/* In a rush the sync is the owner's: the receipt is there for all who read
 * the file, by one write. */
static void
test_shared_sync(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();
	int64_t slot;
	struct receipt_slot s = agent_slot(q, &slot);
	struct receipt r;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 2, NULL));
	assert_int_equal(scan_all(q), 1);
	queue_sys_hook = count_hook;
	for (unsigned shared = 0; shared < 2; shared++) {
		writes = syncs = 0;
		r = receipt_for(got[0], shared);
		receipt_write(&s, &r, 1, !shared);
		assert_int_equal(writes, 1);
		assert_int_equal(syncs, !shared);
		assert_true(queue_receipt_has(q, slot, got[0], shared));
	}
	queue_sys_hook = NULL;
	receipt_slot_close(&s);
	queue_release(q, got[0]);
	queue_disown(q);
	queue_writer_free(w);
}

/* The owner dies after the receipt and before the report. */
static void
test_next_owner(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char first[QUEUE_ID_MAX], second[QUEUE_ID_MAX];
	struct queue *q = queue_own();
	struct receipt_slot s;
	struct queue_message *m;
	struct receipt r;
	int64_t slot;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 2, first));
	assert_true(fixture_commit(w, "more\n", 5, 2, second));
	assert_int_equal(scan_all(q), 2);
	m = strcmp(got[0]->id, first) ? got[1] : got[0];
	s = agent_slot(q, &slot);
	r = receipt_for(m, 1);
	receipt_write(&s, &r, 1, true);
	r.index = 99; /* no such recipient */
	receipt_write(&s, &r, 1, true);
	receipt_slot_close(&s);
	for (int life = 0; life < 2; life++) {
		queue_release(q, got[0]);
		queue_release(q, got[1]);
		queue_disown(q);
		q = queue_own();
		/* It is in the journal now, and the file is gone. */
		assert_int_equal(fixture_count("journal"), 2);
		assert_int_equal(scan_all(q), 2);
		for (size_t i = 0; i < 2; i++) {
			bool is_first = !strcmp(got[i]->id, first);

			assert_int_equal(got[i]->state[0], RCPT_OPEN);
			assert_int_equal(got[i]->state[1],
					 is_first ? RCPT_DONE : RCPT_OPEN);
		}
	}
	queue_release(q, got[0]);
	queue_release(q, got[1]);
	queue_disown(q);
	queue_writer_free(w);
}

/* The same for a message that was deferred before. */
static void
test_deferred(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char id[QUEUE_ID_MAX];
	struct queue *q = queue_own();
	struct receipt_slot s;
	struct queue_message *m;
	struct receipt r;
	int64_t slot;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 2, id));
	assert_int_equal(scan_all(q), 1);
	assert_true(queue_defer(q, got[0], 5000000));
	assert_true(queue_sync(q));
	m = queue_open(q, "deferred", id);
	assert_non_null(m);
	s = agent_slot(q, &slot);
	r = receipt_for(m, 0);
	assert_true(r.file == 0);
	receipt_write(&s, &r, 1, true);
	assert_true(queue_receipt_has(q, slot, m, 0));
	receipt_slot_close(&s);
	queue_release(q, m);
	queue_disown(q);
	q = queue_own();
	m = queue_open(q, "deferred", id);
	assert_non_null(m);
	assert_int_equal(m->state[0], RCPT_DONE);
	assert_int_equal(m->state[1], RCPT_OPEN);
	queue_release(q, m);
	queue_disown(q);
	queue_writer_free(w);
}

/* An agent of an owner that died delivers still, and writes its receipt to
 * the old file after the new owner has read it. */
static void
test_orphan(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct queue *q = queue_own();
	struct receipt_slot s;
	struct receipt r;
	int64_t slot;

	(void)state;
	assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	assert_int_equal(scan_all(q), 1);
	s = agent_slot(q, &slot);
	r = receipt_for(got[0], 0);
	queue_release(q, got[0]);
	queue_disown(q);
	q = queue_own();
	/* Its file stays while somebody can write to it. */
	assert_int_equal(fixture_count("journal"), 3);
	assert_int_equal(scan_all(q), 1);
	assert_int_equal(got[0]->state[0], RCPT_OPEN);
	receipt_write(&s, &r, 1, true);
	queue_receipt_apply(q, got[0]);
	assert_int_equal(got[0]->state[0], RCPT_DONE);
	queue_finish(q, got[0]);
	queue_receipt_settle(q);
	assert_int_equal(fixture_count("journal"), 3);
	receipt_slot_close(&s);
	queue_receipt_settle(q);
	assert_int_equal(fixture_count("journal"), 2);
	queue_disown(q);
	queue_writer_free(w);
}

/* A pickup that starts asks whether its predecessor took a file. */
static void
test_submitted(void **state)
{
	struct queue_writer *w = queue_writer_new("incoming");
	struct envelope env = ENVELOPE_INIT;
	struct why why = WHY_INIT;
	struct queue_entry *e = queue_begin_as(w, "12345ABCDE1234", &why);
	struct htab *ids;
	struct queue *q;

	(void)state;
	assert_non_null(e);
	assert_string_equal(queue_entry_id(e), "12345ABCDE1234");
	env.sender = mem_strdup("");
	env.uid = 1000;
	envelope_add_rcpt(&env)->address = mem_strdup("to@example.org");
	assert_true(queue_commit(e, &env, &why));
	assert_true(fixture_commit(w, "text\n", 5, 1, NULL));
	ids = queue_submitted();
	assert_true(queue_was_taken(ids, "12345ABCDE1234", 1000));
	assert_false(queue_was_taken(ids, "12345ABCDE1234", 1001));
	assert_false(queue_was_taken(ids, "12345ABCDE1235", 1000));
	htab_free(ids, free);
	/* Also when it was finished, and when it was deferred. */
	q = queue_own();
	assert_int_equal(scan_all(q), 2);
	queue_finish(q, got[0]);
	queue_finish(q, got[1]);
	assert_true(queue_sync(q));
	ids = queue_submitted();
	assert_true(queue_was_taken(ids, "12345ABCDE1234", 1000));
	htab_free(ids, free);
	e = queue_begin_as(w, "12345ABCDE9999", &why);
	assert_true(queue_commit(e, &env, &why));
	queue_rescan_incoming(q);
	assert_int_equal(scan_all(q), 1);
	assert_true(queue_defer(q, got[0], 5000000));
	assert_true(queue_sync(q));
	ids = htab_new();
	assert_true(queue_was_taken(ids, "12345ABCDE9999", 1000));
	assert_false(queue_was_taken(ids, "12345ABCDE9999", 1));
	htab_free(ids, free);
	queue_disown(q);
	queue_writer_free(w);
	envelope_free(&env);
}

int
main(void)
{
#define TEST(fn) \
	cmocka_unit_test_setup_teardown(fn, fixture_setup, fixture_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_record),     TEST(test_slots),       TEST(test_ring),
	    TEST(test_next_owner), TEST(test_deferred),    TEST(test_orphan),
	    TEST(test_submitted),  TEST(test_shared_sync),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
