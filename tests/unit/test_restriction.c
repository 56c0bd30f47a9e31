/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those */
#include <cmocka.h>

#include "lib/smtp/restriction.h"

static struct restriction_reader reader;

static bool
is_class(const char *word)
{
	return !strcmp(word, "a_class");
}

static void
open_list(const char *text, enum rule_list_kind kind)
{
	restriction_reader_free(&reader);
	restriction_reader_init(&reader, text, kind, is_class);
}

static void
expect(const char *name, const char *arg)
{
	assert_int_equal(restriction_next(&reader), RESTRICTION_OK);
	assert_string_equal(reader.row->name, name);
	if (arg)
		assert_string_equal(reader.arg, arg);
	else
		assert_null(reader.arg);
}

static void
test_list(void **state)
{
	(void)state;
	open_list("PERMIT_mynetworks, check_sender_access hash:/x a_class\n"
		  " inline:{{a = b, c}} reject_rbl_client x.test=127.0.0.[2;3],"
		  "sleep 5 reject",
		  LIST_CLIENT);
	expect("permit_mynetworks", NULL);
	expect("check_sender_access", "hash:/x");
	assert_int_equal(restriction_next(&reader), RESTRICTION_CLASS);
	assert_string_equal(reader.word, "a_class");
	expect("check_client_access", "inline:{{a = b, c}}");
	expect("reject_rbl_client", "x.test=127.0.0.[2;3]");
	assert_true(span_equal_cstr(reader.domain, "x.test"));
	assert_true(reader.has_filter);
	assert_true(dnsxl_filter_match(&reader.filter, "127.0.0.3"));
	expect("sleep", "5");
	expect("reject", NULL);
	assert_int_equal(restriction_next(&reader), RESTRICTION_END);
	open_list("", LIST_CLIENT);
	assert_int_equal(restriction_next(&reader), RESTRICTION_END);
}

static void
test_bare_table(void **state)
{
	static const struct {
		enum rule_list_kind kind;
		const char *name;
	} lists[] = {
	    {LIST_CLIENT, "check_client_access"},
	    {LIST_HELO, "check_helo_access"},
	    {LIST_SENDER, "check_sender_access"},
	    {LIST_RELAY, "check_recipient_access"},
	    {LIST_RECIPIENT, "check_recipient_access"},
	    {LIST_DATA, "check_recipient_access"},
	    {LIST_ETRN, "check_etrn_access"},
	    {LIST_REWRITE, "check_address_map"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		open_list("hash:/x", lists[i].kind);
		expect(lists[i].name, "hash:/x");
	}
}

static void
expect_error(const char *text, enum rule_list_kind kind, const char *error)
{
	open_list(text, kind);
	assert_int_equal(restriction_next(&reader), RESTRICTION_BAD);
	assert_string_equal(buf_cstr(&reader.error), error);
}

static void
test_errors(void **state)
{
	(void)state;
	expect_error("permitt", LIST_HELO,
		     "unknown smtpd restriction: \"permitt\"");
	expect_error("[::1]:25", LIST_HELO,
		     "unknown smtpd restriction: \"[::1]:25\"");
	expect_error("check_helo_mx_access permit", LIST_HELO,
		     "restriction check_helo_mx_access: bad argument "
		     "\"permit\": need maptype:mapname");
	expect_error("reject_rhsbl_sender", LIST_HELO,
		     "restriction reject_rhsbl_sender requires domain name "
		     "argument");
	expect_error("reject_rhsbl_sender x=1", LIST_HELO,
		     "restriction reject_rhsbl_sender x=1: RBL reply error: "
		     "need \".\" at \"1><\"");
	expect_error("sleep 1d", LIST_HELO,
		     "restriction sleep must be followed by number");
	expect_error("reject", LIST_REWRITE,
		     "unknown smtpd restriction: \"reject\"");
	expect_error("check_address_map x:y", LIST_CLIENT,
		     "unknown smtpd restriction: \"check_address_map\"");
}

/* bsearch() needs it. */
static void
test_every_name_is_found(void **state)
{
	static const char *const some[] = {
	    "check_address_map",
	    "defer",
	    "permit_mx_backup",
	    "reject_rbl",
	    "reject",
	    "warn_if_reject",
	    "sleep",
	    "permit",
	    "reject_unknown_client",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++)
		assert_string_equal(restriction_find(some[i])->name, some[i]);
	assert_non_null(restriction_find("Reject"));
	assert_null(restriction_find("rejec"));
	assert_null(restriction_find(""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_list),
	    cmocka_unit_test(test_bare_table),
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_every_name_is_found),
	};
	int rc = cmocka_run_group_tests(tests, NULL, NULL);

	restriction_reader_free(&reader);
	return rc;
}
