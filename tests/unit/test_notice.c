/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base/mem.h"
#include "lib/dsn/notice.h"

static void
check_fold(const char *prefix, const char *text, const char *want)
{
	struct buf out = BUF_INIT;

	notice_fold(span_of(prefix), span_of(text), 20, 4, &out);
	assert_string_equal(buf_cstr(&out), want);
	buf_free(&out);
}

static void
test_fold(void **state)
{
	char *word = mem_alloc(3001);
	struct buf out = BUF_INIT;
	struct span rest, line;

	(void)state;
	check_fold("Name:", " short", "Name: short\n");
	check_fold("", "", "\n");
	/* Exactly the width stays, one more does not. */
	check_fold("Name:", " 0123456789 abc", "Name: 0123456789 abc\n");
	check_fold("Name:", " 0123456789 abcd", "Name: 0123456789\n    abcd\n");
	check_fold("N:", " a long text of many words and more",
		   "N: a long text of\n    many words and\n    more\n");
	check_fold("N:", " x 0123456789012345678901234 y",
		   "N: x\n    0123456789012345678901234\n    y\n");
	check_fold("N:", " trailing ", "N: trailing \n");
	check_fold("N:", " a\nb\tc", "N: a\nb\tc\n");
	/* A word may be longer than any line (RFC 5322: 998). */
	memset(word, 'x', 3000);
	notice_fold(span_of("N: "), span_of(word), 79, 4, &out);
	rest = buf_span(&out);
	while (span_next_token(&rest, "\n", &line))
		assert_true(line.len <= 998);
	free(word);
	buf_free(&out);
}

static void
test_date(void **state)
{
	struct buf out = BUF_INIT;

	(void)state;
	setenv("TZ", "UTC0", 1);
	tzset();
	notice_date(1700000000LL * 1000000, &out);
	assert_string_equal(buf_cstr(&out),
			    "Tue, 14 Nov 2023 22:13:20 +0000 (UTC)");
	buf_reset(&out);
	notice_date(1698969600LL * 1000000, &out);
	assert_string_equal(buf_cstr(&out),
			    "Fri, 3 Nov 2023 00:00:00 +0000 (UTC)");
	buf_free(&out);
}

static void
test_render(void **state)
{
	struct why why = WHY_INIT;
	struct notice_rcpt rcpt = {.address = "to@b.test",
				   .orig_to = "to@b.test",
				   .dsn_orcpt = "",
				   .why = &why};
	struct notice n = {
	    .kind = NOTICE_FAILURE,
	    .queue_id = "ABC",
	    .sender = "from@a.test",
	    .to = "from@a.test",
	    .daemon = "MAILER-DAEMON@a.test",
	    .hostname = "mx.a.test",
	    .mail_name = "Mailer",
	    .envid = "",
	    .now = 1700000000LL * 1000000,
	    .arrival = 1600000000LL * 1000000,
	    .rcpts = &rcpt,
	    .n_rcpts = 1,
	};
	struct buf out = BUF_INIT;

	(void)state;
	why_set(&why, "5.4.4", "unreachable");
	notice_begin(&n, &out);
	assert_non_null(strstr(buf_cstr(&out),
			       "\tboundary=\"ABC.1700000000/mx.a.test\"\n"));
	/* Same address: nothing was expanded. */
	assert_non_null(strstr(buf_cstr(&out), "\n<to@b.test>: unreachable\n"));
	assert_non_null(
	    strstr(buf_cstr(&out),
		   "Content-Type: message/delivery-status\n\n"
		   "Reporting-MTA: dns; mx.a.test\n"
		   "X-Mailer-Queue-ID: ABC\n"
		   "X-Mailer-Sender: rfc822; from@a.test\n"
		   "Arrival-Date: Sun, 13 Sep 2020 12:26:40 +0000 (UTC)\n\n"
		   "Final-Recipient: rfc822; to@b.test\n"
		   "Original-Recipient: rfc822;to@b.test\n"
		   "Action: failed\n"
		   "Status: 5.4.4\n"
		   "Diagnostic-Code: X-Mailer; unreachable\n\n"
		   "--ABC.1700000000/mx.a.test\n"
		   "Content-Description: Undelivered Message\n"
		   "Content-Type: message/rfc822\n"
		   "Content-Transfer-Encoding: 8bit\n\n"
		   "Return-Path: <from@a.test>\n"));
	buf_reset(&out);
	notice_end(&n, &out);
	assert_string_equal(buf_cstr(&out), "\n--ABC.1700000000/mx.a.test--\n");
	n.obsolete_from = true;
	n.seven_bit = true;
	buf_reset(&out);
	notice_begin(&n, &out);
	assert_non_null(strstr(buf_cstr(&out), "\nFrom: MAILER-DAEMON@a.test "
					       "(Mail Delivery System)\n"));
	assert_non_null(strstr(buf_cstr(&out),
			       "message/rfc822\nContent-Transfer-Encoding: "
			       "7bit\n\nReturn-Path"));
	buf_free(&out);
	why_free(&why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fold),
	    cmocka_unit_test(test_date),
	    cmocka_unit_test(test_render),
	};

	return cmocka_run_group_tests_name("notice", tests, NULL, NULL);
}
