/* SPDX-License-Identifier: MIT */
#include "tests/unit/queue_fixture.h"

static void
fill(struct envelope *e)
{
	struct rcpt *r;

	e->sender = mem_strdup("a@b");
	e->full_name = mem_strdup("Full Name");
	e->arrival = 1234567890123456;
	e->size = 99;
	e->flags = ENVELOPE_HOLD | ENVELOPE_SMTPUTF8;
	e->encoding = mem_strdup("8bit");
	e->dsn_envid = mem_strdup("envid");
	e->dsn_ret = 2;
	e->client_name = mem_strdup("host.example");
	e->sasl_username = mem_strdup("");
	e->uid = 1000;
	r = envelope_add_rcpt(e);
	r->address = mem_strdup("x@y");
	r->orig_to = mem_strdup("X@y");
	r->transport = mem_strdup("smtp");
	r->nexthop = mem_strdup("y");
	r->dsn_notify = 5;
	r->class = 4;
	r = envelope_add_rcpt(e);
	r->address = mem_strdup("z");
	r->dsn_orcpt = mem_strdup("rfc822;z");
}

static void
test_round_trip(void **state)
{
	struct envelope e = ENVELOPE_INIT, d;
	struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	fill(&e);
	envelope_encode(&e, &a);
	assert_true(envelope_decode(buf_span(&a), &d));
	assert_string_equal(d.sender, "a@b");
	assert_string_equal(d.full_name, "Full Name");
	assert_int_equal(d.arrival, 1234567890123456);
	assert_int_equal(d.size, 99);
	assert_int_equal(d.flags, ENVELOPE_HOLD | ENVELOPE_SMTPUTF8);
	assert_int_equal(d.dsn_ret, 2);
	assert_int_equal(d.uid, 1000);
	assert_string_equal(d.sasl_username, "");
	assert_null(d.sasl_method);
	assert_null(d.filter);
	assert_int_equal(d.n_rcpts, 2);
	assert_string_equal(d.rcpts[0].orig_to, "X@y");
	assert_int_equal(d.rcpts[0].dsn_notify, 5);
	assert_int_equal(d.rcpts[0].class, 4);
	assert_null(d.rcpts[1].transport);
	assert_string_equal(d.rcpts[1].dsn_orcpt, "rfc822;z");
	envelope_encode(&d, &b);
	assert_true(span_equal(buf_span(&a), buf_span(&b)));
	envelope_free(&e);
	envelope_free(&d);
	buf_free(&a);
	buf_free(&b);
}

static void
test_null_sender(void **state)
{
	struct envelope e = ENVELOPE_INIT, d;
	struct buf a = BUF_INIT;

	(void)state;
	envelope_encode(&e, &a);
	assert_true(envelope_decode(buf_span(&a), &d));
	assert_string_equal(d.sender, "");
	assert_int_equal(d.uid, -1);
	assert_int_equal(d.n_rcpts, 0);
	envelope_free(&d);
	buf_free(&a);
}

/* Every truncation and one byte too many are refused; no single changed byte
 * is read as something that would be written differently. */
static void
test_damage(void **state)
{
	struct envelope e = ENVELOPE_INIT, d;
	struct buf a = BUF_INIT, b = BUF_INIT;

	(void)state;
	fill(&e);
	envelope_encode(&e, &a);
	for (size_t n = 0; n < a.len; n++)
		assert_false(envelope_decode(span_make(a.data, n), &d));
	buf_append_byte(&a, 0);
	assert_false(envelope_decode(buf_span(&a), &d));
	buf_truncate(&a, a.len - 1);
	for (size_t n = 0; n < a.len; n++) {
		for (int bit = 0; bit < 8; bit++) {
			a.data[n] ^= (char)(1 << bit);
			if (envelope_decode(buf_span(&a), &d)) {
				buf_reset(&b);
				envelope_encode(&d, &b);
				assert_true(
				    span_equal(buf_span(&a), buf_span(&b)));
				envelope_free(&d);
			}
			a.data[n] ^= (char)(1 << bit);
		}
	}
	envelope_free(&e);
	buf_free(&a);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_null_sender),
	    cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
