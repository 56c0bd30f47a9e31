/* SPDX-License-Identifier: MIT */
#include "lib/queue/queue_journal.h"
#include "lib/queue/queue_state.h"
#include "lib/sys/io.h"
#include "tests/unit/queue_fixture.h"

/* A segment with one message, as bytes. */
static void
make_image(struct buf *out)
{
	struct queue_writer *w = queue_writer_new("incoming");
	char *path;

	assert_true(fixture_commit(w, "hello\nworld\n", 12, 2, NULL));
	queue_writer_free(w);
	path = fixture_only_file("incoming");
	buf_reset(out);
	assert_true(io_read_file(path, 1 << 20, out));
	unlink(path);
	free(path);
}

static int
temp_with(const char *data, size_t len)
{
	int fd = open("scratch", O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_true(io_pwrite_all(fd, data, len, 0));
	return fd;
}

static void
test_read(void **state)
{
	struct buf b = BUF_INIT;
	struct queue_place p;
	struct envelope env;
	char id[QUEUE_ID_MAX], text[12];
	int fd;

	(void)state;
	make_image(&b);
	fd = temp_with(b.data, b.len);
	assert_int_equal(queue_read_image(fd, 0, true, &p, id, &env),
			 QUEUE_READ_OK);
	assert_int_equal(p.length, b.len);
	assert_int_equal(p.content_length, 12);
	assert_true(io_pread_all(fd, text, 12, p.content_offset));
	assert_memory_equal(text, "hello\nworld\n", 12);
	assert_true(queue_id_valid(span_of(id)));
	assert_int_equal(env.size, 14);
	assert_int_equal(env.n_rcpts, 2);
	envelope_free(&env);
	assert_int_equal(
	    queue_read_image(fd, (int64_t)b.len, true, &p, id, &env),
	    QUEUE_READ_END);
	close(fd);
	buf_free(&b);
}

/* A write that was cut off at any byte is not a message. */
static void
test_torn(void **state)
{
	struct buf b = BUF_INIT;
	struct envelope env;

	(void)state;
	make_image(&b);
	for (size_t n = 0; n < b.len; n++) {
		int fd = temp_with(b.data, n);

		assert_int_equal(
		    queue_read_image(fd, 0, true, NULL, NULL, &env),
		    QUEUE_READ_END);
		/* The same as zeros at the end: metadata came first. */
		assert_int_equal(ftruncate(fd, (off_t)b.len), 0);
		if (b.data[n])
			assert_int_not_equal(
			    queue_read_image(fd, 0, true, NULL, NULL, &env),
			    QUEUE_READ_OK);
		else if (queue_read_image(fd, 0, true, NULL, NULL, &env) ==
			 QUEUE_READ_OK)
			envelope_free(&env);
		close(fd);
	}
	buf_free(&b);
}

/* No changed bit goes unnoticed; no image is believed at another place. */
static void
test_damage(void **state)
{
	struct buf b = BUF_INIT, moved = BUF_INIT;
	struct envelope env;
	int fd;

	(void)state;
	make_image(&b);
	for (size_t n = 0; n < b.len; n++) {
		b.data[n] ^= 0x10;
		fd = temp_with(b.data, b.len);
		assert_int_not_equal(
		    queue_read_image(fd, 0, true, NULL, NULL, &env),
		    QUEUE_READ_OK);
		close(fd);
		b.data[n] ^= 0x10;
	}
	buf_append(&moved, "12345678", 8);
	buf_append_span(&moved, buf_span(&b));
	fd = temp_with(moved.data, moved.len);
	assert_int_equal(queue_read_image(fd, 8, true, NULL, NULL, &env),
			 QUEUE_READ_CORRUPT);
	close(fd);
	buf_free(&b);
	buf_free(&moved);
}

static void
count_record(void *arg, const struct journal_record *r)
{
	uint64_t *n = arg;

	assert_int_equal(r->offset, *n * 100);
	(*n)++;
}

/* A journal that was cut off at any byte has the records before. */
static void
test_journal_torn(void **state)
{
	struct journal j;
	struct buf b = BUF_INIT;
	uint64_t n = 0, number;

	(void)state;
	assert_true(journal_open(&j, NULL, NULL));
	for (int i = 0; i < 5; i++) {
		struct journal_record r = {JOURNAL_DONE, 0, 7, i * 100};

		journal_add(&j, &r);
		if (i == 2)
			assert_true(journal_flush(&j));
	}
	assert_true(journal_flush(&j));
	journal_close(&j);
	assert_true(io_read_file("journal/log", 1 << 20, &b));
	assert_int_equal(b.len, 24 + 5 * 32);
	for (size_t len = 0; len <= b.len; len++) {
		n = 0;
		assert_int_equal(journal_parse(span_make(b.data, len), &number,
					       count_record, &n),
				 len < 24 ? 0 : (len - 24) / 32);
	}
	for (size_t i = 24; i < b.len; i++) {
		b.data[i] ^= 1;
		n = 0;
		assert_int_equal(
		    journal_parse(buf_span(&b), &number, count_record, &n),
		    (i - 24) / 32);
		b.data[i] ^= 1;
	}
	buf_free(&b);
}

/* After a torn tail it goes on where the good records end. */
static void
test_journal_continues(void **state)
{
	struct journal_record r = {JOURNAL_DONE, 0, 7, 500};
	struct journal j;
	uint64_t n = 0;

	(void)state;
	assert_int_equal(truncate("journal/log", 24 + 5 * 32 - 1), 0);
	assert_true(journal_open(&j, count_record, &n));
	assert_int_equal(n, 4);
	r.offset = 400;
	journal_add(&j, &r);
	assert_true(journal_flush(&j));
	journal_close(&j);
	n = 0;
	assert_true(journal_read(count_record, &n));
	assert_int_equal(n, 5);
}

static void
test_state_records(void **state)
{
	struct queue_state s, r;
	struct buf b = BUF_INIT;
	int64_t end = 100, got;
	int fd = temp_with("", 0);

	(void)state;
	queue_state_init(&s, 3);
	s.state[1] = RCPT_DONE;
	s.attempts = 1;
	assert_true(queue_state_write(fd, &s, &end));
	s.last = mem_calloc(3, sizeof(*s.last));
	why_set_code(&s.last[0], 451, "4.4.1", "no route to %s", "host");
	s.last[0].diag_type = "smtp";
	buf_append_cstr(&s.last[0].mta, "mx.example");
	s.attempts = 2;
	s.expire = true;
	s.next = 77;
	assert_true(queue_state_write(fd, &s, &end));
	queue_state_init(&r, 3);
	assert_true(queue_state_read(fd, 100, &r, &got));
	assert_int_equal(got, end);
	assert_int_equal(r.attempts, 2);
	assert_true(r.expire);
	assert_int_equal(r.next, 77);
	assert_int_equal(r.state[1], RCPT_DONE);
	assert_string_equal(buf_cstr(&r.last[0].text), "no route to host");
	assert_string_equal(r.last[0].diag_type, "smtp");
	assert_string_equal(buf_cstr(&r.last[0].mta), "mx.example");
	assert_false(why_is_set(&r.last[1]));
	queue_state_free(&r);
	/* A list of finished recipients on top; the one that names a recipient
	 * that is not there counts for nothing. */
	got = end;
	assert_true(queue_state_write_done(fd, (uint32_t[]){0, 2}, 2, &got));
	assert_true(queue_state_write_done(fd, (uint32_t[]){3}, 1, &got));
	queue_state_init(&r, 3);
	assert_true(queue_state_read(fd, 100, &r, &got));
	assert_int_equal(r.state[0] + r.state[1] + r.state[2], 3);
	assert_int_equal(r.attempts, 2);
	assert_int_equal(got, end + QUEUE_STATE_HEADER + 1 + 8);
	queue_state_free(&r);
	/* The second torn at any byte: the first counts. */
	for (int64_t cut = end - 1; cut >= 100; cut--) {
		assert_int_equal(ftruncate(fd, cut), 0);
		queue_state_init(&r, 3);
		assert_true(queue_state_read(fd, 100, &r, &got));
		assert_true(r.attempts <= 1);
		assert_true(got <= cut);
		queue_state_free(&r);
	}
	queue_state_free(&s);
	buf_free(&b);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_read),
	    cmocka_unit_test(test_torn),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_journal_torn),
	    cmocka_unit_test(test_journal_continues),
	    cmocka_unit_test(test_state_records),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
