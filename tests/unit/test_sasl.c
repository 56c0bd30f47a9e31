/* SPDX-License-Identifier: MIT */
/* lib/sasl: Dovecot's auth protocol, security options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/sasl/authn.h"
#include "lib/sasl/dovecot.h"
#include "lib/sasl/plain.h"

static struct dovecot_msg
parsed(const char *text)
{
	struct dovecot_msg m;

	assert_true(dovecot_parse(span_of(text), &m));
	return m;
}

static bool
refused(const char *text, size_t len)
{
	struct dovecot_msg m;

	return !dovecot_parse(span_make(text, len), &m);
}

static void
test_server_lines(void **state)
{
	struct dovecot_msg m;

	(void)state;
	m = parsed("VERSION\t1\t2");
	assert_int_equal(m.command, DOVECOT_VERSION);
	assert_int_equal(m.major, 1);
	m = parsed("MECH\tDIGEST-MD5\tdictionary\tactive\tmutual-auth\tnew");
	assert_int_equal(m.command, DOVECOT_MECH);
	assert_true(span_equal_cstr(m.mech, "DIGEST-MD5"));
	assert_int_equal(m.flags,
			 MECH_DICTIONARY | MECH_ACTIVE | MECH_MUTUAL_AUTH);
	m = parsed("OK\t7\tuser=al=ice\tnologin");
	assert_int_equal(m.command, DOVECOT_OK);
	assert_int_equal(m.id, 7);
	assert_true(span_equal_cstr(m.user, "al=ice"));
	m = parsed("OK\t7\tusername=x\tuser=");
	assert_non_null(m.user.data);
	assert_int_equal(m.user.len, 0);
	m = parsed("OK\t7");
	assert_null(m.user.data);
	m = parsed("FAIL\t4294967295\tuser=b\treason=Go away\ttemp");
	assert_int_equal(m.id, 4294967295u);
	assert_true(m.temporary);
	assert_true(span_equal_cstr(m.reason, "Go away"));
	assert_true(parsed("FAIL\t1\tcode=temp_fail").temporary);
	m = parsed("CONT\t1\tYWJj");
	assert_true(span_equal_cstr(m.data, "YWJj"));
	assert_int_equal(parsed("CONT\t1\t").data.len, 0);
	assert_int_equal(parsed("SPID\tx").command, DOVECOT_SPID);
	assert_int_equal(parsed("SOMETHING\tnew").command, DOVECOT_OTHER);
	assert_int_equal(parsed("").command, DOVECOT_OTHER);
	assert_int_equal(parsed("okay").command, DOVECOT_OTHER);
}

static void
test_client_lines(void **state)
{
	struct dovecot_msg m;

	(void)state;
	m = parsed(
	    "AUTH\t1\tPLAIN\tservice=smtp\trip=192.0.2.1\tresp=AGEAYg==");
	assert_int_equal(m.command, DOVECOT_AUTH);
	assert_true(span_equal_cstr(m.mech, "PLAIN"));
	assert_true(span_equal_cstr(m.rip, "192.0.2.1"));
	assert_true(span_equal_cstr(m.data, "AGEAYg=="));
	assert_null(parsed("AUTH\t1\tLOGIN").data.data);
	assert_int_equal(parsed("CANCEL\t3").id, 3);
}

static void
test_bad_lines(void **state)
{
	static const char *const bad[] = {
	    "VERSION",        "VERSION\tx\t1", "VERSION\t-1\t0",
	    "MECH",           "MECH\t",        "OK",
	    "OK\t",           "OK\t-1",        "OK\t1x",
	    "OK\t4294967296", "FAIL\tfoo",     "CONT",
	    "CONT\t\tx",      "AUTH\t1",
	};
	static char many[DOVECOT_LINE_MAX + 2];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_true(refused(bad[i], strlen(bad[i])));
	assert_true(refused("OK\t1\0", 5));
	memset(many, 'x', sizeof(many));
	assert_true(refused(many, DOVECOT_LINE_MAX + 1));
	assert_false(refused(many, DOVECOT_LINE_MAX));
	memset(many, '\t', sizeof(many));
	memcpy(many, "OK\t1", 4);
	assert_true(refused(many, 200));
}

static void
test_what_is_sent(void **state)
{
	struct buf out = BUF_INIT;
	struct dovecot_request r = {
	    .mech = span_of("PLAIN"),
	    .service = "smtp",
	    .addr = "192.0.2.1",
	    .server_addr = "192.0.2.2",
	};

	(void)state;
	dovecot_put_hello(&out, 4711);
	assert_string_equal(buf_cstr(&out), "VERSION\t1\t0\nCPID\t4711\n");
	buf_reset(&out);
	dovecot_put_auth(&out, 1, &r);
	assert_string_equal(buf_cstr(&out),
			    "AUTH\t1\tPLAIN\tservice=smtp\tnologin\t"
			    "lip=192.0.2.2\trip=192.0.2.1\n");
	buf_reset(&out);
	r.secured = true;
	r.response = span_of("AGEAYg==");
	dovecot_put_auth(&out, 2, &r);
	assert_string_equal(buf_cstr(&out),
			    "AUTH\t2\tPLAIN\tservice=smtp\tnologin\t"
			    "lip=192.0.2.2\trip=192.0.2.1\tsecured\t"
			    "resp=AGEAYg==\n");
	buf_reset(&out);
	dovecot_put_cont(&out, 2, span_of(""));
	assert_string_equal(buf_cstr(&out), "CONT\t2\t\n");
	buf_free(&out);
}

static void
test_what_may_be_sent(void **state)
{
	(void)state;
	assert_true(dovecot_valid_mech(span_of("SCRAM-SHA-256")));
	assert_false(dovecot_valid_mech(span_of("")));
	assert_false(dovecot_valid_mech(span_of("PLAIN\tx")));
	assert_false(dovecot_valid_mech(span_of("A23456789012345678901")));
	assert_true(dovecot_valid_base64(span_of("")));
	assert_true(dovecot_valid_base64(span_of("Az09+/==")));
	assert_false(dovecot_valid_base64(span_of("a b")));
	assert_false(dovecot_valid_base64(span_of("a\tb")));
	assert_false(dovecot_valid_base64(span_of("a\nb")));
	assert_false(dovecot_valid_base64(span_make("a\0b", 3)));
}

static void
test_options(void **state)
{
	struct authn_policy p;
	struct span bad;

	(void)state;
	assert_true(
	    authn_parse_options(span_of("noanonymous, NoPlainText"), &p, &bad));
	assert_true(authn_policy_allows(&p, MECH_DICTIONARY | MECH_ACTIVE));
	assert_false(authn_policy_allows(&p, MECH_PLAINTEXT));
	assert_false(authn_policy_allows(&p, MECH_ANONYMOUS));
	assert_false(authn_policy_allows(&p, MECH_PRIVATE));
	assert_true(authn_parse_options(span_of("mutual_auth forward_secrecy"),
					&p, &bad));
	assert_false(authn_policy_allows(&p, MECH_MUTUAL_AUTH));
	assert_true(
	    authn_policy_allows(&p, MECH_MUTUAL_AUTH | MECH_FORWARD_SECRECY));
	assert_true(authn_parse_options(span_of(""), &p, &bad));
	assert_true(authn_policy_allows(&p, MECH_ANONYMOUS));
	assert_false(authn_parse_options(span_of("noactive foo"), &p, &bad));
	assert_true(span_equal_cstr(bad, "foo"));
}

static bool
plain_is(const char *data, size_t len, const char *user, const char *password)
{
	struct span u, p;
	bool ok = plain_parse(span_make(data, len), &u, &p);

	assert_true(span_equal_cstr(u, user));
	assert_true(!ok || span_equal_cstr(p, password));
	return ok;
}

static void
test_plain(void **state)
{
	char big[2000];

	(void)state;
	assert_true(plain_is("\0al\0pw", 6, "al", "pw"));
	assert_true(plain_is("al\0al\0pw", 8, "al", "pw"));
	assert_false(plain_is("bo\0al\0pw", 8, "al", ""));
	assert_false(plain_is("\0al\0", 4, "al", ""));
	assert_false(plain_is("\0al\0p\0w", 7, "al", ""));
	assert_false(plain_is("\0a\nl\0pw", 7, "", ""));
	assert_false(plain_is("\0\0pw", 4, "", ""));
	assert_false(plain_is("\0al", 3, "", ""));
	assert_false(plain_is("al", 2, "", ""));
	assert_false(plain_is("", 0, "", ""));
	memset(big, 'x', sizeof(big));
	big[0] = big[2] = '\0';
	assert_true(plain_parse(span_make(big, 3 + PLAIN_PASSWORD_MAX),
				&(struct span){0}, &(struct span){0}));
	assert_false(plain_parse(span_make(big, 4 + PLAIN_PASSWORD_MAX),
				 &(struct span){0}, &(struct span){0}));
	big[2] = 'x';
	big[1 + PLAIN_USER_MAX + 1] = '\0';
	assert_false(plain_parse(span_make(big, 400), &(struct span){0},
				 &(struct span){0}));
}

static void
test_unknown_type(void **state)
{
	static struct authn_settings s = {.type = "bogus", .path = "x"};
	struct buf reason = BUF_INIT;

	(void)state;
	assert_false(authn_open(&s, &reason));
	assert_string_equal(buf_cstr(&reason),
			    "unsupported SASL server implementation: bogus");
	buf_free(&reason);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_server_lines),
	    cmocka_unit_test(test_client_lines),
	    cmocka_unit_test(test_bad_lines),
	    cmocka_unit_test(test_what_is_sent),
	    cmocka_unit_test(test_what_may_be_sent),
	    cmocka_unit_test(test_options),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_unknown_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
